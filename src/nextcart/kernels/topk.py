"""Choosing the best: a bounded heap, or a bounded list, whose order is total (higher score, then smaller row)."""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.types import Float32s, Int32s


@njit(cache=True, nogil=True, inline="always")
def worse(score_a: float | np.float32, row_a: int, score_b: float | np.float32, row_b: int) -> bool:
    """Whether a ranks after b."""
    return bool(score_a < score_b or (score_a == score_b and row_a > row_b))


@njit(cache=True, nogil=True, inline="always")
def insert(scores: Float32s, rows: Int32s, size: int, score: float | np.float32, row: int) -> int:
    """Offer one candidate to a list of capacity ``len(scores)``, best first; the new size.

    For some dozen places a heap, whose branches cannot be foreseen, takes three times as long.
    """
    place = size
    if size < len(scores):
        size += 1
    else:
        place -= 1
        if size == 0 or not worse(scores[place], rows[place], score, row):
            return size
    while place > 0 and worse(scores[place - 1], rows[place - 1], score, row):
        scores[place], rows[place] = scores[place - 1], rows[place - 1]
        place -= 1
    scores[place], rows[place] = score, row
    return size


@njit(cache=True, nogil=True)
def push(scores: Float32s, rows: Int32s, size: int, score: float | np.float32, row: int) -> int:
    """Offer one candidate to a heap of capacity ``len(scores)`` whose worst entry is on top; the new size."""
    capacity = len(scores)
    if size < capacity:
        child = size
        while child > 0:
            parent = (child - 1) >> 1
            if not worse(score, row, scores[parent], rows[parent]):
                break
            scores[child], rows[child] = scores[parent], rows[parent]
            child = parent
        scores[child], rows[child] = score, row
        return size + 1
    if capacity > 0 and worse(scores[0], rows[0], score, row):
        _sift_down(scores, rows, capacity, score, row)
    return size


@njit(cache=True, nogil=True)
def _sift_down(scores: Float32s, rows: Int32s, size: int, score: float | np.float32, row: int) -> None:
    """Put (score, row) at the top of a heap of ``size`` entries and let it sink to its place."""
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= size:
            break
        if child + 1 < size and worse(scores[child + 1], rows[child + 1], scores[child], rows[child]):
            child += 1
        if not worse(scores[child], rows[child], score, row):
            break
        scores[parent], rows[parent] = scores[child], rows[child]
        parent = child
    scores[parent], rows[parent] = score, row


@njit(cache=True, nogil=True)
def sort_heap(scores: Float32s, rows: Int32s, size: int) -> None:
    """Turn the heap's first ``size`` entries into a list, best first."""
    for last in range(size - 1, 0, -1):
        score, row = scores[last], rows[last]
        scores[last], rows[last] = scores[0], rows[0]
        _sift_down(scores, rows, last, score, row)


@njit(cache=True, nogil=True)
def order_ties(scores: Float32s, rows: Int32s) -> None:
    """Put equal scores in the order of their rows, in place, in lists (n, k) whose scores never ascend."""
    for s in range(len(rows)):
        for i in range(1, rows.shape[1]):
            row, j = rows[s, i], i
            while j > 0 and scores[s, j - 1] == scores[s, i] and rows[s, j - 1] > row:
                rows[s, j] = rows[s, j - 1]
                j -= 1
            rows[s, j] = row
