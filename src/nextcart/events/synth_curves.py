"""The published distributions of the OTTO dataset, as curves through their quantiles.

Source: the tables of the dataset's own page (https://github.com/otto-de/recsys-dataset). A quantile past the published
ones is chosen so that the curve has the published mean, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from nextcart.types import Int64s

Floats = NDArray[np.float64]

MIN_EVENTS, MAX_EVENTS = 2, 500
SESSION_EVENTS: Mapping[float, float] = MappingProxyType(
    {0.25: 2.5, 0.5: 6, 0.75: 15, 0.9: 39, 0.95: 68, 0.99: 176, 0.999: 470, 0.9995: 500}
)
"""Share of the sessions -> the events that they have at most; mean 16.8."""
ITEM_EVENTS: Mapping[float, float] = MappingProxyType(
    {
        0.02: 4,
        0.25: 8.5,
        0.5: 19.6,
        0.75: 56,
        0.9: 183,
        0.95: 398,
        0.99: 1678,
        0.999: 9200,
        0.9999: 30_000,
        1 - 2.7e-7: 129_004,
    }
)
"""Share of the items -> the events that they have at most; mean 117. Chance lifts the median to 20."""
HEAD = 0.99
"""Items past this share are the head of the shop; it holds nearly two fifths of all events."""
ITEM_LIMIT, ITEM_LIMIT_OF_MEAN = 0.006, 3
"""No item has more than this share of all events, or this many times the mean item's in a shop of few items: the top
sellers of a small shop would else be hard to beat."""


def session_lengths(n: int, rng: np.random.Generator) -> Int64s:
    """Events of `n` sessions, in random order: int64, shape (n,). The lengths are spread evenly along the curve."""
    lengths = np.rint(_at(_even_shares(n), SESSION_EVENTS))[rng.permutation(n)]
    return np.clip(lengths, MIN_EVENTS, MAX_EVENTS).astype(np.int64)


def item_weights(n: int) -> Floats:
    """Popularity of `n` items, ascending: float64, shape (n,), in events an item at OTTO's density."""
    shares = _even_shares(n)
    weights = _at(shares, ITEM_EVENTS)
    limit = max(ITEM_LIMIT * float(weights.sum()), ITEM_LIMIT_OF_MEAN * float(weights.mean()))
    first = int(np.searchsorted(shares, HEAD))
    weights[first:] = _flattened(weights[first:], ITEM_EVENTS[HEAD], limit)
    return np.minimum(weights, limit)


def _flattened(head: Floats, base: float, limit: float) -> Floats:
    """The head with the excess over `limit` moved to its other items, on a curve that still starts at `base`."""
    low, high = 1.0, 4.0
    for _ in range(30):
        power = (low + high) / 2
        flat = np.minimum(base * (head / base) ** power, limit)
        low, high = (power, high) if flat.sum() < head.sum() else (low, power)
    return np.minimum(base * (head / base) ** low, limit)


def _even_shares(n: int) -> Floats:
    return (np.arange(n) + 0.5) / n


def _at(shares: Floats, quantiles: Mapping[float, float]) -> Floats:
    """The curve at `shares`: between two quantiles its logarithm is linear in the log-odds of the share."""
    known = np.array(list(quantiles))
    values = np.log(list(quantiles.values()))
    return np.exp(np.interp(np.log(shares / (1 - shares)), np.log(known / (1 - known)), values))
