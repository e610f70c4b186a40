"""The compiled part: Numba only, arrays in, arrays out, float32 and explicit types.

Nothing here knows of networks, chips or tables. :mod:`~reliability.plan` describes
a simulation as plain arrays (:mod:`layout <reliability.kernels.layout>`), and
:func:`engine.run_chips <reliability.kernels.engine.run_chips>` runs it.
"""
