import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.kernels.topk import insert, order_ties, push, sort_heap
from tests.naive import best, check_ranking
from tests.strategies import few

scores = st.sampled_from([-np.inf, -2.0, -0.0, 0.0, 0.25, 1.0, 1e30, np.inf])


def by_heap(pairs: list[tuple[int, float]], k: int) -> list[tuple[int, float]]:
    heap, rows, size = np.zeros(k, np.float32), np.full(k, -1, np.int32), 0
    for row, score in pairs:
        size = push(heap, rows, size, np.float32(score), row)
    sort_heap(heap, rows, size)
    return list(zip(rows[:size].tolist(), heap[:size].tolist(), strict=True))


def by_list(pairs: list[tuple[int, float]], k: int) -> list[tuple[int, float]]:
    values, rows, size = np.zeros(k, np.float32), np.full(k, -1, np.int32), 0
    for row, score in pairs:
        size = insert(values, rows, size, np.float32(score), row)
    return list(zip(rows[:size].tolist(), values[:size].tolist(), strict=True))


both = pytest.mark.parametrize("top", [by_heap, by_list])


@both
@few
@given(st.dictionaries(st.integers(0, 10**9), scores, max_size=30), st.integers(1, 12), st.randoms())
def test_what_sorting_all_would_bring_first_is_kept(top, candidates, k, random):
    offered = list(candidates.items())
    random.shuffle(offered)
    assert top(offered, k) == best(candidates, k)


@both
@pytest.mark.parametrize("k", [1, 2, 3, 4, 7, 8, 9])
def test_equal_scores_go_to_the_smaller_row_in_whatever_order_they_come(top, k):
    for offered in (range(9), range(8, -1, -1), [4, 8, 0, 2, 6, 1, 7, 3, 5]):
        assert top([(row, 1.0) for row in offered], k) == [(row, 1.0) for row in range(k)]


@both
def test_without_room_nothing_is_taken(top):
    assert top([(3, 1.0)], 0) == []


def test_an_unsorted_heap_of_one_is_sorted():
    check_ranking([7, -1], [2.0, 0.0], {7: 2.0}, 2)
    assert by_heap([(7, 2.0)], 2) == [(7, 2.0)]


@few
@given(st.lists(st.dictionaries(st.integers(0, 99), scores, min_size=6, max_size=6), max_size=4), st.randoms())
def test_equal_scores_are_put_in_the_order_of_their_rows(lists, random):
    for each in lists:
        pairs = list(each.items())
        random.shuffle(pairs)
        each.clear()
        each.update(sorted(pairs, key=lambda pair: -pair[1]))
    rows = np.array([list(each) for each in lists], np.int32).reshape(-1, 6)
    values = np.array([list(each.values()) for each in lists], np.float32).reshape(-1, 6)
    order_ties(values, rows)
    for each, found, its in zip(lists, rows, values, strict=True):
        assert list(zip(found.tolist(), its.tolist(), strict=True)) == best(each, 6)
