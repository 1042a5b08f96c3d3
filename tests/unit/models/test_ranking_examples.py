"""Folds and questions: what a ranker learns from knows nothing of what came later."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.config import ModelsConfig, RankerConfig
from nextcart.models.candidates import SOURCES, Retrieval, models_of
from nextcart.models.examples import Asked, cuts_for, examples, fold_at
from nextcart.models.model import FitOptions, Query, TrainingArrays
from nextcart.models.ranker_training import columns_of
from nextcart.types import UNKNOWN, EventType
from tests.naive import Event, batch_of, sessions_of
from tests.strategies import N_ITEMS, few, training

CONFIG = ModelsConfig()
CUT = 1_700_000_000_000 + 60_000


def arrays_of(sessions) -> TrainingArrays:
    """Rows by popularity, as every catalogue has them."""
    counts = np.bincount([event.item for session in sessions for event in session], minlength=N_ITEMS)
    order = np.lexsort((np.arange(N_ITEMS), -counts))
    row = {int(item): place for place, item in enumerate(order)}
    renamed = [[Event(row[event.item], event.ts, event.type) for event in session] for session in sessions]
    return TrainingArrays(batch_of(renamed), counts[order].astype(np.int64))


def retrieval_over(past: TrainingArrays) -> Retrieval:
    members = [
        kind.fit(past, getattr(CONFIG, kind.name), FitOptions())
        for kind in SOURCES
        if kind.name in models_of(CONFIG.ranker)
    ]
    return Retrieval(CONFIG.ranker, members, columns_of(past))


@few
@given(training, st.integers(-1, 5))
def test_a_fold_parts_what_was_known_from_what_came_later(sessions, hours):
    cut = 1_700_000_000_000 + hours * 3_600_000
    arrays = arrays_of(sessions)
    fold = fold_at(arrays, cut)
    before = [[event for event in session if event.ts < cut] for session in sessions_of(arrays.sessions)]
    before = [session for session in before if len(session) >= 2]
    counts = np.bincount([event.item for session in before for event in session], minlength=N_ITEMS)
    assert fold.past.counts.tolist() == sorted(counts[counts > 0].tolist(), reverse=True)
    assert [len(session) for session in before] == np.diff(fold.past.sessions.offsets).tolist()
    assert (fold.past.sessions.ts < cut).all()
    later = sorted(
        (session for session in sessions_of(arrays.sessions) if session[0].ts >= cut), key=lambda session: session[0].ts
    )
    assert [[event.ts for event in session] for session in sessions_of(fold.later)] == [
        [event.ts for event in session] for session in later
    ]
    known = {event.item for session in before for event in session}
    assert [event.item == UNKNOWN for session in sessions_of(fold.later) for event in session] == [
        event.item not in known for session in later for event in session
    ]


def test_later_sessions_end_where_the_next_fold_begins():
    sessions = [[Event(0, ts), Event(1, ts + 1)] for ts in range(0, 100, 10)]
    fold = fold_at(arrays_of(sessions), 40, 70)
    assert fold.later.ts[fold.later.offsets[:-1]].tolist() == [40, 50, 60]
    assert fold.past.sessions.ts.max() < 40


def test_cuts_lie_a_share_of_the_sessions_apart_and_stop_where_questions_suffice():
    sessions = batch_of([[Event(0, ts), Event(1, ts + 1), Event(2, ts + 2)] for ts in range(100)])
    assert cuts_for(sessions, RankerConfig(folds=3, fold_share=0.2)) == [80, 60, 40]
    assert cuts_for(sessions, RankerConfig(folds=3, fold_share=0.2, max_questions=24)) == [85]
    assert cuts_for(sessions, RankerConfig(folds=2, fold_share=0.2, max_questions=48)) == [80, 70]
    assert cuts_for(batch_of([]), RankerConfig()) == []


def planted(later_item: int, *, extra: int = 0):
    """Sessions of items 0 to 3 before the cut; after it one session, and ``extra`` ones that all want item 3."""
    before = [[Event(i % 3, CUT - 5000 + 10 * i), Event((i + 1) % 4, CUT - 4999 + 10 * i)] for i in range(40)]
    asking = [[Event(0, CUT), Event(1, CUT + 1), Event(later_item, CUT + 2)]]
    many = [[Event(3, CUT + 10 + i), Event(3, CUT + 11 + i)] for i in range(extra)]
    return arrays_of([*before, *asking, *many])


def test_an_item_that_only_the_future_knows_is_never_a_candidate():
    arrays = planted(5)
    fold = fold_at(arrays, CUT)
    found = retrieval_over(fold.past).candidates(Query(fold.later, 20))
    assert len(fold.past.counts) == 4
    assert 0 < found.items.max() < 4
    assert sessions_of(fold.later)[0][-1].item == UNKNOWN


@pytest.mark.parametrize("extra", [1, 50])
def test_what_is_popular_later_moves_no_feature(extra):
    alone, crowded = (fold_at(planted(2, extra=more), CUT) for more in (0, extra))
    one, other = (retrieval_over(fold.past).candidates(Query(fold.later.slice(0, 1), 20)) for fold in (alone, crowded))
    assert len(crowded.later) == 1 + extra
    assert one.items.tolist() == other.items.tolist()
    assert one.features.tobytes() == other.features.tobytes()
    assert one.features.any()


def test_questions_give_their_targets_as_labels_and_some_of_the_others():
    arrays = planted(2, extra=3)
    fold = fold_at(arrays, CUT)
    retrieval = retrieval_over(fold.past)
    all_of_them = examples(fold, retrieval, RankerConfig(negatives=1000), Asked(EventType.CLICKS, True), 100, 1)
    assert all_of_them.groups.sum() == len(all_of_them.labels) == len(all_of_them.features)
    # Two positions of the first session and one of each other: every target is known, one a question.
    assert len(all_of_them.groups) == 5
    assert all_of_them.labels.sum() == 5
    none = examples(fold, retrieval, RankerConfig(), Asked(EventType.ORDERS, False), 100, 1)
    assert len(none.groups) == len(none.labels) == 0
    assert len(examples(fold, retrieval, RankerConfig(), Asked(EventType.CLICKS, True), 2, 1).groups) == 2
