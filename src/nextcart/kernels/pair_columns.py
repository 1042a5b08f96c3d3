"""What is known of each pair of a session and a candidate: the features by which a ranker orders them."""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.kernels.scoring import EMPTY, new_table, slot_of
from nextcart.types import Float32s, Int32s, Int64s, UInt8s

NEVER = 1000.0
"""Stands for a rank, a number of steps or of items where there is none: further than any that is."""

LIST_COLUMNS = ("lists_with", "best_rank", "reciprocal_ranks")
"""What all lists say together: how many hold the candidate, its best rank, the sum of 1 / (rank + `RANK_OFFSET`)."""

RANK_OFFSET = 5.0

MOST_DWELL_SECONDS = 1800.0
"""Whoever goes on later than this has been away."""

PAIR_COLUMNS = (
    "steps_since",
    "items_since",
    "seconds_since",
    "times_seen",
    "steps_since_first",
    "last_type",
    "carts_here",
    "orders_here",
    "times_after_last",
    "dwell_seconds",
    "dwell_seconds_in_all",
)
"""What the session has done with the item; steps and items count from the newest event. ``times_after_last``: how often
it came right after an earlier event on the session's last item; ``dwell``: the time from an event on it to the next
event, of the last that has a next one and of them all, each at most `MOST_DWELL_SECONDS`."""

SESSION_COLUMNS = (
    "session_events",
    "session_items",
    "session_last_type",
    "session_gap_seconds",
    "session_gap_before_seconds",
    "session_seconds",
    "session_repeat_share",
    "session_same_item_twice",
    "session_hour",
)
"""What the session looks like, the same for all of its candidates; ``gap``: between the last two events, and between
the two before the last."""


@njit(cache=True, nogil=True)
def describe(
    offsets: Int64s,
    items: Int32s,
    ts: Int64s,
    types: UInt8s,
    candidate_offsets: Int64s,
    candidates: Int32s,
    list_items: Int32s,
    list_scores: Float32s,
    item_columns: Float32s,
) -> Float32s:
    """The features of each pair of a session and a candidate, float32, shape (n_candidates, n_features).

    In this order: score and rank (from 0) in each list; `LIST_COLUMNS`; `PAIR_COLUMNS`; ``item_columns`` (n_items,
    n_columns) of the candidate, and those of the session's last item; `SESSION_COLUMNS`.
    """
    n, n_lists, width = list_items.shape
    n_item = item_columns.shape[1]
    pair = 2 * n_lists + len(LIST_COLUMNS)
    item = pair + len(PAIR_COLUMNS)
    whole = item + 2 * n_item
    out = np.zeros((len(candidates), whole + len(SESSION_COLUMNS)), np.float32)
    for s in range(n):
        first, last = candidate_offsets[s], candidate_offsets[s + 1]
        table = new_table(last - first)
        at = np.empty(len(table), np.int64)
        for c in range(first, last):
            slot = slot_of(table, candidates[c])
            table[slot], at[slot] = candidates[c], c
            for q in range(n_lists):
                out[c, 2 * q + 1] = NEVER
        for q in range(n_lists):
            for j in range(width):
                row = list_items[s, q, j]
                if row < 0:
                    break
                slot = slot_of(table, row)
                if table[slot] == row:
                    out[at[slot], 2 * q] = list_scores[s, q, j]
                    out[at[slot], 2 * q + 1] = j
        start, stop = offsets[s], offsets[s + 1]
        _describe_history(start, stop, items, ts, types, table, at, out, pair, first, last)
        newest = items[stop - 1] if stop > start else EMPTY
        gap = (ts[stop - 1] - ts[stop - 2]) / 1000.0 if stop - start > 1 else 0.0
        gap_before = (ts[stop - 2] - ts[stop - 3]) / 1000.0 if stop - start > 2 else 0.0
        length = (ts[stop - 1] - ts[start]) / 1000.0 if stop > start else 0.0
        distinct = _distinct(items, start, stop)
        twice = stop - start > 1 and items[stop - 2] == newest
        hour = (ts[stop - 1] // 3_600_000) % 24 if stop > start else 0
        for c in range(first, last):
            for f in range(n_item):
                out[c, item + f] = item_columns[candidates[c], f]
                if newest >= 0:
                    out[c, item + n_item + f] = item_columns[newest, f]
            out[c, whole] = stop - start
            out[c, whole + 1] = distinct
            out[c, whole + 2] = types[stop - 1] if stop > start else 0
            out[c, whole + 3] = gap
            out[c, whole + 4] = gap_before
            out[c, whole + 5] = length
            out[c, whole + 6] = 1.0 - distinct / (stop - start) if stop > start else 0.0
            out[c, whole + 7] = twice
            out[c, whole + 8] = hour
    sum_up_lists(out, n_lists)
    return out


@njit(cache=True, nogil=True)
def sum_up_lists(features: Float32s, n_lists: int) -> None:
    """Set `LIST_COLUMNS`, in place, by the ranks that stand before them."""
    column = 2 * n_lists
    for c in range(len(features)):
        holding, best, reciprocal = 0, NEVER, 0.0
        for q in range(n_lists):
            rank = features[c, 2 * q + 1]
            if rank < NEVER:
                holding += 1
                best = min(best, rank)
                reciprocal += 1.0 / (rank + RANK_OFFSET)
        features[c, column] = holding
        features[c, column + 1] = best
        features[c, column + 2] = reciprocal


@njit(cache=True, nogil=True)
def _describe_history(
    start: int,
    stop: int,
    items: Int32s,
    ts: Int64s,
    types: UInt8s,
    table: Int32s,
    at: Int64s,
    out: Float32s,
    column: int,
    first: int,
    last: int,
) -> None:
    """`PAIR_COLUMNS` of one session's candidates, from ``column`` on."""
    for c in range(first, last):
        out[c, column] = NEVER
        out[c, column + 1] = NEVER
        out[c, column + 2] = 1000.0 * NEVER
        out[c, column + 4] = NEVER
        out[c, column + 5] = -1.0
        out[c, column + 9] = -1.0
    passed = 0
    for e in range(stop - 1, start - 1, -1):
        if items[e] < 0:
            continue
        slot = slot_of(table, items[e])
        if table[slot] != items[e]:
            continue
        c = at[slot]
        if out[c, column + 3] == 0.0:
            out[c, column] = stop - 1 - e
            out[c, column + 1] = passed
            out[c, column + 2] = (ts[stop - 1] - ts[e]) / 1000.0
            out[c, column + 5] = types[e]
            passed += 1
        out[c, column + 3] += 1.0
        out[c, column + 4] = stop - 1 - e
        if types[e] > 0:
            out[c, column + 5 + types[e]] += 1.0
        if e > start and items[e - 1] == items[stop - 1]:
            out[c, column + 8] += 1.0
        if e < stop - 1:
            dwell = min((ts[e + 1] - ts[e]) / 1000.0, MOST_DWELL_SECONDS)
            if out[c, column + 9] < 0.0:
                out[c, column + 9] = dwell
            out[c, column + 10] += dwell


@njit(cache=True, nogil=True)
def _distinct(items: Int32s, start: int, stop: int) -> int:
    """How many items a session has, all unknown ones as one."""
    table = new_table(stop - start)
    count, unknown = 0, 0
    for e in range(start, stop):
        if items[e] < 0:
            unknown = 1
            continue
        slot = slot_of(table, items[e])
        if table[slot] == EMPTY:
            table[slot] = items[e]
            count += 1
    return count + unknown
