"""The kernels that gather, describe and choose candidates, each against its naive twin."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.kernels import candidates as kernel
from nextcart.kernels import pair_columns
from nextcart.kernels.pair_columns import LIST_COLUMNS, NEVER, PAIR_COLUMNS, SESSION_COLUMNS
from nextcart.models.permits import NO_LISTS, NO_PERMITS
from tests import naive_ranking
from tests.naive import CARTS, ORDERS, Event, batch_of
from tests.shop import lists_of
from tests.strategies import N_ITEMS, asking, few, rows

BITS, HISTORY, WIDTH = (2, 16), 32, 4
FEATURES = len(LIST_COLUMNS) + len(PAIR_COLUMNS) + len(SESSION_COLUMNS)
COLUMNS = np.random.default_rng(3).normal(size=(N_ITEMS, 2)).astype(np.float32)

one_list = st.lists(st.integers(0, N_ITEMS - 1), max_size=WIDTH, unique=True).map(
    lambda items: [(item, 1.0 / (2 + place)) for place, item in enumerate(items)]
)
two_lists = st.tuples(one_list, one_list)


def cells(lists):
    """Lists of all sessions as the kernels take them."""
    items = np.full((len(lists), len(BITS), WIDTH), -1, np.int32)
    scores = np.zeros(items.shape, np.float32)
    for s, of_session in enumerate(lists):
        for q, each in enumerate(of_session):
            for j, (item, score) in enumerate(each):
                items[s, q, j], scores[s, q, j] = item, score
    return items, scores


def unite(sessions, lists, takes, history_events=30, most=20, permitted=NO_PERMITS):
    """The kernel's candidates as dicts of bits, one a session."""
    batch, bits = batch_of(sessions), np.array(BITS, np.uint8)
    offsets, items, sources = kernel.unite(
        batch.offsets,
        batch.items,
        cells(lists)[0],
        np.array(takes, np.int64),
        bits,
        history_events,
        HISTORY,
        most,
        *permitted,
    )
    assert (offsets.dtype, items.dtype, sources.dtype) == (np.int64, np.int32, np.uint8)
    assert offsets[-1] == len(items) == len(sources)
    pairs = list(zip(items.tolist(), sources.tolist(), strict=True))
    found = [pairs[a:b] for a, b in pairwise(offsets)]
    assert all(len(dict(each)) == len(each) for each in found)
    return [dict(each) for each in found]


def columns(sets):
    if sets is None:
        return NO_LISTS
    lists = lists_of(*map(sorted, sets))
    return lists.offsets, lists.items


@few
@given(
    st.data(),
    asking,
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.sampled_from([0, 1, 3, 30]),
    st.integers(1, N_ITEMS + 1),
)
def test_candidates_are_united_as_defined(data, sessions, takes, history_events, most):
    n = len(sessions)
    lists = data.draw(st.lists(two_lists, min_size=n, max_size=n))
    bans, allows = (data.draw(st.none() | st.lists(rows, min_size=n, max_size=n)) for _ in range(2))
    found = unite(sessions, lists, takes, history_events, most, (*columns(bans), *columns(allows)))
    for s, session in enumerate(sessions):
        banned, allowed = bans[s] if bans else (), allows[s] if allows else None
        wanted = naive_ranking.unite(session, lists[s], takes, BITS, history_events, HISTORY, most, banned, allowed)
        assert list(found[s].items()) == list(wanted.items())
        alone = (*columns(bans and bans[s : s + 1]), *columns(allows and allows[s : s + 1]))
        assert unite([session], [lists[s]], takes, history_events, most, alone) == [found[s]]


def test_a_full_set_still_notes_who_else_brought_a_candidate():
    lists = [([(3, 1.0), (4, 0.5)], [(4, 1.0), (3, 0.5), (0, 0.1)])]
    assert unite([[Event(0), Event(-1)]], lists, (4, 4), most=2) == [{0: HISTORY | 16, 3: 2 | 16}]


def test_no_session_and_no_lists_bring_nothing():
    assert unite([], [], (1, 1)) == []
    assert unite([[], [Event(-1)]], [([], []), ([], [])], (1, 1)) == [{}, {}]


def test_a_ban_on_an_unknown_item_bans_nothing_else():
    permitted = (*columns([{-1, 0}]), *NO_LISTS)
    assert unite([[Event(0), Event(1)]], [([(2, 1.0)], [])], (1, 1), permitted=permitted) == [{1: HISTORY, 2: 2}]


