"""`next_event`: the last event of each session is the target, of any type; every session counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nextcart.evaluation.cutting import Questions, events_between, session_of_event
from nextcart.types import UNKNOWN, Bools, Int32s, ItemLists, SessionBatch


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
        history=events_between(sessions, starts, ends),
        targets=ItemLists(np.arange(len(sessions) + 1, dtype=np.int64), targets),
        repeats=_seen_before(sessions, targets),
        unknown=targets == UNKNOWN,
    )


def last_events(sessions: SessionBatch, history_events: int) -> Questions:
    """The questions of `next_event`, one a session."""
    task = next_event(sessions, history_events)
    return Questions(
        task.history, task.targets, np.arange(len(task)), task.repeats, np.diff(sessions.offsets).astype(np.int64) - 1
    )


def _seen_before(sessions: SessionBatch, targets: Int32s) -> Bools:
    """Whether each session's target, where known, stands among its events before the last."""
    owner = session_of_event(sessions)
    same = (sessions.items == targets[owner]) & (sessions.items != UNKNOWN)
    same[sessions.offsets[1:] - 1] = False
    return np.bincount(owner, same, minlength=len(sessions)) > 0
