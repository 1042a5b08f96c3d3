"""`next_click`: each click of a session after its first event is asked for (the protocol of the TRON paper).

The whole catalogue is ranked, without sampled negatives. Events on items outside the catalogue are dropped first.
Source: Wahlström et al., TRON, arXiv:2307.14906, section 4.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nextcart.evaluation.cutting import Questions, pose, session_of_event
from nextcart.types import EventType, Int64s, SessionBatch

BATCH_QUESTIONS = 4096


def positions(sessions: SessionBatch, last_positions: int) -> Int64s:
    """The clicks that are targets: all but a session's first event, the last ``last_positions`` of a session."""
    owner = session_of_event(sessions)
    clicks = np.flatnonzero(sessions.types == EventType.CLICKS)
    clicks = clicks[clicks > sessions.offsets[owner[clicks]]]
    left = np.bincount(owner[clicks], minlength=len(sessions)).cumsum()[owner[clicks]] - np.arange(len(clicks))
    return clicks[left <= last_positions]


def next_clicks(sessions: SessionBatch, last_positions: int, history_events: int) -> Iterator[Questions]:
    """The questions of sessions whose items are all known, so many at a time that memory stays bounded."""
    events = positions(sessions, last_positions)
    owner = session_of_event(sessions)
    for start in range(0, len(events), BATCH_QUESTIONS):
        ends = events[start : start + BATCH_QUESTIONS]
        first, last = owner[ends[0]], owner[ends[-1]] + 1
        # Sessions apart from these need not be looked at for what was seen before.
        part, origin = sessions.slice(first, last), sessions.offsets[first]
        asked = pose(
            part, owner[ends] - first, ends - origin, np.ones(len(ends), np.int64), ends - origin, history_events
        )
        yield Questions(asked.history, asked.targets, owner[ends], asked.repeats, asked.before)
