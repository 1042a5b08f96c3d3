import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.evaluation.cutting import Questions
from nextcart.evaluation.protocols import next_event, sample_sessions
from nextcart.evaluation.protocols.basket_completion import completions
from nextcart.evaluation.protocols.multi_objective import draw_cuts, later_labels
from nextcart.evaluation.protocols.next_click import next_clicks
from nextcart.evaluation.protocols.next_event import last_events
from nextcart.evaluation.protocols.next_period import FIGURES, SIZES, add_means, best, fit_lists, held, list_places
from nextcart.models.model import FitOptions, TrainingArrays
from tests import naive, naive_protocols
from tests.naive import CARTS, CLICKS, DAY_MS, ORDERS, Event, batch_of, sessions_of
from tests.strategies import N_ITEMS, few, session

complete = st.lists(session(max_events=12), min_size=0, max_size=6)
"""Sessions whose items are all known, some of them empty."""
held_out = st.lists(session(min_events=1, max_events=12, unknown=True), min_size=0, max_size=6)


@few
@given(held_out, st.sampled_from([1, 2, 5]))
def test_questions_are_those_defined(sessions, history_events):
    task = next_event(batch_of(sessions), history_events)
    wanted = [naive.next_event(each, history_events) for each in sessions]
    assert len(task) == len(sessions)
    assert sessions_of(task.history) == [question.history for question in wanted]
    assert task.targets.items.tolist() == [question.target for question in wanted]
    assert task.targets.offsets.tolist() == list(range(len(sessions) + 1))
    assert task.repeats.tolist() == [question.repeats for question in wanted]
    assert task.unknown.tolist() == [question.unknown for question in wanted]
    assert task.repeats.dtype == task.unknown.dtype == bool


def test_by_hand():
    task = next_event(
        batch_of(
            [
                [Event(item, 10 * item, CARTS) for item in range(7)],
                [Event(3, 5, ORDERS)],
                [Event(4), Event(5, 1), Event(5, 2), Event(5, 3), Event(5, 4), Event(5, 5), Event(5, 6), Event(4, 7)],
                [Event(-1), Event(-1, 1)],
            ]
        ),
        5,
    )
    first, single, long, unknown = sessions_of(task.history)
    assert first == [Event(item, 10 * item, CARTS) for item in (1, 2, 3, 4, 5)]
    assert single == []
    assert [event.item for event in long] == [5] * 5
    assert unknown == [Event(-1)]
    assert task.targets.items.tolist() == [6, 3, 4, -1]
    # Item 4 repeats although it is not among the five events that are shown; unknown items repeat nothing.
    assert task.repeats.tolist() == [False, False, True, False]
    assert task.unknown.tolist() == [False, False, False, True]


def test_columns_keep_their_types():
    task = next_event(batch_of([[Event(1), Event(2, 5)]]), 5)
    history = task.history
    assert [column.dtype for column in (history.offsets, history.items, history.ts, history.types)] == [
        np.int64,
        np.int32,
        np.int64,
        np.uint8,
    ]
    assert (task.targets.items.dtype, task.targets.offsets.dtype) == (np.int32, np.int64)


@few
@given(held_out, st.integers(0, 8))
def test_a_sample_is_whole_sessions_in_their_order(sessions, limit):
    sample = sessions_of(sample_sessions(batch_of(sessions), limit))
    assert len(sample) == min(limit, len(sessions))
    places = iter(sessions)
    assert all(any(each == mine for each in places) for mine in sample)


def test_a_sample_is_spread_over_all_sessions_and_none_comes_twice():
    batch = batch_of([[Event(item)] for item in range(1000)])
    for limit in (1, 2, 3, 7, 500, 999):
        rows = sample_sessions(batch, limit).items
        assert len(set(rows.tolist())) == len(rows) == limit
        if limit > 1:
            assert (rows[0], rows[-1]) == (0, 999)
            assert np.diff(rows).max() - np.diff(rows).min() <= 1


@pytest.mark.parametrize("limit", [None, 3, 4])
def test_no_limit_or_one_that_is_not_reached_takes_all(limit):
    batch = batch_of([[Event(1)], [Event(2), Event(3)], [Event(4)]])
    assert sample_sessions(batch, limit) is batch


def asked_of(parts: list[Questions]) -> list[naive_protocols.Asked]:
    """The questions as the plain ones are written."""
    found = []
    for part in parts:
        lists = np.split(part.targets.items, part.targets.offsets[1:-1])
        repeats = np.split(part.repeats, part.targets.offsets[1:-1])
        for at, history in enumerate(sessions_of(part.history)):
            found.append(
                naive_protocols.Asked(
                    int(part.session[at]), history, lists[at].tolist(), repeats[at].tolist(), int(part.before[at])
                )
            )
    return found


@few
@given(held_out)
def test_events_on_unknown_items_are_dropped_and_no_session(sessions):
    assert sessions_of(batch_of(sessions).known()) == naive_protocols.known(sessions)


@few
@given(held_out)
def test_last_events_are_the_task_of_next_event(sessions):
    asked, task = last_events(batch_of(sessions), 5), next_event(batch_of(sessions), 5)
    assert sessions_of(asked.history) == sessions_of(task.history)
    assert asked.targets.items.tolist() == task.targets.items.tolist()
    assert asked.repeats.tolist() == task.repeats.tolist()
    assert asked.before.tolist() == [len(each) - 1 for each in sessions]


