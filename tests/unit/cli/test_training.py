import pytest

from nextcart.cli.training import _size


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0.0 KiB"), (43_008, "42.0 KiB"), (2**20, "1.0 MiB"), (3 * 2**29, "1,536.0 MiB")],
)
def test_a_size_is_shown_in_the_unit_that_shows_it(count: int, text: str) -> None:
    assert _size(count) == text
