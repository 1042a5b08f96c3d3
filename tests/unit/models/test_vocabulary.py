import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.models.vocabulary import Vocabulary
from nextcart.types import UNKNOWN
from tests.strategies import few

TEXTS = ["sku-1", "ü", "🛒🛒", "a", "ab", "550e8400-e29b-41d4-a716-446655440000", "0", " ", "東京" * 10]
INTS = [-(2**63), 2**63 - 1, 0, -1, 17, 2**31, 1]


def vocabulary(ids: list) -> Vocabulary:
    """A catalogue of the ids in this order, most events first."""
    kind = "int64" if isinstance(ids[0], int) else "string"
    events = np.arange(len(ids), 0, -1)
    return Vocabulary.from_counts(kind, pa.table({"aid": ids, "events": events}))


@pytest.mark.parametrize("ids", [INTS, TEXTS])
def test_ids_become_rows_and_rows_ids(ids, tmp_path):
    held = vocabulary(ids)
    held.save(tmp_path)
    for each in (held, Vocabulary.load(tmp_path)):
        assert len(each) == len(ids)
        assert each.id_type == ("int64" if ids is INTS else "string")
        assert each.counts.tolist() == list(range(len(ids), 0, -1))
        assert each.rows(ids[::-1]).tolist() == list(range(len(ids)))[::-1]
        assert each.rows(ids).dtype == np.int32
        assert each.ids(np.arange(len(ids), dtype=np.int32)) == ids
        assert each.ids(np.array([2, 2, 0], np.int32)) == [ids[2], ids[2], ids[0]]


@pytest.mark.parametrize("kind", ["int64", "string"])
def test_nothing_asked_is_nothing_found(kind):
    held = vocabulary(INTS if kind == "int64" else TEXTS)
    assert held.rows([]).tolist() == []
    assert held.rows([]).dtype == np.int32
    assert held.ids(np.empty(0, np.int32)) == []


@pytest.mark.parametrize("kind", ["int64", "string"])
def test_an_empty_catalogue_knows_nothing(kind):
    aid_type = pa.int64() if kind == "int64" else pa.string()
    empty = Vocabulary.from_counts(kind, pa.table({"aid": pa.array([], aid_type), "events": pa.array([], pa.int64())}))
    assert len(empty) == 0
    assert empty.rows([1, "a", "", 2**80]).tolist() == [UNKNOWN] * 4


@pytest.mark.parametrize(
    "wrong", ["1", "", 2**63, -(2**63) - 1, 2**100, 1.0, None, b"1", 2], ids=lambda wrong: repr(wrong)[:12]
)
def test_what_is_no_id_of_an_int_catalogue_is_unknown_and_does_not_harm_the_rest(wrong):
    assert vocabulary(INTS).rows([17, wrong, 0, -(2**63)]).tolist() == [4, UNKNOWN, 2, 0]
    assert vocabulary([1, 5]).rows([wrong]).tolist() == [UNKNOWN]


@pytest.mark.parametrize(
    "wrong",
    [0, None, "", "abc", "A", "sku", "sku-11", "a\0", "a\0b", "\0", "\ud800", "x" * 10_000, b"a"],
    ids=lambda wrong: repr(wrong)[:12],
)
def test_what_is_no_id_of_a_text_catalogue_is_unknown_and_does_not_harm_the_rest(wrong):
    assert vocabulary(TEXTS).rows(["ab", wrong, "ü", "0"]).tolist() == [4, UNKNOWN, 1, 6]


def test_one_absurd_id_does_not_make_all_others_as_wide():
    """A thousand ids beside one of a megabyte take a thousand times the catalogue's width, not a gigabyte."""
    ids = ["a"] * 1000 + ["x" * 2**20]
    assert vocabulary(["a", "bc"]).rows(ids).tolist() == [0] * 1000 + [UNKNOWN]


def test_an_array_of_ints_is_taken_as_a_list_is():
    assert vocabulary(INTS).rows(np.array([17, 5])).tolist() == [4, UNKNOWN]


@few
@given(st.lists(st.text(min_size=1, max_size=6).filter(lambda t: "\0" not in t), unique=True, min_size=1, max_size=20))
def test_any_text_is_found_again(ids):
    held = vocabulary(ids)
    assert held.ids(held.rows(ids)) == ids


@pytest.mark.parametrize("ids", [INTS, TEXTS])
def test_arrow_columns_are_translated_as_lists_are(ids):
    held = vocabulary(ids)
    other = [5, 6] if ids is INTS else ["", "none such"]
    wanted = [*ids, *other, *ids]
    column = pa.array(wanted)
    assert held.rows_of_arrow(column).tolist() == held.rows(wanted).tolist()
    assert held.rows_of_arrow(column.slice(3, 5)).tolist() == held.rows(wanted[3:8]).tolist()
    assert held.rows_of_arrow(column.slice(0, 0)).tolist() == []


def test_a_column_of_the_other_type_is_unknown():
    assert vocabulary(INTS).rows_of_arrow(pa.array(["17", "0"])).tolist() == [UNKNOWN] * 2
    assert vocabulary(TEXTS).rows_of_arrow(pa.array([0, 1])).tolist() == [UNKNOWN] * 2


def test_chunked_counts_are_one_catalogue():
    aids = pa.chunked_array([["b", "a"], ["longer"]])
    table = pa.table({"aid": aids, "events": pa.chunked_array([[3, 2], [1]])})
    assert Vocabulary.from_counts("string", table).rows(["longer", "a", "b"]).tolist() == [2, 1, 0]
