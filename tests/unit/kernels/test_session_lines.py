import json

import numpy as np
import pytest

from nextcart.kernels.session_lines import scan_lines

NOW = 1_659_304_800_025
LIMITS = np.array([NOW, 631_152_000, 4_102_444_800, 1000])
GOOD = f'{{"session":5,"events":[{{"aid":0,"ts":{NOW - 1},"type":"carts"}},{{"aid":7,"ts":{NOW},"type":"orders"}}]}}'


def scan(*lines, last=-1):
    return scan_lines(np.frombuffer("".join(line + "\n" for line in lines).encode(), np.uint8), LIMITS, last)


@pytest.mark.parametrize("text", [GOOD, json.dumps(json.loads(GOOD)), f"  {GOOD} ", GOOD.replace(",", " , ")])
def test_a_usual_line_is_read_whatever_its_spaces(text):
    sessions, aids, ts, types, odd, n_lines, ordered = scan("", text, "   ")
    assert (sessions.tolist(), aids.tolist()) == ([5, 5], [0, 7])
    assert (ts.tolist(), types.tolist()) == ([NOW - 1, NOW], [1, 2])
    assert (len(odd), n_lines, ordered) == (0, 3, True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("5", "-5"), ("5", "05"), ("5", "5.0"), ("5", '"5"'), ("5", "1" * 19), ("5", ""),
        ("7", "1e1"), ("7", "null"), ("7", "07"), (str(NOW), str(NOW + 1)), (str(NOW), "0"), (str(NOW), "631152000"),
        (str(NOW), "4102444800"), ("orders", "order"), ("orders", "orders2"), ("orders", "or\\u0064ers"),
        ("orders", "Orders"), ('"ts"', '"aid"'), ("}]}", "}]"), ("}]}", "}]}x"), ("}]}", "},]}"), ("}]}", "}]}\r"),
        ("}]}", '}],"more":1}'), ("}]}", "}]}" + 1000 * " "), ("{", ""), ("session", "sessions"), (":[", ":[],["),
    ],
)  # fmt: skip
def test_a_line_with_anything_else_is_odd_as_a_whole(old, new):
    bad = new.join(GOOD.rsplit(old, 1)) if old != "5" else GOOD.replace(old, new, 1)
    sessions, _, _, _, odd, n_lines, ordered = scan(GOOD, bad, GOOD.replace("5", "6", 1), "x")
    start = len(GOOD) + 1
    assert sessions.tolist() == [5, 5, 6, 6]
    assert odd[0].tolist() == [1, start, start + len(bad), 2]
    assert odd[1, [0, 3]].tolist() == [3, 4]
    assert (n_lines, ordered) == (4, True)


def test_a_session_without_events_is_odd():
    assert len(scan('{"session":5,"events":[]}')[4]) == 1


def test_the_order_goes_on_from_the_line_before():
    assert scan(GOOD, last=4)[6]
    assert not scan(GOOD, last=5)[6]
