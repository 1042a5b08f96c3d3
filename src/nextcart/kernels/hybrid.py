"""The hybrid's answer in one call: its members' candidates, their weights and the fusion of their ranks."""

from __future__ import annotations

from numba import njit

from nextcart.kernels.fusion import fuse_ranks, hybrid_weights
from nextcart.kernels.scoring import score_allowed, score_neighbours, take_top
from nextcart.types import Float32s, Int32s, Int64s, UInt8s

Lists = tuple[Int64s, Int32s, Float32s]
"""Neighbours of each item: offsets, items, weights."""

Factors = tuple[float, float, float]


@njit(cache=True, nogil=True)
def rank_hybrid(
    sessions: tuple[Int64s, Int32s, UInt8s],
    k: int,
    width: int,
    covisitation: tuple[Lists, int, float, Factors],
    item2vec: tuple[Lists, Float32s, int, float, float],
    top_sellers: tuple[Int32s, Float32s],
    weighing: tuple[Factors, int, Factors, Factors],
    bits: tuple[int, int, int],
    permits: tuple[Int64s, Int32s, Int64s, Int32s],
    blocked: UInt8s,
) -> tuple[Int32s, Float32s, UInt8s]:
    """The best ``k`` of the fused ranks of the members' ``width`` candidates each, and who brought them.

    Args:
        sessions: their offsets, items and types.
        k: length of each list.
        width: candidates of each member.
        covisitation: its lists, the events to ask with, their decay, and the weights of their types.
        item2vec: its lists, its vectors, which stand in for them where there are allowed items, the events to ask
            with, their decay, and the power of a cosine.
        top_sellers: items and scores, best first.
        weighing: what `hybrid_weights` takes.
        bits: the members' source bits.
        permits: ban offsets, banned rows, allow offsets, allowed rows; empty offsets for no list at all.
        blocked: 1 for each row that must not come in any list; empty where there are none, or there are allowed rows.
    """
    offsets, items, types = sessions
    (starts, neighbours, weights), events, decay, type_weights = covisitation
    follow, _ = score_neighbours(
        offsets, items, types, starts, neighbours, weights, events, decay, type_weights, width, *permits, blocked
    )
    (starts, neighbours, weights), vectors, events, decay, power = item2vec
    if len(permits[2]) == 0:
        alike = (1.0, 1.0, 1.0)
        near, _ = score_neighbours(
            offsets, items, types, starts, neighbours, weights, events, decay, alike, width, *permits, blocked
        )
    else:
        near, _ = score_allowed(offsets, items, vectors, events, decay, power, width, *permits)
    popular, popularity = top_sellers
    top, _ = take_top(len(offsets) - 1, width, popular, popularity, *permits, blocked)
    return fuse_ranks((follow, near, top), hybrid_weights(offsets, types, *weighing), bits, k)
