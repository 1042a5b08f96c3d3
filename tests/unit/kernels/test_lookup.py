import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.kernels import lookup
from nextcart.kernels.lookup import bytes_table, find_bytes, find_ints, in_order, int_table, pad_texts
from tests.strategies import few

INT64 = np.iinfo(np.int64)
EXTREMES = [INT64.min, INT64.min + 1, -1, 0, 1, INT64.max - 1, INT64.max]

any_int = st.integers(INT64.min, INT64.max) | st.integers(-3, 3) | st.sampled_from(EXTREMES)
any_text = st.binary(min_size=1, max_size=9).map(lambda text: text.replace(b"\0", b"-")) | st.sampled_from(
    [b"a", b"aa", b"ab", b"\xc3\xa9", b"\xff" * 9]
)


def padded(texts: list[bytes], width: int = 1) -> np.ndarray:
    width = max(width, *map(len, texts), 1)
    return np.array(texts, f"S{width}").view(np.uint8).reshape(len(texts), width)


@few
@given(st.lists(any_int, unique=True, max_size=70), st.lists(any_int, max_size=20))
def test_ints_are_found_by_the_table_as_by_a_dict(ids, others):
    array = np.array(ids, np.int64)
    wanted = [*ids, *others]
    rows = {value: row for row, value in enumerate(ids)}
    found = find_ints(int_table(array), array, np.array(wanted, np.int64))
    assert found.dtype == np.int32
    assert found.tolist() == [rows.get(value, -1) for value in wanted]


@few
@given(st.lists(any_text, unique=True, min_size=1, max_size=70), st.lists(any_text, max_size=20), st.integers(1, 14))
def test_texts_are_found_whatever_the_widths(ids, others, width):
    matrix = padded(ids)
    wanted = [*ids, *others]
    rows = {value: row for row, value in enumerate(ids)}
    found = find_bytes(bytes_table(matrix), matrix, padded(wanted, width))
    assert found.tolist() == [rows.get(value, -1) for value in wanted]


def test_a_table_of_nothing_finds_nothing():
    none = np.empty(0, np.int64)
    assert find_ints(int_table(none), none, np.array(EXTREMES)).tolist() == [-1] * len(EXTREMES)
    texts = np.empty((0, 1), np.uint8)
    assert find_bytes(bytes_table(texts), texts, padded([b"a"])).tolist() == [-1]


@pytest.mark.parametrize("size", [8, 9, 1000])
def test_a_table_is_at_most_half_full_so_that_a_search_ends(size):
    slots = int_table(np.arange(size))
    assert len(slots) >= 2 * size
    assert np.sort(slots[slots != lookup.EMPTY]).tolist() == list(range(size))


def test_equal_slots_are_told_apart():
    """Ids that all begin their search in one slot of the table of sixteen: the chain is walked, and wraps round."""
    last = [value for value in range(2000) if lookup._hash_int(value) & 15 == 15][:8]
    ids = np.array(last, np.int64)
    slots = int_table(ids)
    assert (slots[:7] != lookup.EMPTY).all()
    assert find_ints(slots, ids, ids).tolist() == list(range(8))
    absent = next(value for value in range(2000, 9000) if lookup._hash_int(value) & 15 == 15)
    assert find_ints(slots, ids, np.array([absent])).tolist() == [-1]


def test_texts_that_share_a_beginning_or_a_slot_are_told_apart():
    many = [f"sku-{number}".encode() for number in range(400)]
    matrix = padded(many)
    same = [text for text in many if lookup._hash_bytes(padded([text])[0]) & 15 == 3][:8]
    assert len(same) == 8
    few_ids = padded(same)
    assert find_bytes(bytes_table(few_ids), few_ids, matrix).tolist() == [
        same.index(text) if text in same else -1 for text in many
    ]
    assert find_bytes(bytes_table(matrix), matrix, padded([b"sku-", b"sku-1", b"sku-10", b"sku-1000"])).tolist() == [
        -1,
        1,
        10,
        -1,
    ]


def test_the_hash_stops_at_the_padding():
    assert lookup._hash_bytes(padded([b"ab"], 2)[0]) == lookup._hash_bytes(padded([b"ab"], 64)[0])


def test_hashes_are_never_negative():
    assert min(lookup._hash_int(value) for value in EXTREMES) >= 0
    assert min(lookup._hash_bytes(padded([text])[0]) for text in (b"a", b"\xff" * 9, b"zzz")) >= 0


def test_texts_are_padded_from_offsets():
    data = np.frombuffer(b"xxabcde", np.uint8)
    rows = pad_texts(np.array([2, 3, 3, 7], np.int64), data, 3)
    assert rows.tolist() == [list(b"a\0\0"), [0, 0, 0], list(b"bcd")]


@few
@given(st.lists(st.lists(st.integers(0, 3), max_size=4), max_size=4))
def test_sessions_are_in_order_if_each_is(sessions):
    offsets = np.cumsum([0, *map(len, sessions)], dtype=np.int64)
    ts = np.array([time for session in sessions for time in session], np.int64)
    assert in_order(offsets, ts) == all(session == sorted(session) for session in sessions)
