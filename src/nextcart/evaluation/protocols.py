"""What a model is shown of a held-out session, and what it is asked to find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nextcart.evaluation.metrics import Bools
from nextcart.types import UNKNOWN, Int32s, Int64s, ItemLists, SessionBatch


@dataclass(frozen=True, slots=True)
class Task:
    """Questions and their answers, one a held-out session.

    Attributes:
        history: what the models are shown; a session of one event has an empty one.
        targets: what they should find; an item outside the catalogue is no target that can be found, but counts.
        repeats: bool, shape (n_sessions,): the target is a known item of the session's earlier events, shown or not.
        unknown: bool, shape (n_sessions,): the target is outside the catalogue.
    """

    history: SessionBatch
    targets: ItemLists
    repeats: Bools
    unknown: Bools

    def __len__(self) -> int:
        return len(self.history)


def next_event(sessions: SessionBatch, history_events: int) -> Task:
    """Each session's last event is the target; the last ``history_events`` before it are the history."""
    ends = sessions.offsets[1:] - 1
    starts = np.maximum(sessions.offsets[:-1], ends - history_events)
    targets = sessions.items[ends]
    return Task(
        history=_part(sessions, starts, ends),
        targets=ItemLists(np.arange(len(sessions) + 1, dtype=np.int64), targets),
        repeats=_seen_before(sessions, targets),
        unknown=targets == UNKNOWN,
    )


def sample_sessions(sessions: SessionBatch, limit: int | None) -> SessionBatch:
    """At most ``limit`` sessions, evenly spaced over the batch: a quick look that no order of ids can bend."""
    if limit is None or limit >= len(sessions):
        return sessions
    chosen = np.linspace(0, len(sessions) - 1, limit).round().astype(np.int64)
    return _part(sessions, sessions.offsets[chosen], sessions.offsets[chosen + 1])


def _part(sessions: SessionBatch, starts: Int64s, ends: Int64s) -> SessionBatch:
    """A batch of the events ``starts[i]`` to ``ends[i]``."""
    lengths = ends - starts
    offsets = np.zeros(len(starts) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    events = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    return SessionBatch(offsets, sessions.items[events], sessions.ts[events], sessions.types[events])


def _seen_before(sessions: SessionBatch, targets: Int32s) -> Bools:
    """Whether each session's target, where known, stands among its events before the last."""
    owner = np.repeat(np.arange(len(sessions)), np.diff(sessions.offsets))
    same = (sessions.items == targets[owner]) & (sessions.items != UNKNOWN)
    same[sessions.offsets[1:] - 1] = False
    return np.bincount(owner, same, minlength=len(sessions)) > 0
