"""Skip-gram with negative sampling (Mikolov et al. 2013, "Distributed Representations of Words and Phrases").

One thread trains: the same seed gives the same bytes each time (docs/decisions/0005 has why not two).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.types import Float32s, Int32s, Int64s

MAX_EXPONENT = 8.0
STEPS_PER_UNIT = 64
SIGMOID = (
    1.0 / (1.0 + np.exp(-np.arange(-MAX_EXPONENT + 0.5 / STEPS_PER_UNIT, MAX_EXPONENT, 1.0 / STEPS_PER_UNIT)))
).astype(np.float32)
"""1 / (1 + exp(-x)) from -8 to 8: a look-up costs a sixth less of the whole training than the exponential."""

SHARED_DRAWS = 2
"""Draws of negatives that all pairs of an event share, as a multiple of those that one pair would have.

A draw is a cache miss in a large catalogue: shared ones halve the time of a training (docs/decisions/0005).
"""
FLOATS_PER_LINE = 16
"""float32 in a cache line of 64 bytes."""


@njit(cache=True, nogil=True, inline="always")
def next_random(state: np.uint64) -> np.uint64:
    """One step of xorshift64 (Marsaglia 2003); the state is never 0."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    state ^= state << np.uint64(17)
    return state


@njit(cache=True, nogil=True)
def alias_table(weights: Float32s) -> tuple[Float32s, Int32s]:
    """Walker's alias method: draw i uniformly, keep it with probability keep[i], else take other[i]."""
    n = len(weights)
    scaled = weights.astype(np.float64) * (n / weights.astype(np.float64).sum())
    keep = np.ones(n, np.float32)
    other = np.arange(n).astype(np.int32)
    small = np.empty(n, np.int32)
    large = np.empty(n, np.int32)
    n_small = n_large = 0
    for i in range(n):
        if scaled[i] < 1.0:
            small[n_small] = i
            n_small += 1
        else:
            large[n_large] = i
            n_large += 1
    while n_small > 0 and n_large > 0:
        n_small -= 1
        low, high = small[n_small], large[n_large - 1]
        keep[low] = scaled[low]
        other[low] = high
        scaled[high] -= 1.0 - scaled[low]
        if scaled[high] < 1.0:
            n_large -= 1
            small[n_small] = high
            n_small += 1
    return keep, other


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _step(centre: Float32s, context: Float32s, gradient: Float32s, label: float, rate: float | np.float32) -> None:
    """Move ``context`` towards ``centre``, or by label 0 away; the like step of ``centre`` is added to ``gradient``."""
    dot = np.float32(0.0)
    for d in range(len(centre)):
        dot += centre[d] * context[d]
    if dot >= MAX_EXPONENT:
        probability = np.float32(1.0)
    elif dot < -MAX_EXPONENT:
        probability = np.float32(0.0)
    else:
        # The mask keeps the NaN of a run that diverges from reading past the table.
        probability = SIGMOID[np.int64((dot + MAX_EXPONENT) * STEPS_PER_UNIT) & (len(SIGMOID) - 1)]
    step = np.float32(rate) * (np.float32(label) - probability)
    for d in range(len(centre)):
        gradient[d] += step * context[d]
        context[d] += step * centre[d]


@njit(cache=True, nogil=True, inline="always")
def draw(draws: Int32s, keep: Float32s, other: Int32s, state: np.uint64) -> np.uint64:
    """Fill ``draws`` from an alias table; the random state that follows."""
    n = np.uint64(len(keep))
    for i in range(len(draws)):
        state = next_random(state)
        row = np.int64(((state >> np.uint64(33)) * n) >> np.uint64(31))
        if np.float32(state & np.uint64(0xFFFFFF)) * np.float32(1.0 / 16777216.0) >= keep[row]:
            row = np.int64(other[row])
        draws[i] = row
    return state


@njit(cache=True, nogil=True, inline="always")
def _fetched(contexts: Float32s, rows: Int32s) -> np.float32:
    """Read a number of each cache line of some rows, so that memory brings them while other work goes on."""
    total = np.float32(0.0)
    for row in rows:
        for d in range(0, contexts.shape[1], FLOATS_PER_LINE):
            total += contexts[row, d]
    return total


@njit(cache=True, nogil=True, fastmath=True)
def train_sessions(
    first: int,
    stop: int,
    offsets: Int64s,
    items: Int32s,
    vectors: Float32s,
    contexts: Float32s,
    keep: Float32s,
    other: Int32s,
    window: int,
    negative: int,
    rate_start: float,
    rate_stop: float,
    seed: int,
) -> np.float32:
    """Train on sessions ``first`` to ``stop`` once, in place; the learning rate falls linearly between the two given.

    Items at or past ``len(vectors)`` are too rare and are passed over, so that their neighbours become adjacent.
    The pairs of one event share `SHARED_DRAWS` times ``negative`` draws, weighed as ``negative`` draws a pair would be
    (shared negatives are from Ji et al. 2016, "Parallelizing Word2Vec in Shared and Distributed Memory").

    Returns:
        A number without meaning: what is read ahead has to be used.
    """
    n_vectors, dim = vectors.shape
    longest = 0
    for s in range(first, stop):
        longest = max(longest, offsets[s + 1] - offsets[s])
    sentence = np.empty(longest, np.int32)
    draws = np.empty((longest, SHARED_DRAWS * negative), np.int32)
    gradient = np.empty(dim, np.float32)
    fetched = np.float32(0.0)
    state = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    for _ in range(4):
        state = next_random(state)
    span = max(1, offsets[stop] - offsets[first])
    for s in range(first, stop):
        rate = np.float32(rate_start + (rate_stop - rate_start) * (offsets[s] - offsets[first]) / span)
        length = 0
        for e in range(offsets[s], offsets[s + 1]):
            if items[e] < n_vectors:
                sentence[length] = items[e]
                state = draw(draws[length], keep, other, state)
                length += 1
        for i in range(length):
            if i + 1 < length:
                fetched += _fetched(contexts, draws[i + 1])
            centre = vectors[sentence[i]]
            low, high = max(0, i - window), min(length, i + window + 1)
            gradient[:] = 0.0
            pairs = 0
            for j in range(low, high):
                if sentence[j] != sentence[i]:
                    _step(centre, contexts[sentence[j]], gradient, 1.0, rate)
                    pairs += 1
            if pairs == 0:
                continue
            for target in draws[i]:
                wanted = False
                for j in range(low, high):
                    wanted = wanted or sentence[j] == target
                if not wanted:
                    _step(centre, contexts[target], gradient, 0.0, rate * pairs / SHARED_DRAWS)
            for d in range(dim):
                centre[d] += gradient[d]
    return fetched