def describe(sessions, chosen, lists):
    batch, rows_of = batch_of(sessions), lists_of(*chosen)
    return pair_columns.describe(
        batch.offsets,
        batch.items,
        batch.ts,
        batch.types,
        rows_of.offsets,
        rows_of.items,
        *cells(lists),
        COLUMNS,
    )


@few
@given(st.data(), asking)
def test_candidates_are_described_as_defined(data, sessions):
    n = len(sessions)
    lists = data.draw(st.lists(two_lists, min_size=n, max_size=n))
    chosen = [data.draw(st.permutations(sorted(each))) for each in data.draw(st.lists(rows, min_size=n, max_size=n))]
    found = describe(sessions, chosen, lists)
    assert found.dtype == np.float32
    assert found.shape == (sum(map(len, chosen)), 2 * len(BITS) + FEATURES + 2 * COLUMNS.shape[1])
    at = 0
    for s, session in enumerate(sessions):
        part = found[at : at + len(chosen[s])]
        at += len(chosen[s])
        assert part.tobytes() == describe([session], [chosen[s]], [lists[s]]).tobytes()
        if chosen[s]:
            wanted = naive_ranking.describe(session, chosen[s], lists[s], COLUMNS.tolist())
            np.testing.assert_allclose(part, wanted, rtol=1e-6)


def test_what_a_session_did_with_an_item_by_hand():
    session = [
        Event(2, 0),
        Event(1, 1000, CARTS),
        Event(0, 2000),
        Event(1, 5000, ORDERS),
        Event(-1, 9000),
        Event(0, 10_000),
    ]
    found = describe([session], [[1, 5]], [([(5, 0.5)], [])])
    before = 2 * len(BITS) + len(LIST_COLUMNS)
    pair = slice(before, before + len(PAIR_COLUMNS))
    assert dict(zip(PAIR_COLUMNS, found[0, pair].tolist(), strict=True)) == {
        "steps_since": 2,
        "items_since": 0,
        "seconds_since": 5,
        "times_seen": 2,
        "steps_since_first": 4,
        "last_type": ORDERS,
        "carts_here": 1,
        "orders_here": 1,
        "times_after_last": 1,
        "dwell_seconds": 4,
        "dwell_seconds_in_all": 5,
    }
    assert found[1, :before].tolist() == [0.5, 0, 0, NEVER, 1, 0, pytest.approx(1 / 5)]
    assert found[0, :before].tolist() == [0, NEVER, 0, NEVER, 0, NEVER, 0]
    assert found[1, pair].tolist() == [NEVER, NEVER, 1000 * NEVER, 0, NEVER, -1, 0, 0, 0, -1, 0]
    assert dict(zip(SESSION_COLUMNS, found[0, -len(SESSION_COLUMNS) :].tolist(), strict=True)) == pytest.approx(
        {
            "session_events": 6,
            "session_items": 4,
            "session_last_type": 0,
            "session_gap_seconds": 1,
            "session_gap_before_seconds": 4,
            "session_seconds": 10,
            "session_repeat_share": 1 / 3,
            "session_same_item_twice": 0,
            "session_hour": 0,
        }
    )


KINDS = ((0, np.float32), (1, np.uint8))
scored = st.dictionaries(
    st.integers(0, N_ITEMS - 1), st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(1, 63)), max_size=N_ITEMS
)


@few
@given(st.lists(scored, max_size=4), st.integers(1, N_ITEMS + 2))
def test_the_best_keep_their_scores_and_sources(sessions, k):
    def best(some):
        lists = lists_of(*some)
        scores, bits = (np.array([pair[i] for each in some for pair in each.values()], t) for i, t in KINDS)
        return kernel.best_candidates(lists.offsets, lists.items, bits, scores, k)

    found = best(sessions)
    assert [array.dtype for array in found] == [np.int32, np.float32, np.uint8]
    assert {array.shape for array in found} == {(len(sessions), k)}
    for s, each in enumerate(sessions):
        scores, bits = ({item: pair[i] for item, pair in each.items()} for i in (0, 1))
        rows_of = list(zip(*(array[s].tolist() for array in found), strict=True))
        assert rows_of == naive_ranking.best_candidates(scores, bits, k)
        assert [array[0].tolist() for array in best([each])] == [array[s].tolist() for array in found]
