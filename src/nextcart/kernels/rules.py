"""A shop's rules on ranked lists: blocked items drop out, boosted ones change places, pinned ones have theirs.

Lists are (n, m) arrays of items, scores and source bits, best first and ``EMPTY`` past the end.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.kernels.scoring import EMPTY, holds, span
from nextcart.types import Float32s, Float64s, Int32s, Int64s, UInt8s


@njit(cache=True, nogil=True)
def drop_blocked(
    items: Int32s, scores: Float32s, sources: UInt8s, blocked: UInt8s, k: int
) -> tuple[Int32s, Float32s, UInt8s, bool]:
    """The first ``k`` items of each list that ``blocked`` (n_items,) does not hold a 1 for.

    Returns:
        Lists (n, k), and whether one of them is short while the list that it comes from was full: more may follow.
    """
    n, width = items.shape
    out_items = np.full((n, k), EMPTY, np.int32)
    out_scores = np.zeros((n, k), np.float32)
    out_sources = np.zeros((n, k), np.uint8)
    short = False
    for s in range(n):
        size = 0
        for j in range(width):
            row = items[s, j]
            if size == k or row < 0:
                break
            if blocked[row] == 0:
                out_items[s, size], out_scores[s, size], out_sources[s, size] = row, scores[s, j], sources[s, j]
                size += 1
        short = short or (size < k and width > 0 and items[s, width - 1] >= 0)
    return out_items, out_scores, out_sources, short


@njit(cache=True, nogil=True)
def boost(items: Int32s, sources: UInt8s, width: int, rows: Int32s, factors: Float64s) -> None:
    """Order the first ``width`` places of each list by place / factor, ties as they were, in place; scores stay.

    ``rows`` ascend, ``factors`` are theirs; all other items have factor 1.
    """
    for s in range(len(items)):
        size = 0
        moves = False
        keys = np.empty(min(width, items.shape[1]), np.float64)
        while size < len(keys) and items[s, size] >= 0:
            at = np.searchsorted(rows, items[s, size])
            keys[size] = size + 1.0
            if at < len(rows) and rows[at] == items[s, size]:
                keys[size] /= factors[at]
                moves = True
            size += 1
        if moves:
            order = np.argsort(keys[:size], kind="mergesort")
            items[s, :size] = items[s, :size][order]
            sources[s, :size] = sources[s, :size][order]


@njit(cache=True, nogil=True)
def may_stand(
    n: int, pins: Int32s, ban_offsets: Int64s, banned: Int32s, allow_offsets: Int64s, allowed: Int32s
) -> UInt8s:
    """Which pins each session's lists let come, (n, n_pins); the last four arguments are those of every kernel."""
    stand = np.ones((n, len(pins)), np.uint8)
    for s in range(n):
        start, stop = span(ban_offsets, s)
        for p in range(len(pins)):
            for b in range(start, stop):
                if banned[b] == pins[p]:
                    stand[s, p] = 0
            if len(allow_offsets) > 0 and not holds(allowed, allow_offsets[s], allow_offsets[s + 1], pins[p]):
                stand[s, p] = 0
    return stand


@njit(cache=True, nogil=True)
def take_out(items: Int32s, scores: Float32s, sources: UInt8s, pins: Int32s, stand: UInt8s) -> None:
    """Take the pins that stand out of the lists, in place."""
    n, width = items.shape
    for s in range(n):
        size = 0
        for j in range(width):
            row, score, source, out = items[s, j], scores[s, j], sources[s, j], False
            for p in range(len(pins)):
                out = out or (pins[p] == row and stand[s, p] == 1)
            if not out:
                items[s, size], scores[s, size], sources[s, size] = row, score, source
                size += 1
        for j in range(size, width):
            items[s, j], scores[s, j], sources[s, j] = EMPTY, 0.0, 0


@njit(cache=True, nogil=True)
def insert_pins(
    items: Int32s,
    scores: Float32s,
    sources: UInt8s,
    pins: Int32s,
    positions: Int32s,
    stand: UInt8s,
    pin_bit: int,
    k: int,
) -> tuple[Int32s, Float32s, UInt8s]:
    """Lists (n, k) in which the pins that stand have their positions (from 1, ascending) and the others follow.

    A pin has ``pin_bit`` as its source, and scores as the item that it pushes down, hence scores never rise. Where the
    list is too short to reach its position it comes at the end, and scores as the last item.
    """
    n, width = items.shape
    out_items = np.full((n, k), EMPTY, np.int32)
    out_scores = np.zeros((n, k), np.float32)
    out_sources = np.zeros((n, k), np.uint8)
    for s in range(n):
        p, j = 0, 0
        score = np.float32(0.0)
        for place in range(k):
            while p < len(pins) and not stand[s, p]:
                p += 1
            ended = j == width or items[s, j] < 0
            if not ended:
                score = scores[s, j]
            if p < len(pins) and (positions[p] == place + 1 or ended):
                out_items[s, place], out_sources[s, place] = pins[p], pin_bit
                p += 1
            elif not ended:
                out_items[s, place], out_sources[s, place] = items[s, j], sources[s, j]
                j += 1
            else:
                break
            out_scores[s, place] = score
    return out_items, out_scores, out_sources
