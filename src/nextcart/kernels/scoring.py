"""Answering a batch of sessions: neighbour scores, popularity lists, allowed items; what may come and what not."""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.kernels.topk import insert, push, sort_heap, worse
from nextcart.types import Float32s, Int32s, Int64s, UInt8s

EMPTY = -1
GOLDEN = 0x9E3779B1
LINE = 16
"""Rows or weights that memory gives at a time."""


@njit(cache=True, nogil=True)
def new_table(entries: int) -> Int32s:
    """An empty open-addressing table of item rows with room for ``entries`` at a load of at most a half."""
    size = 16
    while size < 2 * entries:
        size *= 2
    return np.full(size, EMPTY, np.int32)


@njit(cache=True, nogil=True, inline="always")
def slot_of(table: Int32s, row: int) -> int:
    """The slot where ``row`` stands or belongs."""
    # Cut to 31 bits, as it is, the compiler sees that no slot is negative, and asks no more at each use of one.
    mask = (len(table) - 1) & 0x7FFFFFFF
    slot = ((row * GOLDEN) >> 8) & mask
    while table[slot] != row and table[slot] != EMPTY:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
def holds(sorted_rows: Int32s, start: int, stop: int, row: int) -> bool:
    """Whether the ascending ``sorted_rows[start:stop]`` holds ``row``."""
    low, high = start, stop
    while low < high:
        middle = (low + high) >> 1
        if sorted_rows[middle] < row:
            low = middle + 1
        else:
            high = middle
    return low < stop and sorted_rows[low] == row


@njit(cache=True, nogil=True)
def score_neighbours(
    offsets: Int64s,
    items: Int32s,
    types: UInt8s,
    neighbour_offsets: Int64s,
    neighbour_items: Int32s,
    neighbour_weights: Float32s,
    query_events: int,
    decay: float,
    type_weights: tuple[float, float, float],
    k: int,
    ban_offsets: Int64s,
    banned: Int32s,
    allow_offsets: Int64s,
    allowed: Int32s,
    blocked: UInt8s,
) -> tuple[Int32s, Float32s]:
    """Sum the neighbours of each session's last events: weight * decay ** i * type weight, i from the newest.

    An empty ``allow_offsets`` allows all items, an empty ``ban_offsets`` bans none, nor does an empty ``blocked``,
    which else holds a 1 for each row that must not come.
    """
    n = len(offsets) - 1
    out_items = np.full((n, k), EMPTY, np.int32)
    out_scores = np.zeros((n, k), np.float32)
    for s in range(n):
        stop = offsets[s + 1]
        start = max(offsets[s], stop - query_events)
        ban_start, ban_stop = span(ban_offsets, s)
        entries = ban_stop - ban_start
        for e in range(start, stop):
            if items[e] >= 0:
                entries += neighbour_offsets[items[e] + 1] - neighbour_offsets[items[e]]
        for e in range(start, stop):
            if items[e] >= 0:
                # Never negative, but looked at: memory is then waited for once, not list after list in the loop below.
                for j in range(neighbour_offsets[items[e]], neighbour_offsets[items[e] + 1], LINE):
                    if neighbour_items[j] < 0 or neighbour_weights[j] < 0.0:
                        entries += 1
        # Twice the room that is needed: where fewer rows collide, fewer branches are guessed wrong.
        table = new_table(2 * entries)
        total = np.zeros(len(table), np.float64)
        touched = np.empty(entries + 1, np.int32)
        n_touched = 0
        for b in range(ban_start, ban_stop):
            table[slot_of(table, banned[b])] = banned[b]
        factor = 1.0
        for e in range(stop - 1, start - 1, -1):
            row = items[e]
            weight = factor * type_weights[types[e]]
            factor *= decay
            if row < 0 or weight == 0.0:
                continue
            for j in range(neighbour_offsets[row], neighbour_offsets[row + 1]):
                slot = slot_of(table, neighbour_items[j])
                # Without a branch, which would often be guessed wrong.
                touched[n_touched] = slot
                n_touched += table[slot] == EMPTY
                table[slot] = neighbour_items[j]
                total[slot] += weight * neighbour_weights[j]
        best_scores, best_items = out_scores[s], out_items[s]
        size = 0
        for t in range(n_touched):
            slot = touched[t]
            row, score = table[slot], np.float32(total[slot])
            # Whether it may come is looked up only where it would: that memory is far.
            if (size < k or worse(best_scores[k - 1], best_items[k - 1], score, row)) and (
                _may_come(allow_offsets, allowed, s, row) and not _holds_one(blocked, row)
            ):
                size = insert(best_scores, best_items, size, score, row)
    return out_items, out_scores


