"""Cutting training sessions at a moment: what lies before it, and the questions that the sessions after it pose."""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.kernels.scoring import EMPTY, new_table, slot_of
from nextcart.types import Int32s, Int64s, UInt8s


@njit(cache=True, nogil=True)
def events_before(offsets: Int64s, ts: Int64s, cut_ts: int, least: int) -> Int64s:
    """How many events of each session come before the cut, int64, shape (n_sessions,); 0 where they are too few."""
    n = len(offsets) - 1
    counts = np.zeros(n, np.int64)
    for s in range(n):
        e = offsets[s]
        while e < offsets[s + 1] and ts[e] < cut_ts:
            e += 1
        if e - offsets[s] >= least:
            counts[s] = e - offsets[s]
    return counts


@njit(cache=True, nogil=True)
def copy_heads(
    offsets: Int64s, items: Int32s, ts: Int64s, types: UInt8s, counts: Int64s, row_of: Int32s
) -> tuple[Int64s, Int32s, Int64s, UInt8s]:
    """The first ``counts[s]`` events of each session that has any, as sessions of their own, rows by ``row_of``."""
    n_kept, n_events = 0, 0
    for s in range(len(counts)):
        n_kept += counts[s] > 0
        n_events += counts[s]
    out_offsets = np.zeros(n_kept + 1, np.int64)
    out_items = np.empty(n_events, np.int32)
    out_ts = np.empty(n_events, np.int64)
    out_types = np.empty(n_events, np.uint8)
    kept, size = 0, 0
    for s in range(len(counts)):
        if counts[s] == 0:
            continue
        for e in range(offsets[s], offsets[s] + counts[s]):
            out_items[size] = row_of[items[e]] if items[e] >= 0 else EMPTY
            out_ts[size], out_types[size] = ts[e], types[e]
            size += 1
        kept += 1
        out_offsets[kept] = size
    return out_offsets, out_items, out_ts, out_types


@njit(cache=True, nogil=True)
def count_heads(offsets: Int64s, items: Int32s, counts: Int64s, n_items: int) -> Int64s:
    """Events of each item among the first ``counts[s]`` events of each session, int64, shape (n_items,)."""
    out = np.zeros(n_items, np.int64)
    for s in range(len(counts)):
        for e in range(offsets[s], offsets[s] + counts[s]):
            if items[e] >= 0:
                out[items[e]] += 1
    return out


@njit(cache=True, nogil=True)
def first_places(offsets: Int64s, items: Int32s, counts: Int64s, n_items: int) -> Int64s:
    """Where each item comes first among the first ``counts[s]`` events of each session, int64, shape (n_items,).

    An item that does not come at all has the number of all events.
    """
    out = np.full(n_items, len(items), np.int64)
    for s in range(len(counts)):
        for e in range(offsets[s], offsets[s] + counts[s]):
            if items[e] >= 0 and out[items[e]] == len(items):
                out[items[e]] = e
    return out


@njit(cache=True, nogil=True)
def questions(
    offsets: Int64s, items: Int32s, types: UInt8s, wanted: int, next_only: bool, last_positions: int
) -> tuple[Int64s, Int64s, Int64s, Int32s]:
    """The positions of sessions that have something to find: known items of a type, in the next or all later events.

    ``wanted`` is the type of the events to find, negative for any; ``next_only`` makes the very next event the one
    target, else all later ones are; only a session's ``last_positions`` are asked.

    Returns:
        Of each question its session and how many of its events are shown, both (n_questions,), and its distinct
        targets as lists: offsets (n_questions + 1,) and rows.
    """
    n_targets, n = 0, 0
    for count in (True, False):
        if not count:
            of_session = np.empty(n, np.int64)
            shown = np.empty(n, np.int64)
            target_offsets = np.zeros(n + 1, np.int64)
            targets = np.empty(n_targets, np.int32)
        n_targets, n = 0, 0
        for s in range(len(offsets) - 1):
            start, stop = offsets[s], offsets[s + 1]
            for position in range(max(start + 1, stop - last_positions), stop):
                first = n_targets
                end = position + 1 if next_only else stop
                table = new_table(end - position)
                for e in range(position, end):
                    if items[e] < 0 or (wanted >= 0 and types[e] != wanted):
                        continue
                    slot = slot_of(table, items[e])
                    if table[slot] == EMPTY:
                        table[slot] = items[e]
                        if not count:
                            targets[n_targets] = items[e]
                        n_targets += 1
                if n_targets > first:
                    if not count:
                        of_session[n], shown[n] = s, position - start
                        target_offsets[n + 1] = n_targets
                    n += 1
    return of_session, shown, target_offsets, targets


@njit(cache=True, nogil=True)
def mark_targets(candidate_offsets: Int64s, candidates: Int32s, target_offsets: Int64s, targets: Int32s) -> UInt8s:
    """1 for each candidate that is among its session's targets, uint8, shape (n_candidates,)."""
    out = np.zeros(len(candidates), np.uint8)
    for s in range(len(candidate_offsets) - 1):
        for t in range(target_offsets[s], target_offsets[s + 1]):
            for c in range(candidate_offsets[s], candidate_offsets[s + 1]):
                out[c] |= np.uint8(candidates[c] == targets[t])
    return out
