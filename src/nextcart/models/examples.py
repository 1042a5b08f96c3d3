"""Examples for a ranker: what sources that know the past alone bring for later sessions, and what came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextcart.config import RankerConfig
from nextcart.kernels.folds import copy_heads, count_heads, events_before, first_places, mark_targets, questions
from nextcart.models.candidates import Retrieval
from nextcart.models.model import Query, TrainingArrays
from nextcart.types import UNKNOWN, Float32s, Int64s, ItemLists, SessionBatch, UInt8s

LEAST_EVENTS = 2
"""A session that the cut leaves with fewer events teaches the sources nothing."""

BATCH_QUESTIONS = 2048

SPARE = 1.25
"""Not every later event is a question: its item may be new, or of another type."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Candidates of many questions, and which of them came.

    Attributes:
        features: float32, shape (n_rows, n_features).
        labels: uint8, shape (n_rows,), 1 where the candidate came.
        groups: int64, shape (n_groups,), rows of each question; in the order of time.
    """

    features: Float32s
    labels: UInt8s
    groups: Int64s

    @classmethod
    def joined(cls, parts: Sequence[Examples]) -> Examples:
        """All parts, in their order; at least one."""
        columns = zip(*((part.features, part.labels, part.groups) for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def part(self, first_group: int, stop_group: int) -> Examples:
        """Groups ``first_group`` to ``stop_group``; views."""
        bounds = np.concatenate([[0], np.cumsum(self.groups)])
        rows = slice(int(bounds[first_group]), int(bounds[stop_group]))
        return Examples(self.features[rows], self.labels[rows], self.groups[first_group:stop_group])


@dataclass(frozen=True, slots=True)
class Asked:
    """Which events a question asks for.

    Attributes:
        type: stored number of their type; negative for any.
        next_only: whether it is the very next event, or all later ones.
    """

    type: int
    next_only: bool


@dataclass(frozen=True, slots=True)
class Fold:
    """Training sessions cut in two.

    Attributes:
        past: all that was known at the cut, with rows of its own, by popularity then.
        later: sessions that start after the cut, in the order of their start, in the rows of the past.
    """

    past: TrainingArrays
    later: SessionBatch


def fold_at(arrays: TrainingArrays, cut_ts: int, until_ts: int | None = None) -> Fold:
    """Cut the sessions: nothing of the past knows of an event at or after the cut, nor of a count that includes one.

    Args:
        arrays: the training sessions.
        cut_ts: Unix milliseconds.
        until_ts: later sessions are those that start before this; None takes all.
    """
    sessions = arrays.sessions
    heads = events_before(sessions.offsets, sessions.ts, cut_ts, LEAST_EVENTS)
    counts = count_heads(sessions.offsets, sessions.items, heads, arrays.n_items)
    # Equal scores rank the smaller row first, so equal counts must not go by the rows of all events, by which what is
    # popular later would come first.
    places = first_places(sessions.offsets, sessions.items, heads, arrays.n_items)
    order = np.lexsort((places, -counts))[: np.count_nonzero(counts)]
    row_of = np.full(len(counts), UNKNOWN, np.int32)
    row_of[order] = np.arange(len(order), dtype=np.int32)
    past = SessionBatch(*copy_heads(sessions.offsets, sessions.items, sessions.ts, sessions.types, heads, row_of))
    starts = _starts(sessions)
    late = np.flatnonzero((starts >= cut_ts) & ((starts < until_ts) if until_ts is not None else True))
    late = late[np.argsort(starts[late], kind="stable")]
    later = _chosen(sessions, late, np.diff(sessions.offsets)[late])
    rows = np.where(later.items >= 0, row_of[later.items], np.int32(UNKNOWN))
    return Fold(TrainingArrays(past, counts[order]), SessionBatch(later.offsets, rows, later.ts, later.types))


def cuts_for(sessions: SessionBatch, config: RankerConfig) -> list[int]:
    """Where to cut, the latest first: until the sessions after the last cut pose as many questions as are wanted.

    Between two cuts lies at most ``fold_share`` of the sessions, and there are at most ``folds``.
    """
    starts = _starts(sessions)
    order = np.argsort(-starts, kind="stable")
    posed = np.cumsum(np.maximum(np.diff(sessions.offsets)[order] - 1, 0))
    enough = int(np.searchsorted(posed, config.max_questions * SPARE)) + 1
    cuts: list[int] = []
    for number in range(1, config.folds + 1):
        at = min(enough, int(len(order) * config.fold_share * number), len(order))
        if at > 0 and (not cuts or starts[order[at - 1]] < cuts[-1]):
            cuts.append(int(starts[order[at - 1]]))
    return cuts


def examples(fold: Fold, retrieval: Retrieval, config: RankerConfig, asked: Asked, limit: int, seed: int) -> Examples:
    """Candidates and labels of the questions that ask for events of one type.

    Of each question all that came stay, and about ``negatives`` of the others; one of which no source brought what
    came teaches no order and is left out. Events on items that the past does not know are no part of a session, as
    where sessions are evaluated: who comes back from a new item to the one before seems to stay there.

    Args:
        fold: the sessions that pose the questions.
        retrieval: over sources fitted on the fold's past.
        config: how many questions and negatives.
        asked: which events are to be found.
        limit: the most questions.
        seed: draws negatives, and questions where there are more than wanted.
    """
    later = fold.later.known()
    of_session, shown, target_offsets, targets = questions(
        later.offsets, later.items, later.types, asked.type, asked.next_only, config.last_positions
    )
    rng = np.random.default_rng(seed)
    chosen = np.arange(len(of_session))
    if len(chosen) > limit:
        chosen = np.sort(rng.choice(len(chosen), limit, replace=False))
    lists = ItemLists(target_offsets, targets)
    parts = [
        _described(later, of_session[block], shown[block], _lists(lists, block), retrieval, config, rng)
        for block in _blocks(chosen)
    ]
    if not parts:
        empty = np.empty((0, len(retrieval.feature_names)), np.float32)
        return Examples(empty, np.empty(0, np.uint8), np.empty(0, np.int64))
    return Examples(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _described(
    later: SessionBatch,
    of_session: Int64s,
    shown: Int64s,
    targets: ItemLists,
    retrieval: Retrieval,
    config: RankerConfig,
    rng: np.random.Generator,
) -> tuple[Float32s, UInt8s, Int64s]:
    """Features, labels and group sizes of a block of questions."""
    found = retrieval.candidates(Query(_chosen(later, of_session, shown), config.list_length))
    labels = mark_targets(found.offsets, found.items, targets.offsets, targets.items)
    sizes = np.diff(found.offsets)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    has = np.bincount(owner, labels, minlength=len(sizes)) > 0
    drawn = rng.random(len(owner)) * sizes[owner] < config.negatives
    keep: NDArray[np.bool_] = has[owner] & ((labels > 0) | drawn)
    return found.features[keep], labels[keep], np.bincount(owner[keep], minlength=len(sizes))[has]


def _blocks(chosen: Int64s) -> Iterator[Int64s]:
    for start in range(0, len(chosen), BATCH_QUESTIONS):
        yield chosen[start : start + BATCH_QUESTIONS]


def _starts(sessions: SessionBatch) -> Int64s:
    """When each session starts; none is empty."""
    starts: Int64s = sessions.ts[sessions.offsets[:-1]]
    return starts


def _chosen(sessions: SessionBatch, chosen: Int64s, lengths: Int64s) -> SessionBatch:
    """The first events of chosen sessions, as sessions of their own."""
    offsets, events = _ranges(sessions.offsets[chosen], lengths)
    return SessionBatch(offsets, sessions.items[events], sessions.ts[events], sessions.types[events])


def _lists(lists: ItemLists, chosen: Int64s) -> ItemLists:
    offsets, places = _ranges(lists.offsets[chosen], lists.offsets[chosen + 1] - lists.offsets[chosen])
    return ItemLists(offsets, lists.items[places])


def _ranges(starts: Int64s, lengths: Int64s) -> tuple[Int64s, Int64s]:
    """Offsets of ranges laid end to end, and the places that they cover."""
    offsets = np.zeros(len(starts) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets, np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
