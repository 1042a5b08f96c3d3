from __future__ import annotations

import os

from nextcart.serving.processes.worker import RELOAD, _first_line


def test_the_orders_end_with_their_line_and_what_follows_stays_to_be_read() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b'{"a": 1}\n' + RELOAD)
        assert _first_line(reading) == b'{"a": 1}\n'
        assert os.read(reading, 10) == RELOAD
    finally:
        os.close(reading)
        os.close(writing)


def test_a_supervisor_that_is_gone_ends_the_line() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"{")
    os.close(writing)
    assert _first_line(reading) == b"{\n"
    os.close(reading)
