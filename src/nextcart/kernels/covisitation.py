"""Counting pairs item by item: no pair is ever materialised, memory is a scratch row a thread.

An index lists the positions of each item's events. For one item at a time the events around each position are added
into a dense scratch row, the best are taken, and the touched cells are cleared. An item is handled by one thread, in
the order of its events: the result does not depend on the number of threads.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from nextcart.kernels.topk import push, sort_heap
from nextcart.types import Float32s, Float64s, Int32s, Int64s, UInt8s, UInt32s

MS_PER_HOUR = 3_600_000.0
CLOSES, OPENS = 1, 2
"""Bits of an event that ends the counted part of its session, and of one that begins it."""


@njit(cache=True, nogil=True)
def event_index(offsets: Int64s, items: Int32s, n_items: int, last_events: int) -> tuple[Int64s, UInt32s, UInt8s]:
    """Positions of each item's events among the last ``last_events`` of their sessions.

    Returns:
        starts (n_items + 1,), positions (n_indexed,), ascending within an item, and edges (n_events,): bits `OPENS` and
        `CLOSES` where an event is the first or the last of these in its session. Positions take 32 bits: there are
        fewer than 2 ** 32 events.
    """
    starts = np.zeros(n_items + 1, np.int64)
    edges = np.zeros(len(items), np.uint8)
    for s in range(len(offsets) - 1):
        first = max(offsets[s], offsets[s + 1] - last_events)
        for e in range(first, offsets[s + 1]):
            starts[items[e] + 1] += 1
        if offsets[s + 1] > offsets[s]:
            edges[first] |= OPENS
            edges[offsets[s + 1] - 1] |= CLOSES
    for i in range(n_items):
        starts[i + 1] += starts[i]
    positions = np.empty(starts[n_items], np.uint32)
    cursor = starts[:-1].copy()
    for s in range(len(offsets) - 1):
        for e in range(max(offsets[s], offsets[s + 1] - last_events), offsets[s + 1]):
            positions[cursor[items[e]]] = e
            cursor[items[e]] += 1
    return starts, positions, edges


@njit(cache=True, nogil=True)
def near_neighbours(
    first: int,
    stop: int,
    items: Int32s,
    ts: Int64s,
    types: UInt8s,
    starts: Int64s,
    positions: UInt32s,
    edges: UInt8s,
    least_gap_ms: int,
    window_ms: float,
    decay_per_hour: float,
    position_decay: float,
    type_weights: tuple[float, float, float],
    look_back: int,
    keep_diagonal: bool,
    both_ways: bool,
    normalised: bool,
    out_items: Int32s,
    out_weights: Float32s,
    out_sizes: Int32s,
) -> None:
    """For items ``first`` to ``stop``: the items of the events after each of theirs, or around them, by decayed weight.

    ``out_items`` and ``out_weights`` are (n_items, top_n), ``out_sizes`` (n_items,); rows of other items stay.
    """
    n_items = len(starts) - 1
    weight = np.zeros(n_items, np.float64)
    touched = np.empty(n_items, np.int32)
    rate = -decay_per_hour / MS_PER_HOUR
    for a in range(first, stop):
        n_touched = 0
        for p in range(starts[a], starts[a + 1]):
            e = np.int64(positions[p])
            t = ts[e]
            for step, edge in ((1, CLOSES), (-1, OPENS)):
                if step < 0 and not both_ways:
                    break
                j = e
                factor = 1.0
                while edges[j] & edge == 0:
                    j += step
                    gap = abs(ts[j] - t)
                    if gap > window_ms or (look_back > 0 and abs(j - e) > look_back):
                        break
                    b = items[j]
                    w = type_weights[types[j]] * factor
                    factor *= position_decay
                    if gap < least_gap_ms or w == 0.0 or (b == a and not keep_diagonal):
                        continue
                    if rate != 0.0:
                        w *= math.exp(rate * gap)
                    if w > 0.0:
                        if weight[b] == 0.0:
                            touched[n_touched] = b
                            n_touched += 1
                        weight[b] += w
        total = 1.0
        if normalised:
            total = 0.0
            for i in range(n_touched):
                total += weight[touched[i]]
        # Taken out of the loop: a view costs as much as a push.
        best_weights, best_items = out_weights[a], out_items[a]
        size = 0
        for i in range(n_touched):
            b = touched[i]
            size = push(best_weights, best_items, size, np.float32(weight[b] / total), b)
            weight[b] = 0.0
        sort_heap(best_weights, best_items, size)
        out_sizes[a] = size


@njit(cache=True, nogil=True)
def two_hop_neighbours(
    first: int,
    stop: int,
    offsets: Int64s,
    items: Int32s,
    weights: Float32s,
    width: int,
    out_items: Int32s,
    out_weights: Float32s,
    out_sizes: Int32s,
) -> None:
    """For items ``first`` to ``stop``: the neighbours of their neighbours, by the sum of the products of both weights.

    Of every list the first ``width`` are followed; the item itself does not come back. Outputs as `near_neighbours`.
    """
    weight = np.zeros(len(offsets) - 1, np.float64)
    touched = np.empty(width * width, np.int32)
    for a in range(first, stop):
        n_touched = 0
        for i in range(offsets[a], min(offsets[a] + width, offsets[a + 1])):
            via, to_there = items[i], np.float64(weights[i])
            for j in range(offsets[via], min(offsets[via] + width, offsets[via + 1])):
                b = items[j]
                w = to_there * weights[j]
                if b == a or w == 0.0:
                    continue
                if weight[b] == 0.0:
                    touched[n_touched] = b
                    n_touched += 1
                weight[b] += w
        best_weights, best_items = out_weights[a], out_items[a]
        size = 0
        for i in range(n_touched):
            b = touched[i]
            size = push(best_weights, best_items, size, np.float32(weight[b]), b)
            weight[b] = 0.0
        sort_heap(best_weights, best_items, size)
        out_sizes[a] = size


@njit(cache=True, nogil=True)
def basket_neighbours(
    first: int,
    stop: int,
    offsets: Int64s,
    session_of: Int32s,
    items: Int32s,
    ts: Int64s,
    starts: Int64s,
    positions: UInt32s,
    support: Int64s,
    session_weights: Float64s,
    mean_weight: float,
    staples: Int32s,
    window_ms: float,
    min_support: int,
    shrinkage: float,
    popularity_power: float,
    n_baskets: int,
    out_items: Int32s,
    out_weights: Float32s,
    out_sizes: Int32s,
) -> None:
    """For items ``first`` to ``stop``: what stands with them in a basket, by shrunk conditional probability.

    A pair counts once a session, in whichever order, when its events are at most ``window_ms`` apart, and as much as
    ``session_weights`` (n_sessions,) says. With p(b) = n(b) / n_baskets,
    score(b | a) = (n(a, b) + shrinkage * mean_weight * p(b)) / (n(a) + shrinkage) / p(b) ** popularity_power.
    Scored are pairs of ``min_support`` sessions, and ``staples`` with every item that stands in any session.
    """
    n_items = len(starts) - 1
    drawn = shrinkage * mean_weight
    count = np.zeros(n_items, np.int32)
    weight = np.zeros(n_items, np.float64)
    counted_in = np.full(n_items, -1, np.int32)
    touched = np.empty(n_items, np.int32)
    for a in range(first, stop):
        n_touched = 0
        for p in range(starts[a], starts[a + 1]):
            e = np.int64(positions[p])
            s = session_of[e]
            for direction in (-1, 1):
                j = e + direction
                while offsets[s] <= j < offsets[s + 1] and abs(ts[j] - ts[e]) <= window_ms:
                    b = items[j]
                    if b != a and counted_in[b] != s:
                        counted_in[b] = s
                        if count[b] == 0:
                            touched[n_touched] = b
                            n_touched += 1
                        count[b] += 1
                        weight[b] += session_weights[s]
                    j += direction
        if support[a] > 0:
            for b in staples:
                if b != a:
                    if count[b] == 0:
                        touched[n_touched] = b
                        n_touched += 1
                    count[b] += min_support
        best_weights, best_items = out_weights[a], out_items[a]
        size = 0
        for i in range(n_touched):
            b = touched[i]
            if count[b] >= min_support:
                share = support[b] / n_baskets
                score = (weight[b] + drawn * share) / (support[a] + shrinkage) / share**popularity_power
                size = push(best_weights, best_items, size, np.float32(score), b)
            count[b] = 0
            weight[b] = 0.0
            counted_in[b] = -1
        sort_heap(best_weights, best_items, size)
        out_sizes[a] = size


@njit(cache=True, nogil=True)
def basket_support(offsets: Int64s, items: Int32s, n_items: int) -> tuple[Int64s, Int32s, Int64s]:
    """How many sessions hold each item, the session of each event, and how many distinct items each session holds.

    Shapes (n_items,), (n_events,) and (n_sessions,).
    """
    support = np.zeros(n_items, np.int64)
    sizes = np.zeros(len(offsets) - 1, np.int64)
    last = np.full(n_items, -1, np.int32)
    session_of = np.empty(len(items), np.int32)
    for s in range(len(offsets) - 1):
        for e in range(offsets[s], offsets[s + 1]):
            session_of[e] = s
            if last[items[e]] != s:
                last[items[e]] = s
                support[items[e]] += 1
                sizes[s] += 1
    return support, session_of, sizes


@njit(cache=True, nogil=True)
def keep_types(
    offsets: Int64s, items: Int32s, ts: Int64s, types: UInt8s, from_type: int, last_events: int
) -> tuple[Int64s, Int32s, Int64s]:
    """The last ``last_events`` events a session whose type is at least ``from_type``: offsets, items and ts."""
    n = len(offsets) - 1
    kept = np.zeros(n + 1, np.int64)
    for s in range(n):
        size = 0
        for e in range(offsets[s], offsets[s + 1]):
            size += types[e] >= from_type
        kept[s + 1] = kept[s] + min(size, last_events)
    out_items = np.empty(kept[n], np.int32)
    out_ts = np.empty(kept[n], np.int64)
    for s in range(n):
        cursor = kept[s + 1]
        for e in range(offsets[s + 1] - 1, offsets[s] - 1, -1):
            if cursor == kept[s]:
                break
            if types[e] >= from_type:
                cursor -= 1
                out_items[cursor], out_ts[cursor] = items[e], ts[e]
    return kept, out_items, out_ts
