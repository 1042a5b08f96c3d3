"""Which of a session's events brought an item: the one with the greatest share in the item's score.

``found`` (n, k) holds the index of that event within its session, `NO_EVENT` where none is known yet; each kernel fills
in what it can say of the items that carry its source's bit. Of equal shares the newest event's counts.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from nextcart.kernels.neighbours import last_distinct
from nextcart.types import Float32s, Int32s, Int64s, UInt8s

NO_EVENT = -1


@njit(cache=True, nogil=True)
def explain_by_lists(
    found: Int32s,
    ranked: Int32s,
    sources: UInt8s,
    bit: int,
    offsets: Int64s,
    items: Int32s,
    types: UInt8s,
    neighbour_offsets: Int64s,
    neighbour_items: Int32s,
    neighbour_weights: Float32s,
    events: int,
    decay: float,
    type_weights: tuple[float, float, float],
) -> None:
    """By lists of neighbours: weight of the item in the event's list * decay ** i * type weight, i from the newest."""
    for s in range(len(ranked)):
        for j in range(ranked.shape[1]):
            if found[s, j] != NO_EVENT or not sources[s, j] & bit:
                continue
            best, factor = 0.0, 1.0
            stop = offsets[s + 1]
            for e in range(stop - 1, max(offsets[s], stop - events) - 1, -1):
                share = factor * type_weights[types[e]]
                factor *= decay
                if items[e] < 0:
                    continue
                for i in range(neighbour_offsets[items[e]], neighbour_offsets[items[e] + 1]):
                    if neighbour_items[i] == ranked[s, j] and share * neighbour_weights[i] > best:
                        best = share * neighbour_weights[i]
                        found[s, j] = e - offsets[s]


@njit(cache=True, nogil=True)
def explain_by_vectors(
    found: Int32s,
    ranked: Int32s,
    sources: UInt8s,
    bit: int,
    offsets: Int64s,
    items: Int32s,
    vectors: Float32s,
    events: int,
    decay: float,
    power: float,
) -> None:
    """By vectors, for items that no kept list holds: cosine ** power * decay ** i, i from the newest."""
    for s in range(len(ranked)):
        for j in range(ranked.shape[1]):
            row = ranked[s, j]
            if found[s, j] != NO_EVENT or not sources[s, j] & bit or row >= len(vectors):
                continue
            best, factor = 0.0, 1.0
            stop = offsets[s + 1]
            for e in range(stop - 1, max(offsets[s], stop - events) - 1, -1):
                if 0 <= items[e] < len(vectors):
                    cosine = 0.0
                    for d in range(vectors.shape[1]):
                        cosine += vectors[items[e], d] * vectors[row, d]
                    if cosine > 0.0 and factor * cosine**power > best:
                        best = factor * cosine**power
                        found[s, j] = e - offsets[s]
                factor *= decay


@njit(cache=True, nogil=True)
def explain_by_places(
    found: Int32s,
    ranked: Int32s,
    sources: UInt8s,
    bit: int,
    offsets: Int64s,
    items: Int32s,
    kinds: UInt8s,
    vectors: Float32s,
    weights: Float32s,
    kind_weights: Float32s,
    kind_vectors: Float32s,
) -> None:
    """By a log-bilinear model: the product of the item's vector with the event's, times the event's weights."""
    for s in range(len(ranked)):
        for j in range(ranked.shape[1]):
            row = ranked[s, j]
            if found[s, j] != NO_EVENT or not sources[s, j] & bit:
                continue
            best = -np.inf
            stop = offsets[s + 1]
            for e in range(stop - 1, max(offsets[s], stop - len(weights)) - 1, -1):
                if items[e] < 0:
                    continue
                share, kind = 0.0, kinds[e]
                for d in range(vectors.shape[1]):
                    vector = vectors[items[e], d] + kind_vectors[kind, d]
                    share += weights[stop - 1 - e, d] * kind_weights[kind, d] * vector * vectors[row, d]
                if share > best:
                    best = share
                    found[s, j] = e - offsets[s]


@njit(cache=True, nogil=True)
def explain_by_sessions(
    found: Int32s,
    ranked: Int32s,
    sources: UInt8s,
    bit: int,
    offsets: Int64s,
    items: Int32s,
    item_offsets: Int64s,
    item_sessions: Int32s,
    idf: Float32s,
    events: int,
    position_decay: float,
) -> None:
    """By sessions that two items share: how many recent ones hold both * idf of the event's * exp(-i / decay).

    ``i`` counts the session's distinct known items from the newest, of which ``events`` are looked at.
    """
    asked = np.empty(events, np.int32)
    for s in range(len(ranked)):
        n_asked = last_distinct(items, offsets[s], offsets[s + 1], asked)
        for j in range(ranked.shape[1]):
            if found[s, j] != NO_EVENT or not sources[s, j] & bit:
                continue
            best, behind = 0.0, NO_EVENT
            for i in range(n_asked):
                share = math.exp(-i / position_decay) * idf[asked[i]]
                share *= _shared(item_offsets, item_sessions, asked[i], ranked[s, j])
                if share > best:
                    best, behind = share, asked[i]
            for e in range(offsets[s], offsets[s + 1]):
                if behind >= 0 and items[e] == behind:
                    found[s, j] = e - offsets[s]


@njit(cache=True, nogil=True)
def _shared(item_offsets: Int64s, item_sessions: Int32s, a: int, b: int) -> int:
    """How many sessions stand in the ascending lists of both items."""
    i, j, count = item_offsets[a], item_offsets[b], 0
    while i < item_offsets[a + 1] and j < item_offsets[b + 1]:
        if item_sessions[i] == item_sessions[j]:
            count += 1
        step_a = item_sessions[i] <= item_sessions[j]
        step_b = item_sessions[j] <= item_sessions[i]
        i += int(step_a)
        j += int(step_b)
    return count


@njit(cache=True, nogil=True)
def explain_by_itself(found: Int32s, ranked: Int32s, sources: UInt8s, bit: int, offsets: Int64s, items: Int32s) -> None:
    """By the session's newest event on the item itself."""
    for s in range(len(ranked)):
        for j in range(ranked.shape[1]):
            if found[s, j] != NO_EVENT or not sources[s, j] & bit:
                continue
            for e in range(offsets[s], offsets[s + 1]):
                if items[e] == ranked[s, j]:
                    found[s, j] = e - offsets[s]
