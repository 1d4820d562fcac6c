"""Programs that `nas export` copies into a folder as its model.py: they import nothing of b0nas, and never will.

>>> from pathlib import Path
>>> import nas.standalone
>>> sorted(path.name for path in Path(nas.standalone.__file__).parent.glob("*_model.py"))
['plain_model.py', 'timm_model.py']
"""
