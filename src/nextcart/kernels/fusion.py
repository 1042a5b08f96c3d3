"""Bringing lists together: rank fusion and its weights, backfill, and why a list is backfill only."""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.kernels.scoring import EMPTY, new_table, slot_of, span
from nextcart.kernels.topk import insert
from nextcart.types import Float32s, Int32s, Int64s, UInt8s


@njit(cache=True, nogil=True)
def fuse_ranks(
    candidates: tuple[Int32s, ...], weights: Float32s, bits: tuple[int, ...], k: int
) -> tuple[Int32s, Float32s, UInt8s]:
    """Merge the models' ranked lists: sum of weight / log2(rank + 1), rank from 1, and who brought each item.

    ``candidates`` holds one (n, c) array a model, ``weights`` is (n, n_models), ``bits`` the models' source bits.
    """
    n = len(weights)
    out_items = np.full((n, k), EMPTY, np.int32)
    out_scores = np.zeros((n, k), np.float32)
    out_sources = np.zeros((n, k), np.uint8)
    entries = 0
    longest = 0
    for lists in candidates:
        entries += lists.shape[1]
        longest = max(longest, lists.shape[1])
    discount = 1.0 / np.log2(np.arange(2, longest + 2))
    for s in range(n):
        table = new_table(entries)
        total = np.zeros(len(table), np.float64)
        sources = np.zeros(len(table), np.uint8)
        touched = np.empty(entries, np.int32)
        n_touched = 0
        for m in range(len(candidates)):
            lists = candidates[m]
            if weights[s, m] == 0.0:
                continue
            for rank in range(lists.shape[1]):
                row = lists[s, rank]
                if row < 0:
                    break
                slot = slot_of(table, row)
                if table[slot] == EMPTY:
                    table[slot] = row
                    touched[n_touched] = slot
                    n_touched += 1
                total[slot] += weights[s, m] * discount[rank]
                sources[slot] |= np.uint8(bits[m])
        best_scores, best_items = out_scores[s], out_items[s]
        size = 0
        for t in range(n_touched):
            slot = touched[t]
            size = insert(best_scores, best_items, size, np.float32(total[slot]), table[slot])
        for i in range(size):
            out_sources[s, i] = sources[slot_of(table, out_items[s, i])]
    return out_items, out_scores, out_sources


@njit(cache=True, nogil=True)
def list_lengths(items: Int32s) -> Int64s:
    """How many items each of the lists ``items`` (n, k) holds before its padding."""
    lengths = np.empty(len(items), np.int64)
    for s in range(len(items)):
        size = items.shape[1]
        while size > 0 and items[s, size - 1] < 0:
            size -= 1
        lengths[s] = size
    return lengths


@njit(cache=True, nogil=True)
def any_short(items: Int32s) -> bool:
    """Whether a list of ``items`` (n, k) is shorter than k."""
    short = False
    for s in range(len(items)):
        short = short or items[s, -1] < 0
    return short


@njit(cache=True, nogil=True)
def backfill(items: Int32s, scores: Float32s, sources: UInt8s, fill_items: Int32s, fill_bit: int) -> None:
    """Fill lists shorter than k from ``fill_items`` (n, m), in place.

    A filled place scores 0, or as the last item before it where that is below 0, so that scores never ascend.
    """
    n, k = items.shape
    for s in range(n):
        size = 0
        while size < k and items[s, size] >= 0:
            size += 1
        if size == k:
            continue
        score = min(np.float32(0.0), scores[s, size - 1]) if size > 0 else np.float32(0.0)
        table = new_table(k)
        for i in range(size):
            table[slot_of(table, items[s, i])] = items[s, i]
        for j in range(fill_items.shape[1]):
            row = fill_items[s, j]
            if size == k or row < 0:
                break
            if table[slot_of(table, row)] == EMPTY:
                items[s, size], scores[s, size], sources[s, size] = row, score, fill_bit
                size += 1


@njit(cache=True, nogil=True)
def fill_from_allowed(
    items: Int32s,
    scores: Float32s,
    sources: UInt8s,
    fill_bit: int,
    ban_offsets: Int64s,
    banned: Int32s,
    allow_offsets: Int64s,
    allowed: Int32s,
) -> None:
    """Fill lists that are still short from each session's ascending allow list, hence by popularity, in place."""
    n, k = items.shape
    for s in range(n):
        size = 0
        while size < k and items[s, size] >= 0:
            size += 1
        if size == k:
            continue
        score = min(np.float32(0.0), scores[s, size - 1]) if size > 0 else np.float32(0.0)
        start, stop = span(ban_offsets, s)
        table = new_table(k + stop - start)
        for i in range(size):
            table[slot_of(table, items[s, i])] = items[s, i]
        for b in range(start, stop):
            if banned[b] >= 0:
                table[slot_of(table, banned[b])] = banned[b]
        for j in range(allow_offsets[s], allow_offsets[s + 1]):
            row = allowed[j]
            if size == k:
                break
            slot = slot_of(table, row)
            if table[slot] == EMPTY:
                table[slot] = row
                items[s, size], scores[s, size], sources[s, size] = row, score, fill_bit
                size += 1


@njit(cache=True, nogil=True)
def hybrid_weights(
    offsets: Int64s,
    types: UInt8s,
    base: tuple[float, float, float],
    short_events: int,
    short_factors: tuple[float, float, float],
    intent_factors: tuple[float, float, float],
) -> Float32s:
    """Weight of each model for each session (n, 3), summing to 1: by its length and by the type of its last event."""
    n = len(offsets) - 1
    weights = np.empty((n, 3), np.float32)
    for s in range(n):
        length = offsets[s + 1] - offsets[s]
        total = 0.0
        for m in range(3):
            weight = base[m]
            if length <= short_events:
                weight *= short_factors[m]
            if length > 0 and types[offsets[s + 1] - 1] > 0:
                weight *= intent_factors[m]
            weights[s, m] = weight
            total += weight
        if total > 0.0:
            for m in range(3):
                weights[s, m] /= total
    return weights


@njit(cache=True, nogil=True)
def fallback_reasons(offsets: Int64s, items: Int32s, sources: UInt8s, fill_bit: int, asked_for_fill: bool) -> UInt8s:
    """Why a list is top sellers only: 0 it is not, 1 no event, 2 no known item, 3 the model had no candidate."""
    n = len(offsets) - 1
    reasons = np.zeros(n, np.uint8)
    for s in range(n):
        known = False
        for e in range(offsets[s], offsets[s + 1]):
            known = known or items[e] >= 0
        if offsets[s] == offsets[s + 1]:
            reasons[s] = 1
        elif not known:
            reasons[s] = 2
        elif not asked_for_fill:
            own = False
            for i in range(sources.shape[1]):
                own = own or (sources[s, i] & ~fill_bit) != 0
            reasons[s] = 0 if own else 3
    return reasons
