import pytest

# Their asserts are to explain themselves as those of a test module do.
pytest.register_assert_rewrite("tests.contract", "tests.naive")
