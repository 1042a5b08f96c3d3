from __future__ import annotations

import pytest

from nextcart.client.retries import Retries, retry_after


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_how_long_a_service_asks_to_wait(text: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": text}, now=lambda: 40.0) == seconds


def test_nothing_asked() -> None:
    assert retry_after({}) is None


def test_the_last_try_is_the_last() -> None:
    retries = Retries(attempts=2, first_seconds=1.0, most_seconds=8.0, draw=lambda low, high: (low + high) / 2)
    assert [retries.wait(tried) for tried in (1, 2, 3)] == [0.5, None, None]
    assert retries.wait(1, 8.0) == 8.5
    assert retries.wait(1, 8.1) is None
    assert Retries(attempts=1).wait(1) is None
