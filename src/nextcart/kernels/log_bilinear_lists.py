"""What comes after a session by a log-bilinear model: items near its last ones, weighed one by one."""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.kernels.scoring import EMPTY, new_table, slot_of, span
from nextcart.kernels.topk import push, sort_heap
from nextcart.types import Float32s, Int32s, Int64s, UInt8s

LANES = 8
"""Sums that a product is made of, side by side: a vector's length is a multiple of it."""

MOST = 80.0
"""A score is e to a product of at most this: the largest float32 is e to 88.7."""


@njit(cache=True, nogil=True)
def items_after(
    offsets: Int64s,
    items: Int32s,
    kinds: UInt8s,
    vectors: Float32s,
    biases: Float32s,
    weights: Float32s,
    kind_weights: Float32s,
    kind_vectors: Float32s,
    nearest: Int32s,
    query_events: int,
    k: int,
    ban_offsets: Int64s,
    banned: Int32s,
    allow_offsets: Int64s,
    allowed: Int32s,
) -> tuple[Int32s, Float32s]:
    """The best ``k`` by e ** (product of the item's vector with the session, plus its bias), its own items among them.

    A session is the sum of its last events, each the vectors of its item and kind times the weights of its place and
    kind. Without an allow list the items that are looked at are those of these events and, for the last
    ``query_events``, the ones nearest to each.
    """
    n, context = len(offsets) - 1, len(weights)
    out_items = np.full((n, k), EMPTY, np.int32)
    out_scores = np.zeros((n, k), np.float32)
    described = np.empty(vectors.shape[1], np.float32)
    for s in range(n):
        stop = offsets[s + 1]
        start = max(offsets[s], stop - context)
        if not describe_session(items, kinds, start, stop, vectors, weights, kind_weights, kind_vectors, described):
            continue
        near = nearest.shape[1]
        ban_start, ban_stop = span(ban_offsets, s)
        allow_start, allow_stop = span(allow_offsets, s)
        looked = allow_stop - allow_start if len(allow_offsets) else context + query_events * near
        table = new_table(looked + ban_stop - ban_start)
        for b in range(ban_start, ban_stop):
            table[slot_of(table, banned[b])] = banned[b]
        best_items, best_scores = out_items[s], out_scores[s]
        size = 0
        if len(allow_offsets):
            for j in range(allow_start, allow_stop):
                size = _offer(allowed[j], table, described, vectors, biases, best_scores, best_items, size)
        else:
            for e in range(stop - 1, start - 1, -1):
                row = items[e]
                if row < 0:
                    continue
                size = _offer(row, table, described, vectors, biases, best_scores, best_items, size)
                if e >= stop - query_events:
                    for j in range(near):
                        if nearest[row, j] < 0:
                            break
                        size = _offer(nearest[row, j], table, described, vectors, biases, best_scores, best_items, size)
        sort_heap(best_scores, best_items, size)
    return out_items, out_scores


@njit(cache=True, nogil=True)
def describe_session(
    items: Int32s,
    kinds: UInt8s,
    start: int,
    stop: int,
    vectors: Float32s,
    weights: Float32s,
    kind_weights: Float32s,
    kind_vectors: Float32s,
    out: Float32s,
) -> bool:
    """Set ``out`` to the sum of the events' vectors times their weights; whether any item is known.

    Unknown items keep their places.
    """
    out[:] = 0.0
    known = False
    for e in range(stop - 1, start - 1, -1):
        if items[e] < 0:
            continue
        known = True
        vector, weight = vectors[items[e]], weights[stop - 1 - e]
        of_kind, factor = kind_vectors[kinds[e]], kind_weights[kinds[e]]
        for d in range(len(out)):
            out[d] += weight[d] * factor[d] * (vector[d] + of_kind[d])
    return known


@njit(cache=True, nogil=True, inline="always")
def product(a: Float32s, b: Float32s) -> np.float32:
    """The inner product of two vectors, in an order that no compiler may change."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.float32(0.0)
    for d in range(0, len(a), LANES):
        s0 += a[d] * b[d]
        s1 += a[d + 1] * b[d + 1]
        s2 += a[d + 2] * b[d + 2]
        s3 += a[d + 3] * b[d + 3]
        s4 += a[d + 4] * b[d + 4]
        s5 += a[d + 5] * b[d + 5]
        s6 += a[d + 6] * b[d + 6]
        s7 += a[d + 7] * b[d + 7]
    return ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7))


@njit(cache=True, nogil=True, inline="always")
def _offer(
    row: int,
    table: Int32s,
    described: Float32s,
    vectors: Float32s,
    biases: Float32s,
    best_scores: Float32s,
    best_items: Int32s,
    size: int,
) -> int:
    """Weigh an item that was not looked at yet; the new size of the list."""
    slot = slot_of(table, row)
    if table[slot] != EMPTY:
        return size
    table[slot] = row
    # The score as it is told, not its logarithm: of what comes out equal the smaller row goes first.
    score = np.float32(np.exp(min(np.float64(product(described, vectors[row]) + biases[row]), MOST)))
    return push(best_scores, best_items, size, score, row)
