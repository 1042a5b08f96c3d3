"""From the lists that sources bring for a batch of sessions: their union, what is known of each pair, and the best."""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.kernels.scoring import EMPTY, holds, new_table, slot_of, span
from nextcart.kernels.topk import push, sort_heap
from nextcart.types import Float32s, Int32s, Int64s, UInt8s

NEVER = 1000.0
"""Stands for a rank, a number of steps or of items where there is none: further than any that is."""

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
)
"""What the session has done with the item; steps and items count from the newest event. ``times_after_last``: how often
it came right after an earlier event on the session's last item."""

SESSION_COLUMNS = (
    "session_events",
    "session_items",
    "session_last_type",
    "session_gap_seconds",
    "session_seconds",
    "session_repeat_share",
    "session_same_item_twice",
    "session_hour",
)
"""What the session looks like, the same for all of its candidates."""


@njit(cache=True, nogil=True)
def unite(
    offsets: Int64s,
    items: Int32s,
    list_items: Int32s,
    takes: Int64s,
    bits: UInt8s,
    history_events: int,
    history_bit: int,
    max_candidates: int,
    ban_offsets: Int64s,
    banned: Int32s,
    allow_offsets: Int64s,
    allowed: Int32s,
) -> tuple[Int64s, Int32s, UInt8s]:
    """The distinct items of each session's last events, newest first, and of the heads of its lists, in their order.

    ``list_items`` is (n_sessions, n_lists, width), each list best first and `EMPTY` past its end; ``takes`` (n_lists,)
    says how many of each become candidates, ``bits`` (n_lists,) whose they are, ``history_bit`` whose the session's own
    are. The last four arguments are those of every scoring kernel. A session without a known item has no
    candidates: there is nothing to choose them by.

    Returns:
        Offsets (n_sessions + 1,), candidates (n_candidates,) and the bits of those that brought each.
    """
    n, n_lists, width = list_items.shape
    out_offsets = np.zeros(n + 1, np.int64)
    out_items = np.empty(n * max_candidates, np.int32)
    out_bits = np.zeros(n * max_candidates, np.uint8)
    size = 0
    for s in range(n):
        out_offsets[s + 1] = size
        known = False
        for e in range(offsets[s], offsets[s + 1]):
            known = known or items[e] >= 0
        if not known:
            continue
        last = size + max_candidates
        ban_start, ban_stop = span(ban_offsets, s)
        table = new_table(max_candidates + ban_stop - ban_start)
        at = np.full(len(table), -1, np.int64)
        for b in range(ban_start, ban_stop):
            table[slot_of(table, banned[b])] = banned[b]
        for e in range(offsets[s + 1] - 1, max(offsets[s], offsets[s + 1] - history_events) - 1, -1):
            size = _offer(items[e], history_bit, table, at, out_items, out_bits, size, last, s, allow_offsets, allowed)
        for q in range(n_lists):
            for j in range(min(takes[q], width)):
                row = list_items[s, q, j]
                if row < 0:
                    break
                size = _offer(row, bits[q], table, at, out_items, out_bits, size, last, s, allow_offsets, allowed)
        out_offsets[s + 1] = size
    return out_offsets, out_items[:size].copy(), out_bits[:size].copy()


@njit(cache=True, nogil=True)
def _offer(
    row: int,
    bit: int,
    table: Int32s,
    at: Int64s,
    out_items: Int32s,
    out_bits: UInt8s,
    size: int,
    last: int,
    s: int,
    allow_offsets: Int64s,
    allowed: Int32s,
) -> int:
    """Add one candidate, or a source to one that is there; the new size."""
    if row < 0:
        return size
    slot = slot_of(table, row)
    if table[slot] == row:
        # A banned item stands in the table without a place.
        if at[slot] >= 0:
            out_bits[at[slot]] |= np.uint8(bit)
        return size
    if size == last or (len(allow_offsets) > 0 and not holds(allowed, allow_offsets[s], allow_offsets[s + 1], row)):
        return size
    table[slot], at[slot] = row, size
    out_items[size], out_bits[size] = row, np.uint8(bit)
    return size + 1


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

    In this order: score and rank (from 0) in each list; `PAIR_COLUMNS`; ``item_columns`` (n_items, n_columns) of the
    candidate, and those of the session's last item; `SESSION_COLUMNS`.
    """
    n, n_lists, width = list_items.shape
    n_item = item_columns.shape[1]
    pair = 2 * n_lists
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
            out[c, whole + 4] = length
            out[c, whole + 5] = 1.0 - distinct / (stop - start) if stop > start else 0.0
            out[c, whole + 6] = twice
            out[c, whole + 7] = hour
    return out


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


@njit(cache=True, nogil=True)
def best_candidates(
    offsets: Int64s, candidates: Int32s, bits: UInt8s, scores: Float32s, k: int
) -> tuple[Int32s, Float32s, UInt8s]:
    """The best ``k`` candidates of each session: rows, scores and source bits, each (n_sessions, k)."""
    n = len(offsets) - 1
    out_items = np.full((n, k), EMPTY, np.int32)
    out_scores = np.zeros((n, k), np.float32)
    out_bits = np.zeros((n, k), np.uint8)
    for s in range(n):
        best_scores, best_items = out_scores[s], out_items[s]
        size = 0
        table = new_table(offsets[s + 1] - offsets[s])
        of = np.zeros(len(table), np.uint8)
        for c in range(offsets[s], offsets[s + 1]):
            slot = slot_of(table, candidates[c])
            table[slot], of[slot] = candidates[c], bits[c]
            size = push(best_scores, best_items, size, scores[c], candidates[c])
        sort_heap(best_scores, best_items, size)
        for j in range(size):
            out_bits[s, j] = of[slot_of(table, best_items[j])]
    return out_items, out_scores, out_bits
