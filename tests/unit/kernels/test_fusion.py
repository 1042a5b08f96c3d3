import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.config import HybridConfig
from nextcart.kernels.fusion import any_short, backfill, fallback_reasons, fuse_ranks, hybrid_weights, list_lengths
from tests import naive
from tests.naive import CARTS, CLICKS, ORDERS, Event, batch_of, check_ranking
from tests.strategies import N_ITEMS, asking, few

TOP = 1
ranked_rows = st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=N_ITEMS)
bits = (2, 4, TOP)


def padded(lists: list[list[int]], width: int) -> np.ndarray:
    items = np.full((len(lists), width), -1, np.int32)
    for row, each in zip(items, lists, strict=True):
        row[: len(each)] = each
    return items


@few
@given(st.lists(ranked_rows, max_size=3))
def test_the_length_of_a_list_ends_where_its_padding_begins(lists):
    items = padded(lists, N_ITEMS)
    assert list_lengths(items).tolist() == [len(each) for each in lists]
    assert any_short(items) == any(len(each) < N_ITEMS for each in lists)


def weights_of(sessions, config: HybridConfig) -> np.ndarray:
    batch = batch_of(sessions)
    return hybrid_weights(
        batch.offsets,
        batch.types,
        (config.covisitation, config.item2vec, config.top_sellers),
        config.short_session_events,
        (config.short_covisitation, config.short_item2vec, 1.0),
        (config.intent_covisitation, config.intent_item2vec, 1.0),
    )


@few
@given(
    st.lists(st.tuples(ranked_rows, ranked_rows, ranked_rows), max_size=3),
    st.lists(st.sampled_from([0.15, 0.25, 0.6, 1.0]), min_size=9, max_size=9),
    st.integers(1, N_ITEMS + 2),
)
def test_ranks_are_fused_as_defined(sessions, shares, k):
    weights = np.array(shares, np.float32).reshape(3, 3)[: len(sessions)]
    candidates = tuple(padded([lists[m] for lists in sessions], N_ITEMS) for m in range(3))
    items, scores, sources = fuse_ranks(candidates, np.ascontiguousarray(weights), bits, k)
    for s, lists in enumerate(sessions):
        check_ranking(items[s], scores[s], naive.fuse(lists, weights[s].tolist()), k)
        brought = [sum(bit for bit, each in zip(bits, lists, strict=True) if item in each) for item in items[s]]
        assert sources[s].tolist() == brought


def test_a_fusion_by_hand():
    """Item 7 is first of two lists, item 8 second of one: 0.6 / log2(2) + 0.15 / log2(2), and 0.6 / log2(3)."""
    lists = (padded([[7, 8]], 2), padded([[]], 2), padded([[7]], 2))
    items, scores, sources = fuse_ranks(lists, np.array([[0.6, 0.25, 0.15]], np.float32), bits, 3)
    assert items.tolist() == [[7, 8, -1]]
    assert scores[0].tolist() == pytest.approx([0.6 + 0.15, 0.6 / math.log2(3), 0.0])
    assert sources.tolist() == [[2 | TOP, 2, 0]]


def test_fused_ties_go_to_the_smaller_row():
    lists = (padded([[9]], 1), padded([[4]], 1), padded([[6]], 1))
    items, _, _ = fuse_ranks(lists, np.full((1, 3), 0.25, np.float32), bits, 3)
    assert items.tolist() == [[4, 6, 9]]


@few
@given(asking)
def test_hybrid_weights_are_those_defined(sessions):
    config = HybridConfig()
    weights = weights_of(sessions, config)
    for session, row in zip(sessions, weights, strict=True):
        assert row.tolist() == pytest.approx(naive.hybrid_weights(session, config), rel=1e-6)
        assert row.sum() == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(
    ("kinds", "covisitation", "item2vec"),
    [
        ([CLICKS] * 3, 0.6, 0.25),
        ([CLICKS] * 2, 0.6 * 0.8, 0.25 * 1.3),
        ([], 0.6 * 0.8, 0.25 * 1.3),
        ([CLICKS, CLICKS, CARTS], 0.6 * 1.2, 0.25 * 0.9),
        ([CLICKS, CLICKS, ORDERS], 0.6 * 1.2, 0.25 * 0.9),
        ([CARTS, ORDERS, CLICKS], 0.6, 0.25),
        ([CARTS], 0.6 * 0.8 * 1.2, 0.25 * 1.3 * 0.9),
    ],
)
def test_hybrid_weights_by_hand(kinds, covisitation, item2vec):
    (row,) = weights_of([[Event(0, i, kind) for i, kind in enumerate(kinds)]], HybridConfig())
    total = covisitation + item2vec + 0.15
    assert row.tolist() == pytest.approx([covisitation / total, item2vec / total, 0.15 / total], rel=1e-6)


def test_weights_that_are_all_zero_stay_zero():
    config = HybridConfig(covisitation=0, item2vec=0, top_sellers=0)
    assert weights_of([[Event(0)]], config).tolist() == [[0.0, 0.0, 0.0]]


@few
@given(st.lists(st.tuples(ranked_rows, ranked_rows), max_size=4), st.integers(1, N_ITEMS), st.booleans())
def test_short_lists_are_filled_in_order(lists, k, negative):
    own = [mine[:k] for mine, _ in lists]
    items = padded(own, k)
    scores = np.where(items >= 0, np.float32(-0.5 if negative else 0.5), np.float32(0.0))
    sources = np.where(items >= 0, np.uint8(2), np.uint8(0))
    backfill(items, scores, sources, padded([fill for _, fill in lists], N_ITEMS), TOP)
    for s, (mine, (_, fill)) in enumerate(zip(own, lists, strict=True)):
        wanted = naive.backfilled(mine, fill, k)
        assert items[s].tolist() == wanted + [-1] * (k - len(wanted))
        assert sources[s].tolist() == [2] * len(mine) + [TOP] * (len(wanted) - len(mine)) + [0] * (k - len(wanted))
        held = scores[s][: len(wanted)]
        assert (np.diff(held) <= 0).all()
        assert held[len(mine) :].tolist() == [-0.5 if negative and mine else 0.0] * (len(wanted) - len(mine))


@pytest.mark.parametrize(
    ("session", "sources", "is_fill", "reason"),
    [
        ([], [TOP], False, 1),
        ([], [TOP], True, 1),
        ([-1, -1], [TOP], False, 2),
        ([-1], [TOP], True, 2),
        ([-1, 0], [TOP, TOP], False, 3),
        ([0], [0, 0], False, 3),
        ([0], [TOP], True, 0),
        ([0], [2 | TOP, TOP], False, 0),
        ([0], [TOP, 4], False, 0),
    ],
)
def test_the_reason_why_a_list_is_top_sellers_only(session, sources, is_fill, reason):
    batch = batch_of([[Event(item) for item in session]])
    reasons = fallback_reasons(batch.offsets, batch.items, np.array([sources], np.uint8), TOP, is_fill)
    assert reasons.tolist() == [reason]
