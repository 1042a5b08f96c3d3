"""Sessions like the one that asks: an index from items to recent sessions, and the items of the nearest of them.

Sessions are numbered newest first, so that an item's list ascends and of two equally near ones the smaller number is
the newer. Building is by blocks of sessions that count first and then know where each of their entries belongs: the
result does not depend on the number of blocks.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from nextcart.kernels.scoring import EMPTY, holds, new_table, slot_of, span
from nextcart.kernels.topk import push, sort_heap, worse
from nextcart.types import Float32s, Int32s, Int64s, UInt8s

MAX_AGE = 30.0
"""Ages count up to so many times the recency: of old sessions alone the nearest still come, not zeros."""


@njit(cache=True, nogil=True)
def count_sessions(
    first: int, stop: int, order: Int32s, offsets: Int64s, items: Int32s, last_events: int, counts: Int32s
) -> None:
    """Add to ``counts`` (n_items,) the sessions ``order[first:stop]`` that hold each item among their last events."""
    seen = np.full(len(counts), EMPTY, np.int32)
    for q in range(first, stop):
        s = order[q]
        for e in range(max(offsets[s], offsets[s + 1] - last_events), offsets[s + 1]):
            a = items[e]
            if seen[a] != q:
                seen[a] = q
                counts[a] += 1


@njit(cache=True, nogil=True)
def list_sessions(
    first: int,
    stop: int,
    order: Int32s,
    offsets: Int64s,
    items: Int32s,
    last_events: int,
    before: Int32s,
    item_offsets: Int64s,
    item_sessions: Int32s,
    item_places: UInt8s,
    used: UInt8s,
) -> None:
    """Write the places ``first`` to ``stop`` of ``order`` into the lists of their items, as far as these have room.

    ``before`` (n_items,) holds what earlier blocks would write and is counted on; ``item_offsets`` (n_items + 1,) is
    the room of each list. ``used`` (len(order),) becomes 1 where a list refers to the place.
    """
    seen = np.full(len(before), EMPTY, np.int32)
    for q in range(first, stop):
        s = order[q]
        last = offsets[s + 1] - 1
        for e in range(last, max(offsets[s] - 1, last - last_events), -1):
            a = items[e]
            if seen[a] != q:
                seen[a] = q
                entry = item_offsets[a] + before[a]
                if entry < item_offsets[a + 1]:
                    item_sessions[entry], item_places[entry] = q, last - e
                    before[a] += 1
                    used[q] = 1


@njit(cache=True, nogil=True)
def copy_sessions(
    first: int, stop: int, order: Int32s, offsets: Int64s, items: Int32s, out_offsets: Int64s, out_items: Int32s
) -> None:
    """Copy the last items of the sessions ``order[first:stop]``, each as many as ``out_offsets`` leaves room for."""
    for q in range(first, stop):
        size = out_offsets[q + 1] - out_offsets[q]
        start = offsets[order[q] + 1] - size
        for i in range(size):
            out_items[out_offsets[q] + i] = items[start + i]


@njit(cache=True, nogil=True)
def items_of_near_sessions(
    offsets: Int64s,
    items: Int32s,
    ts: Int64s,
    item_offsets: Int64s,
    item_sessions: Int32s,
    item_places: UInt8s,
    idf: Float32s,
    session_offsets: Int64s,
    session_items: Int32s,
    ends: Int64s,
    norms: Float32s,
    query_events: int,
    position_decay: float,
    recency_ms: float,
    neighbours: int,
    item_decay: float,
    before_weight: float,
    reach: int,
    k: int,
    ban_offsets: Int64s,
    banned: Int32s,
    allow_offsets: Int64s,
    allowed: Int32s,
) -> tuple[Int32s, Float32s]:
    """The best ``k`` items of the ``neighbours`` sessions nearest to each session, as `SessionNeighbours` defines.

    An empty ``allow_offsets`` allows all items, an empty ``ban_offsets`` bans none.
    """
    n = len(offsets) - 1
    out_items = np.full((n, k), EMPTY, np.int32)
    out_scores = np.zeros((n, k), np.float32)
    asked = np.empty(query_events, np.int32)
    near_scores, near = np.empty(2 * neighbours, np.float32), np.empty(2 * neighbours, np.int32)
    weights = np.exp(-np.abs(np.arange(-reach, reach + 1)) / item_decay)
    weights[:reach] *= before_weight
    for s in range(n):
        n_asked = last_distinct(items, offsets[s], offsets[s + 1], asked)
        if n_asked == 0:
            continue
        size, sessions, matches = _nearest(
            asked[:n_asked],
            ts[offsets[s + 1] - 1],
            item_offsets,
            item_sessions,
            item_places,
            idf,
            ends,
            norms,
            position_decay,
            recency_ms,
            near_scores,
            near,
        )
        ban_start, ban_stop = span(ban_offsets, s)
        entries = ban_stop - ban_start
        for i in range(size):
            start, stop = session_offsets[near[i]], session_offsets[near[i] + 1]
            # Never unknown, but looked at: memory is then waited for once, not again and again in the loop below.
            if session_items[stop - 1] >= 0:
                entries += min(stop - start, 2 * reach + 1)
        table = new_table(entries)
        total = np.zeros(len(table), np.float64)
        touched = np.empty(entries + 1, np.int32)
        for b in range(ban_start, ban_stop):
            table[slot_of(table, banned[b])] = banned[b]
        n_touched = 0
        for i in range(size):
            start, stop = session_offsets[near[i]], session_offsets[near[i] + 1]
            match = stop - 1 - matches[slot_of(sessions, near[i])]
            nearness = near_scores[i]
            for e in range(max(start, match - reach), min(stop, match + reach + 1)):
                slot = slot_of(table, session_items[e])
                # Without a branch, which would be guessed wrong half of the time.
                touched[n_touched] = slot
                n_touched += table[slot] == EMPTY
                table[slot] = session_items[e]
                total[slot] += nearness * weights[reach + e - match]
        best_scores, best_items = out_scores[s], out_items[s]
        size = 0
        for t in range(n_touched):
            row, score = table[touched[t]], np.float32(total[touched[t]])
            if score > 0.0 and (len(allow_offsets) == 0 or holds(allowed, allow_offsets[s], allow_offsets[s + 1], row)):
                size = push(best_scores, best_items, size, score, row)
        sort_heap(best_scores, best_items, size)
    return out_items, out_scores


@njit(cache=True, nogil=True)
def last_distinct(items: Int32s, start: int, stop: int, asked: Int32s) -> int:
    """Fill ``asked`` with the last distinct known items, newest first; how many there are."""
    size = 0
    for e in range(stop - 1, start - 1, -1):
        if size == len(asked):
            break
        fresh = items[e] >= 0
        for i in range(size):
            fresh = fresh and asked[i] != items[e]
        if fresh:
            asked[size] = items[e]
            size += 1
    return size


@njit(cache=True, nogil=True)
def _nearest(
    asked: Int32s,
    now: int,
    item_offsets: Int64s,
    item_sessions: Int32s,
    item_places: UInt8s,
    idf: Float32s,
    ends: Int64s,
    norms: Float32s,
    position_decay: float,
    recency_ms: float,
    near_scores: Float32s,
    near: Int32s,
) -> tuple[int, Int32s, UInt8s]:
    """Find the sessions nearest to the asked items (newest first), half as many as there is room for.

    Returns:
        How many there are, and a table of all sessions that share an item: with the place, from its end, of the newest.
    """
    entries = 0
    for a in asked:
        entries += item_offsets[a + 1] - item_offsets[a]
    table = new_table(entries)
    total = np.empty(len(table), np.float64)
    matches = np.empty(len(table), np.uint8)
    touched = np.empty(entries, np.int32)
    n_touched = 0
    for i in range(len(asked)):
        weight = math.exp(-i / position_decay) * idf[asked[i]]
        for j in range(item_offsets[asked[i]], item_offsets[asked[i] + 1]):
            slot = slot_of(table, item_sessions[j])
            if table[slot] == EMPTY:
                table[slot], total[slot], matches[slot] = item_sessions[j], weight, item_places[j]
                touched[n_touched] = slot
                n_touched += 1
            else:
                total[slot] += weight
    size, keep, bar = 0, len(near) >> 1, np.float32(0.0)
    for t in range(n_touched):
        q = table[touched[t]]
        nearness = total[touched[t]] * norms[q]
        # Most need no exponential: with no age at all they are not near enough.
        if np.float32(nearness) < bar:
            continue
        # No later than the newest session of all: further on, every age grows alike.
        age = min(now, ends[0]) - ends[q] if now > ends[q] else 0
        score = np.float32(nearness * math.exp(-min(age / recency_ms, MAX_AGE)))
        if score > 0.0 and score >= bar:
            near_scores[size], near[size] = score, q
            size += 1
            if size == len(near):
                size = _keep_best(near_scores, near, size, keep)
                bar = near_scores[keep - 1]
    return _keep_best(near_scores, near, size, keep), table, matches


@njit(cache=True, nogil=True)
def _keep_best(scores: Float32s, rows: Int32s, size: int, keep: int) -> int:
    """Bring the best ``keep`` of ``size`` entries to the front, the worst of them last; how many there are.

    Quickselect: a heap would move nearly every entry all the way, because newer sessions come first and are nearer.
    """
    low, high = 0, size - 1
    while low < high and keep < size:
        score, row = scores[(low + high) >> 1], rows[(low + high) >> 1]
        i, j = low, high
        while i <= j:
            while worse(score, row, scores[i], rows[i]):
                i += 1
            while worse(scores[j], rows[j], score, row):
                j -= 1
            if i <= j:
                scores[i], scores[j] = scores[j], scores[i]
                rows[i], rows[j] = rows[j], rows[i]
                i += 1
                j -= 1
        if keep - 1 <= j:
            high = j
        elif keep - 1 >= i:
            low = i
        else:
            break
    return min(size, keep)
