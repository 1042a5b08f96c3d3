"""Sessions like the one that asks, looked up in an index from items to recent sessions, and the items of the nearest.

Sessions are numbered newest first, so that of two equally near ones the smaller number is the newer.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from nextcart.kernels.scoring import EMPTY, holds, new_table, slot_of, span
from nextcart.kernels.topk import insert, worse
from nextcart.types import Float32s, Float64s, Int32s, Int64s, UInt8s

MAX_AGE = 30.0
"""Ages count up to so many times the recency: of old sessions alone the nearest still come, not zeros."""
LAST_ROW = 0x7FFFFFFF


@njit(cache=True, nogil=True)
def late_factors(ends: Int64s, norms: Float32s, recency_ms: float) -> Float64s:
    """Norm times decay of each session, shape (n_sessions,), for who asks once the newest of all has ended."""
    factors = np.empty(len(ends), np.float64)
    for q in range(len(ends)):
        factors[q] = norms[q] * math.exp(-min((ends[0] - ends[q]) / recency_ms, MAX_AGE))
    return factors


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
    factors: Float64s,
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

    ``factors`` are `late_factors`. An empty ``allow_offsets`` allows all items, an empty ``ban_offsets`` bans none.
    """
    n = len(offsets) - 1
    out_items = np.full((n, k), EMPTY, np.int32)
    out_scores = np.zeros((n, k), np.float32)
    asked = np.empty(query_events, np.int32)
    near_scores, near = np.empty(neighbours, np.float32), np.empty(neighbours, np.int32)
    starts, stops = np.empty(neighbours, np.int64), np.empty(neighbours, np.int64)
    matches = np.empty(neighbours, np.int64)
    weights = np.exp(-np.abs(np.arange(-reach, reach + 1)) / item_decay)
    weights[:reach] *= before_weight
    for s in range(n):
        n_asked = last_distinct(items, offsets[s], offsets[s + 1], asked)
        if n_asked == 0:
            continue
        size, sessions, places = _nearest(
            asked[:n_asked],
            ts[offsets[s + 1] - 1],
            item_offsets,
            item_sessions,
            item_places,
            idf,
            ends,
            norms,
            factors,
            position_decay,
            recency_ms,
            near_scores,
            near,
        )
        ban_start, ban_stop = span(ban_offsets, s)
        entries = ban_stop - ban_start
        # Three loops, each with nothing but its own look-ups: memory is then waited for once, not again and again.
        for i in range(size):
            starts[i], stops[i] = session_offsets[near[i]], session_offsets[near[i] + 1]
        for i in range(size):
            matches[i] = stops[i] - 1 - places[slot_of(sessions, near[i])]
            starts[i], stops[i] = max(starts[i], matches[i] - reach), min(stops[i], matches[i] + reach + 1)
        for i in range(size):
            # Never unknown, but looked at before the loop below needs them.
            if session_items[starts[i]] >= 0 and session_items[stops[i] - 1] >= 0:
                entries += stops[i] - starts[i]
        table = new_table(entries)
        total = np.zeros(len(table), np.float64)
        touched = np.empty(entries + 1, np.uint32)
        for b in range(ban_start, ban_stop):
            table[slot_of(table, banned[b])] = banned[b]
        n_touched = 0
        for i in range(size):
            nearness = near_scores[i]
            held, worth = session_items[starts[i] : stops[i]], weights[reach + starts[i] - matches[i] :]
            for e in range(len(held)):
                slot = slot_of(table, held[e])
                # Without a branch, which would be guessed wrong half of the time.
                touched[n_touched] = slot
                n_touched += table[slot] == EMPTY
                table[slot] = held[e]
                total[slot] += nearness * worth[e]
        best_scores, best_items = out_scores[s], out_items[s]
        size = 0
        for t in range(n_touched):
            row, score = table[touched[t]], np.float32(total[touched[t]])
            # Whether it may come is looked up only where it would.
            if (
                score > 0.0
                and (size < k or worse(best_scores[k - 1], best_items[k - 1], score, row))
                and (len(allow_offsets) == 0 or holds(allowed, allow_offsets[s], allow_offsets[s + 1], row))
            ):
                size = insert(best_scores, best_items, size, score, row)
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
    factors: Float64s,
    position_decay: float,
    recency_ms: float,
    near_scores: Float32s,
    near: Int32s,
) -> tuple[int, Int32s, UInt8s]:
    """Find the sessions nearest to the asked items (newest first), in no order, as many as there is room for.

    Returns:
        How many there are, and a table of all sessions that share an item: with the place, from its end, of the newest.
    """
    entries = 0
    for a in asked:
        entries += item_offsets[a + 1] - item_offsets[a]
    table = new_table(entries)
    total = np.empty(len(table), np.float64)
    places = np.empty(len(table), np.uint8)
    touched = np.empty(entries, np.uint32)
    n_touched = 0
    for i in range(len(asked)):
        weight = math.exp(-i / position_decay) * idf[asked[i]]
        for j in range(item_offsets[asked[i]], item_offsets[asked[i] + 1]):
            slot = slot_of(table, item_sessions[j])
            if table[slot] == EMPTY:
                table[slot], total[slot], places[slot] = item_sessions[j], weight, item_places[j]
                touched[n_touched] = slot
                n_touched += 1
            else:
                total[slot] += weight
    late = n_touched > 0 and now >= ends[0]
    # In a loop with nothing else to look up: memory is then waited for once, not again and again.
    for t in range(n_touched):
        q = table[touched[t]]
        total[touched[t]] *= factors[q] if late else norms[q]
    size, keep, bar = 0, len(near), np.float32(0.0)
    keys = np.empty(2 * keep, np.int64)
    for t in range(n_touched):
        q, nearness = table[touched[t]], total[touched[t]]
        # Most need no exponential: with no age at all they are not near enough.
        if np.float32(nearness) < bar:
            continue
        if not late:
            age = now - ends[q] if now > ends[q] else 0
            nearness *= math.exp(-min(age / recency_ms, MAX_AGE))
        score = np.float32(nearness)
        if score > 0.0 and score >= bar:
            keys[size] = _key_of(score, q)
            size += 1
            if size == len(keys):
                size = _keep_best(keys, size, keep)
                bar = _score_of(keys[keep - 1])
    size = _keep_best(keys, size, keep)
    for i in range(size):
        near_scores[i], near[i] = _score_of(keys[i]), LAST_ROW - (keys[i] & LAST_ROW)
    return size, table, places


