import os

import pytest

# Threads of OpenMP that have nothing to do sleep: by turning they would take most of the cores from the other tests.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Their asserts are to explain themselves as those of a test module do.
pytest.register_assert_rewrite("tests.contract", "tests.naive")
