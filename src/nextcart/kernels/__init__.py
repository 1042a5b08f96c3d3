"""The hot loops: plain numba, no I/O, no threads of their own; each has a naive oracle in ``tests/naive.py``.

Kernels release the GIL and allocate what they need inside, so that any number of threads may call one at a time.
Sessions and per-session lists come as offsets and columns (see `nextcart.types`).
"""
