"""Each sum is written out: gains are 1 / log2(rank + 1), so 1, 0.6309…, 0.5 at ranks 1, 2 and 3."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.evaluation.metrics import SESSION_METRICS, find_hits
from tests import naive
from tests.shop import lists_of
from tests.strategies import few


def metrics(ranked: list[list[int]], targets: list[list[int]]) -> dict[str, list[float]]:
    lists = lists_of(*targets)
    hits = find_hits(np.array(ranked, np.int32), lists)
    return {name: metric(hits, np.diff(lists.offsets)).tolist() for name, metric in SESSION_METRICS.items()}


LOG3 = math.log2(3)

BY_HAND = {
    "first of one": ([7, 8, 9], [7], {"recall": 1, "hit_rate": 1, "ndcg": 1, "map": 1, "mrr": 1}),
    # 1 / log2(3) of a best of 1; precision 1/2 at the only hit.
    "second of one": ([8, 7, 9], [7], {"recall": 1, "hit_rate": 1, "ndcg": 1 / LOG3, "map": 1 / 2, "mrr": 1 / 2}),
    "third of one": ([8, 9, 7], [7], {"recall": 1, "hit_rate": 1, "ndcg": 1 / 2, "map": 1 / 3, "mrr": 1 / 3}),
    "missed": ([8, 9, 6], [7], {"recall": 0, "hit_rate": 0, "ndcg": 0, "map": 0, "mrr": 0}),
    # Hits at ranks 1 and 3 of two: gain 1 + 1/2 of a best of 1 + 1/log2(3); precisions 1/1 and 2/3 over 2.
    "first and third of two": (
        [7, 9, 8],
        [8, 7],
        {"recall": 1, "hit_rate": 1, "ndcg": 1.5 / (1 + 1 / LOG3), "map": (1 + 2 / 3) / 2, "mrr": 1},
    ),
    # One hit at rank 2 of two targets: recall 1/2, gain 1/log2(3), precision 1/2 over 2.
    "second of two": (
        [9, 8, 6],
        [8, 7],
        {"recall": 1 / 2, "hit_rate": 1, "ndcg": (1 / LOG3) / (1 + 1 / LOG3), "map": 1 / 4, "mrr": 1 / 2},
    ),
    # Five targets, three places, two hits at ranks 2 and 3: over min(3, 5) = 3, as in OTTO's evaluation.
    "more targets than places": (
        [9, 1, 2],
        [1, 2, 3, 4, 5],
        {
            "recall": 2 / 3,
            "hit_rate": 1,
            "ndcg": (1 / LOG3 + 1 / 2) / (1 + 1 / LOG3 + 1 / 2),
            "map": (1 / 2 + 2 / 3) / 3,
            "mrr": 1 / 2,
        },
    ),
    "all places hit": ([3, 1, 2], [1, 2, 3, 4], {"recall": 1, "hit_rate": 1, "ndcg": 1, "map": 1, "mrr": 1}),
    # A list of two in three places: padding is no hit, not even of an unknown target.
    "a short list": ([9, 7, -1], [7], {"recall": 1, "hit_rate": 1, "ndcg": 1 / LOG3, "map": 1 / 2, "mrr": 1 / 2}),
    "an unknown target": ([9, 7, -1], [-1], {"recall": 0, "hit_rate": 0, "ndcg": 0, "map": 0, "mrr": 0}),
    "an empty list": ([-1, -1, -1], [-1], {"recall": 0, "hit_rate": 0, "ndcg": 0, "map": 0, "mrr": 0}),
}


@pytest.mark.parametrize(("ranked", "targets", "wanted"), BY_HAND.values(), ids=BY_HAND.keys())
def test_by_hand(ranked, targets, wanted):
    assert {name: values[0] for name, values in metrics([ranked], [targets]).items()} == pytest.approx(wanted)


def test_all_cases_at_once_are_each_as_alone():
    found = metrics([case[0] for case in BY_HAND.values()], [case[1] for case in BY_HAND.values()])
    for i, (_, _, wanted) in enumerate(BY_HAND.values()):
        assert {name: values[i] for name, values in found.items()} == pytest.approx(wanted)


def test_the_names_are_those_reported():
    assert list(SESSION_METRICS) == ["recall", "hit_rate", "ndcg", "map", "mrr"]


def test_no_sessions_have_no_metrics():
    hits = find_hits(np.empty((0, 20), np.int32), lists_of())
    assert all(len(metric(hits, np.empty(0, np.int64))) == 0 for metric in SESSION_METRICS.values())


questions = st.integers(1, 6).flatmap(
    lambda k: st.lists(
        st.tuples(
            st.lists(st.integers(0, 9), unique=True, max_size=k).map(lambda items: items + [-1] * (k - len(items))),
            st.lists(st.integers(0, 9), unique=True, min_size=1, max_size=8),
        ),
        min_size=1,
        max_size=5,
    )
)


@few
@given(questions)
def test_each_metric_is_its_naive_twin(asked):
    found = metrics([ranked for ranked, _ in asked], [targets for _, targets in asked])
    for name, values in found.items():
        wanted = [naive.METRICS[name](ranked, targets, len(ranked)) for ranked, targets in asked]
        assert values == pytest.approx(wanted)


@few
@given(questions)
def test_bounds_and_orders_hold(asked):
    found = metrics([ranked for ranked, _ in asked], [targets for _, targets in asked])
    for i, (_, targets) in enumerate(asked):
        value = {name: values[i] for name, values in found.items()}
        assert all(0 <= each <= 1 + 1e-12 for each in value.values())
        assert value["map"] <= value["recall"] + 1e-12
        assert value["recall"] <= value["hit_rate"]
        assert value["mrr"] <= value["hit_rate"]
        assert (value["hit_rate"] > 0) == (value["ndcg"] > 0) == (value["mrr"] > 0)
        if len(targets) == 1:
            assert value["recall"] == value["hit_rate"]
            assert value["map"] == pytest.approx(value["mrr"])


@few
@given(st.lists(st.integers(0, 9), unique=True, min_size=1, max_size=8), st.integers(1, 6), st.randoms())
def test_a_perfect_list_gives_one_and_a_disjoint_one_nothing(targets, k, random):
    ranked = [*targets, *range(20, 30)][:k]
    random.shuffle(targets)
    assert [values[0] for values in metrics([ranked], [targets]).values()] == pytest.approx([1.0] * 5)
    assert [values[0] for values in metrics([list(range(20, 20 + k))], [targets]).values()] == [0.0] * 5


@few
@given(st.permutations([1, 2, 3, 10, 11, 12]), st.integers(0, 4))
def test_an_earlier_hit_is_never_worse(ranked, place):
    targets = [1, 2, 3]
    better = sorted(ranked[place : place + 2], key=lambda item: item not in targets)
    before, after = metrics([ranked], [targets]), metrics([ranked[:place] + better + ranked[place + 2 :]], [targets])
    assert all(after[name][0] >= before[name][0] - 1e-12 for name in before)
