"""The kernels that answer sessions, each against its naive twin; the models call them with just these arguments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.config import CovisitationConfig, Item2vecConfig
from nextcart.kernels import scoring
from nextcart.models.model import frozen
from nextcart.models.permits import NO_LISTS
from nextcart.types import ItemLists
from tests import naive
from tests.naive import Event, batch_of, check_ranking
from tests.shop import lists_of
from tests.strategies import N_ITEMS, asking, few, rows

weights = st.sampled_from([0.25, 1.0, 2.5, 3.0])
neighbour_lists = st.lists(
    st.dictionaries(st.integers(0, N_ITEMS - 1), weights, max_size=4), min_size=N_ITEMS, max_size=N_ITEMS
)
k_values = st.integers(1, N_ITEMS + 2)


def columns(lists: ItemLists | None):
    return NO_LISTS if lists is None else (lists.offsets, lists.items)


def packed(lists: list[dict[int, float]]):
    """Neighbour lists as the models keep them."""
    offsets = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    pairs = [pair for each in lists for pair in naive.best(each, len(each))]
    items = np.array([item for item, _ in pairs], np.int32)
    return frozen(offsets), frozen(items), frozen(np.array([weight for _, weight in pairs], np.float32))


def mask_of(blocked) -> np.ndarray:
    """As the models keep blocked rows; empty where there are none."""
    mask = np.zeros(N_ITEMS if blocked else 0, np.uint8)
    mask[sorted(blocked)] = 1
    return frozen(mask)


blocked_rows = st.sets(st.integers(0, N_ITEMS - 1), max_size=4)


@st.composite
def limits(draw, n: int):
    """A ban and an allow list a session, or none at all; each as sets and as columns."""
    bans = draw(st.none() | st.lists(rows, min_size=n, max_size=n))
    allows = draw(st.none() | st.lists(rows, min_size=n, max_size=n))
    as_lists = [None if sets is None else lists_of(*map(sorted, sets)) for sets in (bans, allows)]
    return bans or [set()] * n, allows or [None] * n, (*columns(as_lists[0]), *columns(as_lists[1]))


@few
@given(st.data(), asking, neighbour_lists, k_values, st.sampled_from([1, 3, 10]), st.sampled_from([1.0, 0.9]))
def test_neighbours_are_summed_as_defined(data, sessions, lists, k, events, decay):
    bans, allows, permitted = data.draw(limits(len(sessions)))
    blocked = data.draw(blocked_rows)
    asked = (*packed(lists), events, decay, (1.0, 3.0, 0.0))
    batch = batch_of(sessions)
    items, scores = scoring.score_neighbours(
        batch.offsets, batch.items, batch.types, *asked, k, *permitted, mask_of(blocked)
    )
    config = CovisitationConfig(
        query_events=events, query_decay=decay, query_type_weights={"clicks": 1, "carts": 3, "orders": 0}
    )
    pairs = {item: list(each.items()) for item, each in enumerate(lists)}
    for s, session in enumerate(sessions):
        wanted = naive.covisitation_query(session, pairs, config)
        check_ranking(items[s], scores[s], naive.permitted(wanted, bans[s] | blocked, allows[s]), k)


@few
@given(st.data(), st.dictionaries(st.integers(0, N_ITEMS - 1), weights), st.integers(0, 3), k_values)
def test_a_popularity_list_is_taken_from_the_top(data, popular, n, k):
    bans, allows, permitted = data.draw(limits(n))
    blocked = data.draw(blocked_rows)
    ranked = naive.best(popular, N_ITEMS)
    list_items = np.array([item for item, _ in ranked], np.int32)
    list_scores = np.array([score for _, score in ranked], np.float32)
    items, scores = scoring.take_top(n, k, frozen(list_items), frozen(list_scores), *permitted, mask_of(blocked))
    assert items.shape == scores.shape == (n, k)
    for s in range(n):
        check_ranking(items[s], scores[s], naive.permitted(popular, bans[s] | blocked, allows[s]), k)


@few
@given(st.data(), st.lists(st.dictionaries(st.integers(0, N_ITEMS - 1), weights), max_size=3), k_values)
def test_what_a_search_found_is_filtered(data, found, k):
    bans, allows, permitted = data.draw(limits(len(found)))
    found_items = np.full((len(found), N_ITEMS), -1, np.int32)
    found_scores = np.full((len(found), N_ITEMS), np.finfo(np.float32).min, np.float32)
    for s, each in enumerate(found):
        for place, (item, score) in enumerate(naive.best(each, N_ITEMS)):
            found_items[s, place], found_scores[s, place] = item, score
    items, scores = scoring.first_permitted(found_items, found_scores, k, *permitted)
    for s, each in enumerate(found):
        check_ranking(items[s], scores[s], naive.permitted(each, bans[s], allows[s]), k)


vectors = st.integers(0, 2**16).map(
    lambda seed: np.random.default_rng(seed).integers(-2, 3, (N_ITEMS - 1, 3)).astype(np.float32)
)


@few
@given(st.data(), asking, vectors, k_values, st.sampled_from([1, 3]), st.sampled_from([1.0, 0.7]))
def test_allowed_items_are_held_against_the_vectors(data, sessions, matrix, k, events, decay):
    allows = data.draw(st.lists(rows, min_size=len(sessions), max_size=len(sessions)))
    bans = data.draw(st.lists(rows, min_size=len(sessions), max_size=len(sessions)))
    permitted = (*columns(lists_of(*map(sorted, bans))), *columns(lists_of(*map(sorted, allows))))
    batch, config = batch_of(sessions), Item2vecConfig(query_events=events, query_decay=decay, cosine_power=2)
    items, scores = scoring.score_allowed(
        batch.offsets, batch.items, frozen(matrix), events, decay, config.cosine_power, k, *permitted
    )
    for s, session in enumerate(sessions):
        wanted = naive.item2vec_query(session, matrix, config)
        check_ranking(items[s], scores[s], naive.permitted(wanted, bans[s], allows[s]), k)


def test_an_item_allowed_twice_comes_once_and_one_across_not_at_all():
    matrix = frozen(np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]], np.float32))
    batch, allowed = batch_of([[Event(0)]]), columns(lists_of([0, 0, 1, 1, 1, 2, 3]))
    items, scores = scoring.score_allowed(batch.offsets, batch.items, matrix, 5, 0.7, 2.0, 4, *NO_LISTS, *allowed)
    assert items.tolist() == [[0, 1, -1, -1]]
    assert scores[0].tolist() == pytest.approx([1.0, 0.36, 0.0, 0.0])


def test_a_ban_on_an_unknown_item_bans_nothing():
    batch = batch_of([[Event(0)]])
    lists = packed([{0: 1.0, 1: 2.0, 2: 1.0}, {}, {}])
    banned = columns(lists_of([-1, 0]))
    items, scores = scoring.score_neighbours(
        batch.offsets, batch.items, batch.types, *lists, 10, 0.9, (1.0, 3.0, 5.0), 3, *banned, *NO_LISTS, mask_of([])
    )
    assert items.tolist() == [[1, 2, -1]]
    assert scores.tolist() == [[2.0, 1.0, 0.0]]


@few
@given(st.data(), asking)
def test_lists_are_joined_without_unknown_items(data, sessions):
    batch = batch_of(sessions)
    others = data.draw(st.none() | st.lists(rows, min_size=len(sessions), max_size=len(sessions)))
    extra = columns(None if others is None else lists_of(*map(sorted, others)))
    offsets, items = scoring.join_lists(batch.offsets, batch.items, *extra)
    for s, session in enumerate(sessions):
        wanted = [event.item for event in session if event.item >= 0] + sorted(others[s] if others else [])
        assert items[offsets[s] : offsets[s + 1]].tolist() == wanted


def test_joined_lists_lose_unknown_items_of_both_sides():
    a, b = lists_of([-1, 3], []), lists_of([4, -1], [-1])
    offsets, items = scoring.join_lists(a.offsets, a.items, b.offsets, b.items)
    assert offsets.tolist() == [0, 2, 2]
    assert items.tolist() == [3, 4]


@few
@given(st.sets(st.integers(0, 2**31 - 1), max_size=100))
def test_a_table_holds_each_row_once_and_finds_it(known):
    table = scoring.new_table(len(known))
    for row in [*known, *known]:
        table[scoring.slot_of(table, row)] = row
    assert sorted(table[table >= 0].tolist()) == sorted(known)
    assert len(table) >= 2 * len(known)


@few
@given(rows, st.integers(-1, N_ITEMS))
def test_a_sorted_list_is_searched_within_its_bounds(held, row):
    around = np.array([row, *sorted(held), row], np.int32)
    assert scoring.holds(around, 1, len(around) - 1, row) == (row in held)
