"""Intervals by resampling sessions, whose questions are not independent of each other.

A session counts in each resample as often as a Poisson draw of mean 1 says, which for many sessions is the ordinary
bootstrap (Chamandy et al., "Estimating uncertainty for massive data streams", 2012) and needs no second pass. The draw
depends on the seed and the session's place alone. So the same sessions get the same draws for every model and every
version, and the difference of two figures, resample by resample, is a paired bootstrap.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from nextcart.types import Float32s

Floats = NDArray[np.float64]
Interval = tuple[float, float]

LEVEL = (2.5, 97.5)
MIN_SESSIONS_TO_JUDGE = 100
"""Of fewer sessions nothing is called better: a single hit would move a recall by more than one point, and resamples of
so few do not hold what others might have shown."""
PER_COUNTER = 16
"""16-bit draws that Philox makes of one value of its counter."""


def session_weights(first: int, stop: int, rounds: int, seed: int) -> Float32s:
    """How often sessions ``first`` to ``stop`` count in each resample; shape (stop - first, rounds)."""
    counters = -(-rounds // PER_COUNTER)
    stream = np.random.Philox(key=seed).advance(first * counters)
    raw = stream.random_raw((stop - first) * counters * PER_COUNTER // 4)
    weights = _poisson_of_draw().take(raw.view(np.uint16)).reshape(stop - first, counters * PER_COUNTER)
    return weights[:, :rounds]


def resampled(values: Floats, weights: Float32s) -> Floats:
    """Sums over sessions as they are, then in each resample.

    Args:
        values: shape (n_sessions, n_columns).
        weights: of `session_weights`, shape (n_sessions, rounds).

    Returns:
        Shape (1 + rounds, n_columns).
    """
    sums = np.empty((1 + weights.shape[1], values.shape[1]))
    values.sum(axis=0, out=sums[0])
    sums[1:] = weights.T @ values.astype(np.float32)
    return sums


def ratio(num: Floats, den: Floats) -> Floats:
    """Num / den, NaN where there is nothing to divide by."""
    found: Floats = np.divide(num, den, out=np.full(num.shape, np.nan), where=den > 0)
    return found


def estimate(values: Floats) -> float | None:
    """The figure itself of values whose first is it; None where it is NaN."""
    return None if math.isnan(values[0]) else round(float(values[0]), 6)


def interval(values: Floats) -> Interval | None:
    """The middle 95 % of the values past the first; None where there are none."""
    drawn = values[1:][~np.isnan(values[1:])]
    if math.isnan(values[0]) or not len(drawn):
        return None
    low, high = np.percentile(drawn, LEVEL)
    return round(float(low), 6), round(float(high), 6)


@cache
def _poisson_of_draw() -> Float32s:
    """The Poisson quantile of each 16-bit draw."""
    below = np.cumsum([math.exp(-1) / math.factorial(count) for count in range(12)])
    return np.searchsorted(below, (np.arange(2**16) + 0.5) / 2**16).astype(np.float32)
