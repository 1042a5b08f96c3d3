"""The kernels that cut sessions at a moment, each against its naive twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.kernels import folds
from nextcart.types import SessionBatch
from tests import naive_ranking
from tests.naive import HOUR_MS, Event, batch_of, sessions_of
from tests.shop import lists_of
from tests.strategies import GAPS, N_ITEMS, asking, few, rows

START = 1_700_000_000_000
cuts = st.sampled_from([*(START + gap for gap in GAPS), START - 1, START + 30 * HOUR_MS, START + 10_000 * HOUR_MS])


@few
@given(asking, cuts, st.integers(1, 3))
def test_events_before_a_cut_are_counted_where_they_are_enough(sessions, cut, least):
    batch = batch_of(sessions)
    counts = folds.events_before(batch.offsets, batch.ts, cut, least)
    assert counts.dtype == np.int64
    assert counts.tolist() == list(map(len, naive_ranking.heads(sessions, cut, least)))


def test_an_event_at_the_cut_is_not_before_it():
    batch = batch_of([[Event(0, 1), Event(1, 4), Event(2, 5), Event(3, 5)], [Event(0, 5)], [], [Event(0, 4)]])
    assert folds.events_before(batch.offsets, batch.ts, 5, 1).tolist() == [2, 0, 0, 1]
    assert folds.events_before(batch.offsets, batch.ts, 5, 2).tolist() == [2, 0, 0, 0]


@few
@given(asking, cuts, st.permutations(range(N_ITEMS)))
def test_heads_are_copied_and_counted(sessions, cut, row_of):
    batch, heads = batch_of(sessions), naive_ranking.heads(sessions, cut, 1)
    counts = np.array(list(map(len, heads)), np.int64)
    copy = SessionBatch(
        *folds.copy_heads(batch.offsets, batch.items, batch.ts, batch.types, counts, np.array(row_of, np.int32))
    )
    wanted = [[event._replace(item=row_of[event.item] if event.item >= 0 else -1) for event in head] for head in heads]
    assert sessions_of(copy) == [head for head in wanted if head]
    assert (copy.items.dtype, copy.ts.dtype, copy.types.dtype) == (np.int32, np.int64, np.uint8)
    seen = [event.item for head in heads for event in head]
    tally = folds.count_heads(batch.offsets, batch.items, counts, N_ITEMS)
    assert tally.tolist() == [seen.count(item) for item in range(N_ITEMS)]
    places = folds.first_places(batch.offsets, batch.items, counts, N_ITEMS)
    assert places.tolist() == [first_place(sessions, heads, item) for item in range(N_ITEMS)]


def first_place(sessions, heads, item):
    """The place among all events where a head first has the item; their number where none has."""
    before = 0
    for session, head in zip(sessions, heads, strict=True):
        own = [event.item for event in head]
        if item in own:
            return before + own.index(item)
        before += len(session)
    return before


@few
@given(asking, st.integers(-1, 2), st.booleans(), st.integers(1, 4))
def test_questions_are_those_positions_that_something_follows(sessions, wanted, next_only, last_positions):
    batch = batch_of(sessions)
    of_session, shown, offsets, targets = folds.questions(
        batch.offsets, batch.items, batch.types, wanted, next_only, last_positions
    )
    expected = list(naive_ranking.questions(sessions, wanted, next_only, last_positions))
    assert of_session.tolist() == [question.session for question in expected]
    assert shown.tolist() == [question.shown for question in expected]
    assert len(offsets) == len(expected) + 1
    assert offsets[-1] == len(targets)
    for question, start, stop in zip(expected, offsets[:-1], offsets[1:], strict=True):
        assert sorted(targets[start:stop].tolist()) == sorted(question.targets)


@pytest.mark.parametrize("next_only", [True, False])
def test_a_session_of_one_event_poses_no_question(next_only):
    batch = batch_of([[Event(0)], [], [Event(1), Event(-1)]])
    of_session, shown, offsets, targets = folds.questions(batch.offsets, batch.items, batch.types, -1, next_only, 5)
    assert (len(of_session), len(shown), offsets.tolist(), len(targets)) == (0, 0, [0], 0)


@few
@given(st.lists(st.tuples(rows, rows), max_size=4))
def test_targets_are_marked_within_their_own_session(pairs):
    candidates, targets = (lists_of(*map(sorted, each)) for each in (zip(*pairs, strict=True) if pairs else ([], [])))
    marks = folds.mark_targets(candidates.offsets, candidates.items, targets.offsets, targets.items)
    assert marks.dtype == np.uint8
    assert marks.tolist() == [int(item in came) for found, came in pairs for item in sorted(found)]
