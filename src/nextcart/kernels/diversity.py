"""Variety: no more than so many items of one neighbourhood in a list."""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.kernels.scoring import EMPTY, new_table, slot_of
from nextcart.types import Float32s, Int32s, Int64s, UInt8s


@njit(cache=True, nogil=True)
def thin_out(
    items: Int32s,
    scores: Float32s,
    sources: UInt8s,
    k: int,
    most: int,
    neighbour_offsets: Int64s,
    neighbour_items: Int32s,
) -> tuple[Int32s, Float32s, UInt8s]:
    """The first ``k`` items of each list (n, m), at most ``most`` of a neighbourhood; those past that are left out.

    Neighbourhoods are by greedy leaders, best first: an item belongs to the first leader before it whose neighbours
    hold it, else it leads a neighbourhood of its own.
    """
    n, width = items.shape
    out_items = np.full((n, k), EMPTY, np.int32)
    out_scores = np.zeros((n, k), np.float32)
    out_sources = np.zeros((n, k), np.uint8)
    longest = 1
    for s in range(n):
        for j in range(width):
            if items[s, j] >= 0:
                longest = max(longest, 1 + neighbour_offsets[items[s, j] + 1] - neighbour_offsets[items[s, j]])
    for s in range(n):
        # Leaders are always kept, so there are no more than k of them; whoever claims an item first leads it.
        table = new_table(min(k, width) * longest)
        leader = np.empty(len(table), np.int32)
        members = np.zeros(k, np.int32)
        n_leaders, size = 0, 0
        for j in range(width):
            row = items[s, j]
            if size == k or row < 0:
                break
            slot = slot_of(table, row)
            if table[slot] == EMPTY:
                table[slot], leader[slot] = row, n_leaders
                for i in range(neighbour_offsets[row], neighbour_offsets[row + 1]):
                    near = slot_of(table, neighbour_items[i])
                    if table[near] == EMPTY:
                        table[near], leader[near] = neighbour_items[i], n_leaders
                n_leaders += 1
            if members[leader[slot]] < most:
                members[leader[slot]] += 1
                out_items[s, size], out_scores[s, size], out_sources[s, size] = row, scores[s, j], sources[s, j]
                size += 1
    return out_items, out_scores, out_sources
