"""From the lists that sources bring for a batch of sessions: their union, and the best by their scores."""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.kernels.scoring import EMPTY, holds, new_table, slot_of, span
from nextcart.kernels.topk import push, sort_heap
from nextcart.types import Float32s, Int32s, Int64s, UInt8s


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
