import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.evaluation.cutting import Questions
from nextcart.evaluation.lists import Shown, places
from nextcart.evaluation.slices import SLICES, ItemKinds
from tests.naive import batch_of
from tests.shop import lists_of
from tests.strategies import few


def shown(*times: int) -> Shown:
    return Shown(np.array(times, np.int64))


def test_gini_by_hand():
    assert shown(5, 5, 5, 5).gini() == pytest.approx(0)
    # One of four takes all: (n - 1) / n.
    assert shown(0, 0, 8, 0).gini() == pytest.approx(3 / 4)
    # 2 (1·1 + 2·3) / (2·4) - 3/2 = 1/4.
    assert shown(3, 1).gini() == pytest.approx(1 / 4)
    assert shown(0, 0).gini() is None
    assert shown().gini() is None


@few
@given(st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_gini_is_half_the_relative_mean_difference(times):
    found, total, n = shown(*times).gini(), sum(times), len(times)
    if total:
        assert found == pytest.approx(sum(abs(a - b) for a in times for b in times) / (2 * n * total))
        assert -1e-12 <= found <= 1


def test_coverage_is_the_share_that_is_in_a_list():
    some = Shown.none(8)
    some.add(np.array([1, 5], np.int32), np.array([3, 1]))
    some.add(np.array([5], np.int32), np.array([2]))
    assert some.times.tolist() == [0, 3, 0, 0, 0, 3, 0, 0]
    assert some.coverage() == 2 / 8


def test_places_of_the_most_popular_hundredth():
    items = np.array([[0, 1, 2], [3, 0, -1], [-1, -1, -1]], np.int32)
    # Of 200 items the first two are the top 1 %.
    top, filled = places(items, 200)
    assert (top.tolist(), filled.tolist()) == ([2, 1, 0], [3, 2, 0])
    assert places(items, 5)[0].tolist() == [1, 1, 0]


def test_each_kind_of_item_by_hand():
    # 30 events: the first item has 12, past a third; the next two reach 22, past two thirds; 8 are left.
    kinds = ItemKinds.of(np.array([12, 6, 4, 4, 3, 1]), np.array([False, False, True, False, False, True]))
    assert (kinds.head, kinds.tail) == (1, 3)
    targets = lists_of([0, 1], [2, 5, -1])
    questions = Questions(
        batch_of([[], []]),
        targets,
        np.arange(2),
        np.array([True, False, False, False, False]),
        np.array([1, 12]),
    )
    found = {name: flags.tolist() for name, flags in kinds.slices(questions).items()}
    t, f = True, False
    assert found == {
        "repeat": [t, f, f, f, f],
        "new": [f, t, t, t, t],
        "head": [t, f, f, f, f],
        "middle": [f, t, t, f, f],
        "tail": [f, f, f, t, f],
        "young": [f, f, t, t, f],
        "old": [t, t, f, f, f],
        "after_1": [t, t, f, f, f],
        "after_2_4": [f] * 5,
        "after_5_9": [f] * 5,
        "after_10": [f, f, t, t, t],
    }
    assert tuple(found) == SLICES


@few
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_head_middle_and_tail_part_the_catalogue(counts):
    ordered = np.array(sorted(counts, reverse=True))
    kinds = ItemKinds.of(ordered)
    assert 1 <= kinds.head <= kinds.tail <= len(counts)
    total = sum(counts)
    assert ordered[: kinds.head].sum() >= total / 3 > ordered[: kinds.head - 1].sum() - 1e-9
    assert ordered[: kinds.tail].sum() >= total * 2 / 3 - 1e-9


def test_an_empty_catalogue_has_no_kinds():
    assert ItemKinds.of(np.empty(0, np.int64)) == ItemKinds(0, 0)