@njit(cache=True, nogil=True)
def take_top(
    n: int,
    k: int,
    list_items: Int32s,
    list_scores: Float32s,
    ban_offsets: Int64s,
    banned: Int32s,
    allow_offsets: Int64s,
    allowed: Int32s,
    blocked: UInt8s,
) -> tuple[Int32s, Float32s]:
    """The first ``k`` entries of one list for each of ``n`` sessions, past those that must not come."""
    out_items = np.full((n, k), EMPTY, np.int32)
    out_scores = np.zeros((n, k), np.float32)
    for s in range(n):
        table = _ban_table(ban_offsets, banned, s)
        size = 0
        for j in range(len(list_items)):
            if size == k:
                break
            row = list_items[j]
            if _holds_one(blocked, row):
                continue
            if table[slot_of(table, row)] == EMPTY and _may_come(allow_offsets, allowed, s, row):
                out_items[s, size], out_scores[s, size] = row, list_scores[j]
                size += 1
    return out_items, out_scores


@njit(cache=True, nogil=True)
def first_permitted(
    found_items: Int32s,
    found_scores: Float32s,
    k: int,
    ban_offsets: Int64s,
    banned: Int32s,
    allow_offsets: Int64s,
    allowed: Int32s,
) -> tuple[Int32s, Float32s]:
    """The first ``k`` of the found items (n, m), best first and ``EMPTY`` past the end, that may come."""
    n = len(found_items)
    out_items = np.full((n, k), EMPTY, np.int32)
    out_scores = np.zeros((n, k), np.float32)
    for s in range(n):
        table = _ban_table(ban_offsets, banned, s)
        size = 0
        for j in range(found_items.shape[1]):
            row = found_items[s, j]
            if size == k or row < 0:
                break
            if table[slot_of(table, row)] == EMPTY and _may_come(allow_offsets, allowed, s, row):
                out_items[s, size], out_scores[s, size] = row, found_scores[s, j]
                size += 1
    return out_items, out_scores


@njit(cache=True, nogil=True)
def score_allowed(
    offsets: Int64s,
    items: Int32s,
    vectors: Float32s,
    query_events: int,
    decay: float,
    power: float,
    k: int,
    ban_offsets: Int64s,
    banned: Int32s,
    allow_offsets: Int64s,
    allowed: Int32s,
) -> tuple[Int32s, Float32s]:
    """The best ``k`` allowed items: the sum over each session's last events of cosine ** power * decay ** i.

    What `score_neighbours` sums, but over the vectors themselves: of all items, not of the kept neighbours alone.
    Negative cosines count as none.
    """
    n = len(offsets) - 1
    out_items = np.full((n, k), EMPTY, np.int32)
    out_scores = np.zeros((n, k), np.float32)
    for s in range(n):
        stop = offsets[s + 1]
        start = max(offsets[s], stop - query_events)
        table = _ban_table(ban_offsets, banned, s)
        best_scores, best_items = out_scores[s], out_items[s]
        size = 0
        for j in range(allow_offsets[s], allow_offsets[s + 1]):
            row = allowed[j]
            if j > allow_offsets[s] and row == allowed[j - 1]:
                continue
            if row < len(vectors) and table[slot_of(table, row)] == EMPTY:
                score = np.float32(_closeness(items[start:stop], row, vectors, decay, power))
                if score > 0.0:
                    size = push(best_scores, best_items, size, score, row)
        sort_heap(best_scores, best_items, size)
    return out_items, out_scores


