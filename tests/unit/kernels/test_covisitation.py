import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.config import DEFAULT_MATRICES, CovisitationConfig, MatrixConfig, TypeWeights
from nextcart.kernels.covisitation import CLOSES, OPENS, event_index, keep_types, two_hop_neighbours
from nextcart.models.covisitation import Covisitation
from nextcart.models.model import FitOptions, TrainingArrays
from nextcart.models.neighbour_lists import NeighbourLists
from tests import naive
from tests.naive import CARTS, CLICKS, HOUR_MS, ORDERS, Event, batch_of, check_ranking
from tests.strategies import N_ITEMS, few, training

matrices = st.builds(
    MatrixConfig,
    direction=st.sampled_from(["later", "after", "around"]),
    last_events=st.sampled_from([1, 2, 3, 20]),
    window_hours=st.sampled_from([1.0, 12.0, 1000.0]),
    decay_per_hour=st.sampled_from([0.0, 0.05, 2.0]),
    position_decay=st.sampled_from([1.0, 0.6]),
    type_weights=st.sampled_from([TypeWeights(), TypeWeights(clicks=0.0, carts=1.0, orders=0.5)]),
    look_back_events=st.sampled_from([0, 1, 2]),
    keep_diagonal=st.booleans(),
    normalised=st.booleans(),
    top_n=st.sampled_from([1, 2, 40]),
)


def count(sessions, config: MatrixConfig, threads: int = 1, n_items: int = N_ITEMS) -> NeighbourLists:
    """The lists of a named matrix, or of the main one where the config is that of the model."""
    batch = batch_of(sessions)
    arrays = TrainingArrays(batch, np.bincount(batch.items, minlength=n_items))
    if isinstance(config, CovisitationConfig):
        return Covisitation.fit(arrays, config, FitOptions(threads=threads)).matrices["main"]
    asked = CovisitationConfig(top_n=1, matrices={"asked": config})
    return Covisitation.fit(arrays, asked, FitOptions(threads=threads)).matrices["asked"]


def neighbours(lists: NeighbourLists, item: int) -> list[tuple[int, float]]:
    span = slice(lists.offsets[item], lists.offsets[item + 1])
    return list(zip(lists.items[span].tolist(), lists.weights[span].tolist(), strict=True))


@few
@given(training, matrices)
def test_pairs_are_counted_as_defined(sessions, config):
    lists = count(sessions, config)
    wanted = naive.covisitation(sessions, config)
    for item in range(N_ITEMS):
        found = neighbours(lists, item)
        assert len(found) == min(config.top_n, len(wanted[item]))
        if found:
            check_ranking(*zip(*found, strict=True), wanted[item], len(found))


@few
@given(training, matrices, st.sampled_from([2, 5]))
def test_threads_do_not_change_the_lists(sessions, config, threads):
    one, many = (count(sessions, config, n) for n in (1, threads))
    for name, array in one.arrays().items():
        assert array.tobytes() == many.arrays()[name].tobytes()


@few
@given(training, matrices)
def test_normalised_weights_are_shares(sessions, config):
    lists = count(sessions, config.model_copy(update={"normalised": True, "top_n": N_ITEMS}))
    cut = count(sessions, config.model_copy(update={"normalised": True, "top_n": 1}))
    for item in range(N_ITEMS):
        found = neighbours(lists, item)
        assert sum(weight for _, weight in found) == pytest.approx(1.0 if found else 0.0)
        # What is not kept was counted all the same.
        assert neighbours(cut, item) == found[:1]


@few
@given(training, matrices)
def test_around_is_after_in_either_direction(sessions, config):
    """Where all types weigh the same, as often as b stands around a, a stands around b."""
    alike = {"type_weights": TypeWeights(clicks=1.0, carts=1.0, orders=1.0), "normalised": False, "top_n": N_ITEMS}
    around, after = (
        {(a, b): weight for a in range(N_ITEMS) for b, weight in neighbours(count(sessions, matrix), a)}
        for matrix in (config.model_copy(update=alike | {"direction": each}) for each in ("around", "after"))
    )
    assert around.keys() == after.keys() | {(b, a) for a, b in after}
    for (a, b), weight in around.items():
        assert weight == pytest.approx(after.get((a, b), 0.0) + after.get((b, a), 0.0))


lists_of_neighbours = st.lists(
    st.dictionaries(st.integers(0, N_ITEMS - 1), st.sampled_from([0.0, 0.125, 0.3, 0.6, 1.0])),
    min_size=N_ITEMS,
    max_size=N_ITEMS,
)


@few
@given(lists_of_neighbours, st.integers(1, N_ITEMS), st.sampled_from([1, 2, 40]))
def test_two_hops_are_as_defined(weights, width, top_n):
    ranked = {item: naive.best(each, len(each)) for item, each in enumerate(weights)}
    pairs = [pair for item in range(N_ITEMS) for pair in ranked[item]]
    offsets = np.cumsum([0, *(len(ranked[item]) for item in range(N_ITEMS))], dtype=np.int64)
    items = np.array([item for item, _ in pairs], np.int32)
    scores = np.array([weight for _, weight in pairs], np.float32)
    out = np.empty((N_ITEMS, top_n), np.int32), np.empty((N_ITEMS, top_n), np.float32), np.zeros(N_ITEMS, np.int32)
    for first, stop in ((0, 2), (2, N_ITEMS)):
        two_hop_neighbours(first, stop, offsets, items, scores, width, *out)
    lists = NeighbourLists.from_padded(*out)
    wanted = naive.two_hop(ranked, width)
    for item in range(N_ITEMS):
        found = neighbours(lists, item)
        scored = {other: weight for other, weight in wanted[item].items() if weight > 0}
        assert len(found) == min(top_n, len(scored))
        if found:
            check_ranking(*zip(*found, strict=True), scored, len(found))


