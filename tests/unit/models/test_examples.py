"""Folds and examples: the past knows nothing of what came after the cut, and every question is asked of the past."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.config import CovisitationConfig, Item2vecConfig, ModelsConfig, RankerConfig
from nextcart.kernels.folds import first_places
from nextcart.models.candidates import SOURCES, Candidates, Retrieval, models_of
from nextcart.models.examples import SPARE, Asked, Examples, Fold, cuts_for, examples, fold_at
from nextcart.models.model import FitOptions, Query, TrainingArrays
from nextcart.models.ranker_training import columns_of
from nextcart.types import SessionBatch
from tests import naive_ranking
from tests.naive import CARTS, Event, Session, batch_of, sessions_of
from tests.strategies import N_ITEMS, asking, few

CONFIG = ModelsConfig(
    covisitation=CovisitationConfig(last_events=10), item2vec=Item2vecConfig(dim=8, epochs=1, min_count=2)
)
OPTIONS = FitOptions(threads=1, deterministic=True)
LISTS = RankerConfig(list_length=30, max_candidates=60)


def arrays_of(sessions: list[Session]) -> TrainingArrays:
    """The sessions in rows by popularity, as a store gives them; items are numbered by the shop."""
    items = [event.item for session in sessions for event in session]
    counts = np.bincount(items)
    order = np.lexsort((np.arange(len(counts)), -counts))[: np.count_nonzero(counts)]
    row = np.full(len(counts), -1)
    row[order] = np.arange(len(order))
    renamed = [[event._replace(item=int(row[event.item])) for event in session] for session in sessions]
    return TrainingArrays(batch_of(renamed), counts[order])


def retrieval_of(past: TrainingArrays, ranker: RankerConfig = LISTS) -> Retrieval:
    kinds = [kind for kind in SOURCES if kind.name in models_of(ranker)]
    return Retrieval(ranker, [kind.fit(past, getattr(CONFIG, kind.name), OPTIONS) for kind in kinds], columns_of(past))


def starts_of(sessions: SessionBatch) -> np.ndarray:
    return sessions.ts[sessions.offsets[:-1]]


def same(a: SessionBatch | Candidates | Examples, b: SessionBatch | Candidates | Examples) -> bool:
    return all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in a.__slots__)


@pytest.fixture(scope="module")
def log(shop) -> list[Session]:
    return sessions_of(shop.arrays.sessions)


@pytest.fixture(scope="module")
def cut_ts(shop) -> int:
    return int(np.quantile(starts_of(shop.arrays.sessions), 0.8))


@pytest.fixture(scope="module")
def fold(shop, cut_ts) -> Fold:
    return fold_at(shop.arrays, cut_ts)


@pytest.fixture(scope="module")
def retrieval(fold) -> Retrieval:
    return retrieval_of(fold.past)


# The fold.


def test_the_past_is_what_came_before_the_cut(log, cut_ts, fold):
    heads = [head for head in naive_ranking.heads(log, cut_ts, 2) if head]
    assert any(len(head) < len(session) for head, session in zip(naive_ranking.heads(log, cut_ts, 1), log, strict=True))
    assert fold.past.sessions.ts.max() < cut_ts
    past = sessions_of(fold.past.sessions)
    assert [[(event.ts, event.type) for event in session] for session in past] == [
        [(event.ts, event.type) for event in head] for head in heads
    ]
    row_of = {
        a.item: b.item for ours, theirs in zip(heads, past, strict=True) for a, b in zip(ours, theirs, strict=True)
    }
    assert [[row_of[event.item] for event in head] for head in heads] == [[event.item for event in s] for s in past]
    assert sorted(row_of.values()) == list(range(fold.past.n_items))


def test_rows_fall_with_the_count_in_the_past(fold):
    counts = np.bincount(fold.past.sessions.items, minlength=fold.past.n_items)
    assert counts.tolist() == fold.past.counts.tolist()
    assert (np.diff(fold.past.counts) <= 0).all()
    assert fold.past.counts[-1] > 0


def test_equal_counts_go_by_the_first_event_in_the_past():
    """Not by the rows of all events: item 9 is the most popular of all, later."""
    later = [[Event(9, 100 + i), Event(9, 100 + i)] for i in range(5)]
    fold = fold_at(arrays_of([*later, [Event(2, 1), Event(4, 2)], [Event(9, 3), Event(7, 4), Event(7, 5)]]), 50)
    assert fold.past.counts.tolist() == [2, 1, 1, 1]
    assert fold.past.sessions.items.tolist() == [1, 2, 3, 0, 0]


@few
@given(asking, st.integers(0, 3))
def test_the_first_places_are_those_of_heads_alone(sessions, length):
    batch = batch_of(sessions)
    heads = np.minimum(np.diff(batch.offsets), length)
    places = [int(start) + i for start, head in zip(batch.offsets, heads, strict=False) for i in range(head)]
    wanted = [min((p for p in places if batch.items[p] == item), default=batch.n_events) for item in range(N_ITEMS)]
    assert first_places(batch.offsets, batch.items, heads, N_ITEMS).tolist() == wanted


# Leaks.


def test_events_after_the_cut_change_nothing_of_the_past(log, cut_ts, fold, retrieval):
    """Those of a few rare items, in sessions of their own and in ones that straddle the cut; rows by counts change."""
    rare = sorted({event.item for session in log for event in session})[-60:]
    added = [[Event(item, cut_ts + 10**9 + i, CARTS) for i in range(40)] for item in rare]
    longer = [
        [*session, *(Event(rare[i % 60], session[-1].ts + cut_ts, CARTS) for i in range(30))]
        if session[0].ts < cut_ts <= session[-1].ts
        else session
        for session in log
    ]
    assert longer != log
    arrays = arrays_of([*added[::2], *longer, *added[1::2]])
    more = fold_at(arrays, cut_ts)
    assert same(more.past.sessions, fold.past.sessions)
    assert more.past.counts.tobytes() == fold.past.counts.tobytes()
    assert same(more.later.slice(0, 50), fold.later.slice(0, 50))
    wanted = retrieval.candidates(Query(fold.later.slice(0, 50), 20))
    assert same(retrieval_of(more.past).candidates(Query(more.later.slice(0, 50), 20)), wanted)


# Where to cut.


def test_no_more_sessions_lie_after_the_last_cut_than_pose_the_wanted_questions(shop, log):
    for wanted in (50, 400, 900):
        last = cuts_for(shop.arrays.sessions, RankerConfig(max_questions=wanted))[-1]
        late = [session for session in log if session[0].ts >= last]
        assert sum(len(session) - 1 for session in late) >= wanted * SPARE
        assert sum(len(session) - 1 for session in late if session[0].ts > last) < wanted * SPARE


@pytest.mark.parametrize(("folds", "share"), [(3, 0.5), (9, 0.9)])
def test_shares_that_sum_to_more_than_all_sessions_cut_before_the_first_at_last(shop, folds, share):
    cuts = cuts_for(shop.arrays.sessions, RankerConfig(folds=folds, fold_share=share))
    assert len(cuts) > 1
    assert cuts[-1] == starts_of(shop.arrays.sessions).min()


# Examples.


def test_with_room_for_all_negatives_examples_are_the_candidates_themselves(fold, retrieval):
    config = LISTS.model_copy(update={"negatives": 1000, "last_positions": 3})
    found = examples(fold, retrieval, config, Asked(CARTS, next_only=False), 10**6, 1)
    later = sessions_of(fold.later.known())
    asked = list(naive_ranking.questions(later, CARTS, next_only=False, last_positions=3))
    shown = retrieval.candidates(Query(batch_of([later[q.session][: q.shown] for q in asked]), 20))
    features, labels, groups = [], [], []
    for i, question in enumerate(asked):
        span = slice(shown.offsets[i], shown.offsets[i + 1])
        came = np.isin(shown.items[span], sorted(question.targets))
        if came.any():
            features.append(shown.features[span])
            labels.append(came)
            groups.append(len(came))
    assert 0 < len(groups) < len(asked)
    assert found.features.tobytes() == np.concatenate(features).tobytes()
    assert found.labels.tolist() == np.concatenate(labels).tolist()
    assert found.groups.tolist() == groups


def test_a_seed_draws_the_same_examples_and_another_one_others(fold, retrieval):
    first, again, other = (examples(fold, retrieval, LISTS, Asked(0, next_only=True), 40, seed) for seed in (3, 3, 4))
    assert same(first, again)
    assert not same(first, other)
    assert 0 < len(first.groups) <= 40


def test_parts_are_joined_and_taken_apart_by_questions():
    parts = [
        Examples(np.full((n, 2), n, np.float32), np.ones(n, np.uint8), np.array(groups))
        for n, groups in ((3, [1, 2]), (0, np.empty(0, np.int64)), (4, [4]))
    ]
    joined = Examples.joined(parts)
    assert joined.groups.tolist() == [1, 2, 4]
    assert joined.part(1, 3).features[:, 0].tolist() == [3, 3, 4, 4, 4, 4]
    assert joined.part(1, 3).groups.tolist() == [2, 4]
    assert len(joined.part(3, 3).labels) == 0
