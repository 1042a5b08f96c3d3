"""When the visitors of the synthetic shop come: hours, weekdays, and visits of some minutes spread over days."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nextcart.events.synth_walk import Walk
from nextcart.types import DAY_MS, EventType, Int64s

Floats = NDArray[np.float64]

VISIT_EVENTS = 7.0
"""Mean number of events between two pauses."""
GAP_SECONDS, GAP_SIGMA = 35.0, 1.2
"""Median time between two events of a visit, and the spread of its logarithm."""
SPAN_DAYS = 6.0
"""Mean time over which the visits of a session lie."""

# fmt: off
HOURS = np.array([9, 5, 3, 2, 2, 4, 9, 17, 26, 33, 38, 41, 42, 43, 44, 45, 46, 48, 52, 60, 70, 72, 55, 26], float)
# fmt: on
"""Relative traffic of the hours of a day, from the midnight of the start on."""
WEEKDAYS = np.array([1.05, 1.0, 0.98, 0.97, 0.93, 0.92, 1.15])
"""Relative traffic of the days of a week; the first day is a Monday."""


def hourly_calendar(days: int) -> Floats:
    """Cumulative share of the traffic at each full hour, shape (days * 24 + 1,)."""
    traffic = np.outer(WEEKDAYS[np.arange(days) % 7], HOURS).ravel()
    return np.concatenate([[0.0], np.cumsum(traffic) / traffic.sum()])


def event_times(walked: Walk, begin: Floats, calendar: Floats, rng: np.random.Generator) -> Int64s:
    """A time for each event, in milliseconds from the start, never falling within a session.

    A visit lasts some minutes, and a session's visits lie hours and days apart. The items of an order share a time.

    Args:
        walked: the sessions.
        begin: float64, shape (n_sessions,), when each begins, as a share of all traffic.
        calendar: see `hourly_calendar`.
        rng: the source of all chance.
    """
    n_events, starts = len(walked.items), walked.offsets[:-1]
    lengths = np.diff(walked.offsets)
    session = np.repeat(np.arange(len(starts)), lengths)
    opens = (rng.random(n_events) < 1 / VISIT_EVENTS) & (walked.types == EventType.CLICKS)
    opens[starts] = True
    gaps = rng.lognormal(np.log(GAP_SECONDS * 1000), GAP_SIGMA, n_events)
    steps = np.ones(n_events, np.int64)
    steps[1:][(walked.types[1:] == EventType.ORDERS) & (walked.types[:-1] == EventType.ORDERS)] = 0
    gaps *= steps
    gaps[opens] = 0

    clock = np.cumsum(gaps)
    first = np.flatnonzero(opens)
    last = np.append(first[1:], n_events) - 1
    duration = clock[last] - clock[first]
    n_visits = np.bincount(session[first], minlength=len(starts))
    end_ms = (len(calendar) - 1) * DAY_MS / 24
    visit_ms = np.minimum(_visit_times(begin, n_visits, calendar, rng), end_ms - 1 - lengths.max() - duration)
    ts = np.maximum(clock - np.repeat(clock[first] - visit_ms, last - first + 1), 0).astype(np.int64)
    # Visits may overlap: what a visitor did stays in order, so the times are sorted; a millisecond a step keeps apart
    # what the sort brought together.
    span = int(end_ms) + 1
    keyed = session * span + ts
    keyed.sort()
    counted = np.cumsum(steps)
    ordered: Int64s = keyed - session * span + counted - counted[starts][session]
    return ordered


def _visit_times(begin: Floats, n_visits: Int64s, calendar: Floats, rng: np.random.Generator) -> Floats:
    """Milliseconds from the start at which each visit begins: the first at `begin`, others within some days."""
    days = (len(calendar) - 1) / 24
    width = np.minimum(rng.exponential(SPAN_DAYS / days, len(begin)), 1 - begin)
    share = np.repeat(begin, n_visits)
    later = np.ones(len(share), np.bool_)
    later[np.cumsum(n_visits) - n_visits] = False
    share[later] += (np.repeat(width, n_visits) * rng.random(len(share)))[later]
    session = np.repeat(np.arange(len(begin)), n_visits)
    share = np.sort(session * 2 + share) - session * 2
    return np.interp(share, calendar, np.arange(len(calendar))) * (DAY_MS / 24)