def test_a_table_by_hand():
    """One session: 0 clicked, 1 carted an hour later, 0 again at that moment, 2 ordered 12 hours after the first."""
    session = [Event(0, 0), Event(1, HOUR_MS, CARTS), Event(0, HOUR_MS), Event(2, 12 * HOUR_MS, ORDERS)]
    lists = count([session], CovisitationConfig())
    assert neighbours(lists, 0) == [
        # 5 * exp(-0.05 * 12) from the first click and 5 * exp(-0.05 * 11) from the second.
        (2, pytest.approx(5 * np.exp(-0.6) + 5 * np.exp(-0.55))),
        # 3 * exp(-0.05 * 1); from the second click nothing, for the cart is not later.
        (1, pytest.approx(3 * np.exp(-0.05))),
    ]
    assert neighbours(lists, 1) == [(2, pytest.approx(5 * np.exp(-0.55)))]
    assert neighbours(lists, 2) == []


def test_a_row_by_hand():
    """Events 0, 1, 0, 2 at one moment, read forwards, around, and with a share for each."""
    session = [Event(0, 0), Event(1, 0, CARTS), Event(0, 0), Event(2, 0)]
    weights = TypeWeights(clicks=1.0, carts=2.0, orders=1.0)
    matrix = MatrixConfig(direction="after", position_decay=0.5, type_weights=weights)
    # 1 follows the first 0 at once; 2 follows the second 0 at once and the first at distance 3.
    assert neighbours(count([session], matrix), 0) == [(1, 2.0), (2, 1.25)]
    around = matrix.model_copy(update={"direction": "around", "look_back_events": 2})
    # The cart stands beside both, 2 beside the second alone.
    assert neighbours(count([session], around), 0) == [(1, 4.0), (2, 1.0)]
    kept = around.model_copy(update={"keep_diagonal": True, "normalised": True})
    # The two 0 are each other's next but one: 2 * 0.5.
    assert neighbours(count([session], kept), 0) == [
        (1, pytest.approx(4 / 6)),
        *((i, pytest.approx(1 / 6)) for i in (0, 2)),
    ]


def test_a_matrix_of_what_nobody_does_is_empty():
    """Clicks alone, and a matrix that counts carts and orders."""
    lists = count([[Event(0, 0), Event(1, 1)]], DEFAULT_MATRICES["buys"])
    assert np.diff(lists.offsets).tolist() == [0] * N_ITEMS
    assert len(lists.items) == len(lists.weights) == 0


@pytest.mark.parametrize(("gap", "counts"), [(0, False), (1, True), (12 * HOUR_MS, True), (12 * HOUR_MS + 1, False)])
def test_the_window_is_open_at_zero_and_closed_at_its_end(gap, counts):
    lists = count([[Event(0, 0), Event(1, gap)]], CovisitationConfig())
    assert (len(lists.items) == 1) is counts


def test_only_the_last_twenty_events_make_pairs():
    """Of 21 clicks on items of their own the first makes no pair, the second is followed by 19."""
    session = [Event(item, 1000 * item) for item in range(21)]
    lists = count([session], CovisitationConfig(), n_items=21)
    assert np.diff(lists.offsets).tolist() == [0, *range(19, -1, -1)]


def test_forty_neighbours_are_kept_and_ties_go_to_the_smaller_row():
    """Item 50 is followed by items 0 to 49, all at one moment."""
    sessions = [[Event(50, 0), *(Event(item, 1000) for item in range(start, start + 10))] for start in range(0, 50, 10)]
    lists = count(sessions, CovisitationConfig(), n_items=51)
    assert [item for item, _ in neighbours(lists, 50)] == list(range(40))


def test_sessions_do_not_pair_with_one_another():
    lists = count([[Event(0, 0)], [Event(1, 1000)], [Event(2, 2000)]], CovisitationConfig())
    assert len(lists.items) == 0


def test_a_named_matrix_has_its_own_settings():
    """Only the very next event, the item itself kept, all types alike."""
    session = [Event(0, 0), Event(0, 1000, CARTS), Event(1, 2000, ORDERS)]
    alike = TypeWeights(clicks=1.0, carts=1.0, orders=1.0)
    matrix = MatrixConfig(look_back_events=1, keep_diagonal=True, decay_per_hour=0.0, type_weights=alike)
    lists = count([session], matrix)
    assert neighbours(lists, 0) == [(0, 1.0), (1, 1.0)]


def test_the_index_holds_the_last_events_of_each_session_by_item():
    offsets, items = np.array([0, 3, 3, 5], np.int64), np.array([2, 0, 2, 1, 2], np.int32)
    starts, positions, edges = event_index(offsets, items, 4, 2)
    assert starts.tolist() == [0, 1, 2, 4, 4]
    assert positions.tolist() == [1, 3, 2, 4]
    assert edges.tolist() == [0, OPENS, CLOSES, OPENS, CLOSES]
    assert event_index(offsets, items, 4, 1)[2].tolist() == [0, 0, OPENS | CLOSES, 0, OPENS | CLOSES]


@few
@given(training, st.integers(1, 4))
def test_events_from_a_type_up_are_kept_from_the_end(sessions, last_events):
    batch = batch_of(sessions)
    offsets, items, ts = keep_types(batch.offsets, batch.items, batch.ts, batch.types, CARTS, last_events)
    wanted = [[event for event in session if event.type != CLICKS][-last_events:] for session in sessions]
    assert np.diff(offsets).tolist() == [len(kept) for kept in wanted]
    assert items.tolist() == [event.item for kept in wanted for event in kept]
    assert ts.tolist() == [event.ts for kept in wanted for event in kept]
