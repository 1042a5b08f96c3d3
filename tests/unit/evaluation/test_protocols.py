import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.evaluation.protocols import next_event, sample_sessions
from tests import naive
from tests.naive import CARTS, ORDERS, Event, batch_of, sessions_of
from tests.strategies import few, session

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
