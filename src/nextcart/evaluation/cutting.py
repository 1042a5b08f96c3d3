"""Parts of sessions, by columns: some sessions, some events of each, and what was seen before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nextcart.types import Bools, Int64s, ItemLists, SessionBatch


@dataclass(frozen=True, slots=True)
class Questions:
    """Histories that models are shown, and what they are to find after each.

    Attributes:
        history: what the models are shown, one a question.
        targets: distinct items that they should find, at least one a question; `UNKNOWN` cannot be found, but counts.
        session: int64, shape (n_questions,), the place of each question's session in the batch that it was made of.
        repeats: bool, shape (n_targets,), the target stands among the events before the question, shown or not.
        before: int64, shape (n_questions,), events before the question, shown or not.
    """

    history: SessionBatch
    targets: ItemLists
    session: Int64s
    repeats: Bools
    before: Int64s

    def __len__(self) -> int:
        return len(self.history)


def sample_sessions(sessions: SessionBatch, limit: int | None) -> SessionBatch:
    """At most ``limit`` sessions, evenly spaced over the batch: a quick look that no order of ids can bend."""
    if limit is None or limit >= len(sessions):
        return sessions
    chosen = evenly_spaced(len(sessions), limit)
    return events_between(sessions, sessions.offsets[chosen], sessions.offsets[chosen + 1])


def evenly_spaced(count: int, most: int) -> Int64s:
    """At most so many of the places 0 to ``count`` - 1, evenly spaced and ascending."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)


def events_between(sessions: SessionBatch, starts: Int64s, ends: Int64s) -> SessionBatch:
    """A batch of the events ``starts[i]`` to ``ends[i]``."""
    lengths = ends - starts
    offsets = np.zeros(len(starts) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    events = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
    return SessionBatch(offsets, sessions.items[events], sessions.ts[events], sessions.types[events])


def session_of_event(sessions: SessionBatch) -> Int64s:
    """The place of each event's session in the batch."""
    return np.repeat(np.arange(len(sessions)), np.diff(sessions.offsets))


def first_places(sessions: SessionBatch) -> Int64s:
    """For each event, the first event of its session with the same item: itself where the item is new there."""
    key = session_of_event(sessions) * (int(sessions.items.max(initial=0)) + 2) + sessions.items
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    places: Int64s = first[inverse].astype(np.int64)
    return places


def pose(
    sessions: SessionBatch, session: Int64s, ends: Int64s, target_counts: Int64s, target_events: Int64s, most: int
) -> Questions:
    """Questions at places of sessions.

    Args:
        sessions: what is cut.
        session: of each question.
        ends: the event before which each question is posed.
        target_counts: targets of each question, at least 1.
        target_events: an event with each target's item, question by question.
        most: events that are shown.
    """
    begins = sessions.offsets[session]
    offsets = np.zeros(len(session) + 1, np.int64)
    np.cumsum(target_counts, out=offsets[1:])
    return Questions(
        history=events_between(sessions, np.maximum(begins, ends - most), ends),
        targets=ItemLists(offsets, sessions.items[target_events]),
        session=session,
        repeats=first_places(sessions)[target_events] < np.repeat(ends, target_counts),
        before=ends - begins,
    )
