"""The search: an NNI tuner that holds an NNI strategy, the trials, and the journal between them.

Only this package imports nni, and lazily: `import nni` takes seconds.
"""

import os

# Without it, `import nni.nas` wants pytorch_lightning.
os.environ.setdefault("NNI_FRAMEWORK", "none")