@few
@given(complete, st.sampled_from([1, 2, 50]), st.sampled_from([1, 3, 200]), st.sampled_from([1, 2, 4096]))
def test_every_next_click_is_asked_for(sessions, last_positions, most, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nextcart.evaluation.protocols.next_click.BATCH_QUESTIONS", size)
        found = asked_of(list(next_clicks(batch_of(sessions), last_positions, most)))
    assert found == naive_protocols.next_clicks(sessions, last_positions, most)


def test_next_clicks_by_hand():
    """The first event poses no question, a cart is never the target but stays in the history."""
    batch = batch_of([[Event(1), Event(2, 1, CARTS), Event(1, 2), Event(3, 3)], [Event(4)], [Event(5, 0, ORDERS)]])
    (asked,) = next_clicks(batch, 50, 200)
    assert asked.targets.items.tolist() == [1, 3]
    assert [[event.item for event in history] for history in sessions_of(asked.history)] == [[1, 2], [1, 2, 1]]
    assert asked.repeats.tolist() == [True, False]
    assert asked.before.tolist() == [2, 3]


@few
@given(complete, st.integers(0, 5), st.sampled_from([1, 3, 200]))
def test_labels_after_the_cut_are_those_of_the_official_protocol(sessions, seed, most):
    cuts = draw_cuts(np.array([len(each) for each in sessions], np.int64), seed)
    for kind, objective in enumerate(("clicks", "carts", "orders")):
        found = asked_of([later_labels(batch_of(sessions), cuts, objective, most)])
        assert found == naive_protocols.later_labels(sessions, cuts.tolist(), kind, most)


def test_labels_by_hand():
    """Cut after two events: the next click is 7 though a cart comes first, carts 3 and 2 once each, orders none."""
    events = [(2, CLICKS), (1, CARTS), (3, CARTS), (7, CLICKS), (8, CLICKS), (2, CARTS), (3, CARTS)]
    batch = batch_of([[Event(item, at, kind) for at, (item, kind) in enumerate(events)]])
    cuts = np.array([2])
    clicks, carts, orders = (later_labels(batch, cuts, name, 200) for name in ("clicks", "carts", "orders"))
    assert clicks.targets.items.tolist() == [7]
    assert carts.targets.items.tolist() == [3, 2]
    # Item 2 was clicked before the cut.
    assert carts.repeats.tolist() == [False, True]
    assert len(orders) == 0


def test_cuts_are_even_and_seeded():
    sizes = np.full(6000, 4)
    cuts = draw_cuts(sizes, 42)
    assert np.bincount(cuts, minlength=5)[1:4] == pytest.approx([2000] * 3, rel=0.1)
    assert set(cuts.tolist()) == {1, 2, 3}
    assert draw_cuts(sizes, 42).tolist() == cuts.tolist() != draw_cuts(sizes, 43).tolist()
    assert draw_cuts(np.array([0, 1, 2]), 42).tolist() == [0, 0, 1]


@few
@given(complete, st.data())
def test_baskets_are_completed(sessions, data):
    draw = st.floats(0, 1, exclude_max=True)
    draws = np.array(data.draw(st.lists(draw, min_size=len(sessions), max_size=len(sessions))))
    asked = completions(batch_of(sessions), draws)
    lists = np.split(asked.targets.items, asked.targets.offsets[1:-1])
    found = [
        (int(asked.session[at]), history[0].item, lists[at].tolist())
        for at, history in enumerate(sessions_of(asked.history))
    ]
    assert found == naive_protocols.completions(sessions, draws.tolist())
    assert np.diff(asked.history.offsets).tolist() == [1] * len(asked)


def test_a_basket_by_hand():
    """Clicks are no part of a basket, an item that is carted and ordered is one; the second of three is given."""
    events = [(9, CLICKS), (1, CARTS), (2, CARTS), (1, ORDERS), (3, ORDERS)]
    batch = batch_of([[Event(item, at, kind) for at, (item, kind) in enumerate(events)], [Event(1, 0, CARTS)]])
    asked = completions(batch, np.array([0.5, 0.5]))
    assert asked.history.items.tolist() == [2]
    assert asked.targets.items.tolist() == [1, 3]
    assert asked.session.tolist() == [0]


@few
@given(st.lists(session(min_events=1), min_size=1, max_size=8), held_out)
def test_what_the_lists_hold_of_the_next_period(learned, sessions):
    training = batch_of(learned)
    counts = np.bincount(training.items, minlength=N_ITEMS)
    lists = fit_lists(TrainingArrays(training, counts), naive.TopSellersConfig(), [0.1], FitOptions())
    end_ts = int(training.ts.max())
    moved = [[event._replace(ts=event.ts + 2 * DAY_MS) for event in each] for each in sessions]
    for model in lists.values():
        num, den = held(batch_of(moved), list_places(model, N_ITEMS), end_ts)
        for days, period in ((1, "day"), (7, "week")):
            for kind, name in enumerate(("clicks", "carts", "orders")):
                for size in SIZES:
                    top = model.lists[model.list_for(name)][0][:size].tolist()
                    wanted = naive_protocols.held(moved, top, kind, days, end_ts)
                    column = FIGURES.index(f"{name}@{size}/{period}")
                    assert list(zip(num[:, column], den[:, column], strict=True)) == wanted


def test_the_best_decay_is_that_of_the_mean_over_the_types_that_there_were():
    figures = {name: np.array([np.nan]) for name in FIGURES}
    figures |= {"clicks@20/week": np.array([0.5]), "orders@20/week": np.array([0.2])}
    add_means(figures)
    assert figures["mean@20/week"].tolist() == [0.35]
    assert np.isnan(figures["mean@20/day"]).all()
    found = {name: {"next": {"mean@20/week": mean}} for name, mean in (("decay 0", 0.2), ("decay 1", 0.3))}
    assert best(found) == "decay 1"
    assert best({"decay 0": {"next": {"mean@20/week": None}}}) is None
    assert best({"decay 0": {"next": {"mean@20/week": 0.0}}, "decay 1": {"next": {"mean@20/week": 0.0}}}) is None
