"""The search: an NNI tuner that holds an NNI strategy, the trials, and the journal between them.

Only this package imports nni, and lazily: `import nni` takes seconds.
"""

import os
import sys

# Without it, `import nni.nas` wants pytorch_lightning. NNI reads the environment when it is first
# imported, which under nnictl its dispatcher does before it imports our tuner.
os.environ.setdefault("NNI_FRAMEWORK", "none")
if "nni.common.framework" in sys.modules:
    sys.modules["nni.common.framework"].set_default_framework(os.environ["NNI_FRAMEWORK"])