@njit(cache=True, nogil=True)
def _key_of(score: np.float32, row: int) -> np.int64:
    """A score above 0 and its row as one number, the larger the better: the bits of such scores ascend as they do."""
    bits = np.float32(score).view(np.int32)
    return (np.int64(bits) << 32) | (LAST_ROW - row)


@njit(cache=True, nogil=True)
def _score_of(key: np.int64) -> np.float32:
    bits = np.int32(key >> 32)
    return bits.view(np.float32)


@njit(cache=True, nogil=True)
def _keep_best(keys: Int64s, size: int, keep: int) -> int:
    """Bring the largest ``keep`` of ``size`` keys to the front, the smallest of them last; how many there are.

    Quickselect: a heap would move nearly every entry all the way, because newer sessions come first and are nearer.
    """
    low, high = 0, size - 1
    while low < high and keep < size:
        middle = (low + high) >> 1
        pivot, keys[middle] = keys[middle], keys[high]
        i = low
        for j in range(low, high):
            # Swapped without a branch, which would be guessed wrong half of the time.
            keys[j], keys[i] = keys[i], keys[j]
            i += keys[i] > pivot
        keys[high], keys[i] = keys[i], pivot
        if i == keep - 1:
            break
        if i > keep - 1:
            high = i - 1
        else:
            low = i + 1
    return min(size, keep)
