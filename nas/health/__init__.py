"""What `nas doctor` looks at: one function a check, each returning a `Finding` and none depending on another.

>>> from nas.health.finding import works
>>> works("python", "3.11.7").state
'works'
"""