@njit(cache=True, nogil=True)
def _closeness(events: Int32s, row: int, vectors: Float32s, decay: float, power: float) -> float:
    """How near an item is to the events, newest last."""
    total, factor = 0.0, 1.0
    for e in range(len(events) - 1, -1, -1):
        if 0 <= events[e] < len(vectors):
            cosine = 0.0
            for d in range(vectors.shape[1]):
                cosine += vectors[events[e], d] * vectors[row, d]
            if cosine > 0.0:
                total += factor * cosine**power
        factor *= decay
    return total


@njit(cache=True, nogil=True)
def join_lists(offsets_a: Int64s, items_a: Int32s, offsets_b: Int64s, items_b: Int32s) -> tuple[Int64s, Int32s]:
    """Per-session lists a followed by lists b, without unknown items."""
    n = len(offsets_a) - 1
    offsets = np.zeros(n + 1, np.int64)
    items = np.empty(len(items_a) + len(items_b), np.int32)
    size = 0
    for s in range(n):
        for i in range(offsets_a[s], offsets_a[s + 1]):
            if items_a[i] >= 0:
                items[size] = items_a[i]
                size += 1
        start, stop = span(offsets_b, s)
        for i in range(start, stop):
            if items_b[i] >= 0:
                items[size] = items_b[i]
                size += 1
        offsets[s + 1] = size
    return offsets, items[:size]


@njit(cache=True, nogil=True)
def baskets_of(
    offsets: Int64s, items: Int32s, types: UInt8s, from_type: int, last_events: int
) -> tuple[Int64s, Int32s, Int64s]:
    """The distinct known items of each session's last events of a type from ``from_type`` up; else its last known.

    Returns:
        Offsets, items, newest first, and the place of each item's event among ``items``.
    """
    n = len(offsets) - 1
    out_offsets = np.zeros(n + 1, np.int64)
    out_items = np.empty(len(items), np.int32)
    places = np.empty(len(items), np.int64)
    size = 0
    for s in range(n):
        first = size
        taken = 0
        for e in range(offsets[s + 1] - 1, offsets[s] - 1, -1):
            if taken == last_events:
                break
            if types[e] < from_type or items[e] < 0:
                continue
            taken += 1
            fresh = True
            for i in range(first, size):
                fresh = fresh and out_items[i] != items[e]
            if fresh:
                out_items[size], places[size] = items[e], e
                size += 1
        e = offsets[s + 1] - 1
        while size == first and e >= offsets[s]:
            if items[e] >= 0:
                out_items[size], places[size] = items[e], e
                size += 1
            e -= 1
        out_offsets[s + 1] = size
    return out_offsets, out_items[:size], places[:size]


@njit(cache=True, nogil=True, inline="always")
def span(offsets: Int64s, s: int) -> tuple[int, int]:
    """Start and stop of list ``s``; an empty span where there are no lists."""
    if len(offsets) == 0:
        return 0, 0
    return offsets[s], offsets[s + 1]


@njit(cache=True, nogil=True, inline="always")
def _may_come(allow_offsets: Int64s, allowed: Int32s, s: int, row: int) -> bool:
    """Whether the allow list, where there is one, holds the item."""
    return len(allow_offsets) == 0 or holds(allowed, allow_offsets[s], allow_offsets[s + 1], row)


@njit(cache=True, nogil=True, inline="always")
def _holds_one(mask: UInt8s, row: int) -> bool:
    """Whether the mask of all rows, where there is one, holds a 1 for the row."""
    return len(mask) > 0 and mask[row] != 0


@njit(cache=True, nogil=True)
def _ban_table(ban_offsets: Int64s, banned: Int32s, s: int) -> Int32s:
    """The banned items of session ``s`` as a table."""
    start, stop = span(ban_offsets, s)
    table = new_table(stop - start)
    for b in range(start, stop):
        table[slot_of(table, banned[b])] = banned[b]
    return table
