"""Ranking metrics of a batch, each a number a session; all sessions count, a miss is a 0.

All take ``hits`` (bool, shape (n_sessions, k): whether the item at each rank is a target) and ``n_targets`` (int64,
shape (n_sessions,), at least 1), and give float64 of shape (n_sessions,). Targets of a session are distinct, and so
are the items of a list. Each hand-computed case in the tests has its sum written out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nextcart.types import Bools, Int32s, Int64s, ItemLists

Floats = NDArray[np.float64]


def find_hits(items: Int32s, targets: ItemLists) -> Bools:
    """Whether each ranked item, shape (n_sessions, k), is among its session's targets; padding never is."""
    hits = np.zeros(items.shape, bool)
    sizes = np.diff(targets.offsets)
    for place in range(int(sizes.max(initial=0))):
        rows = np.flatnonzero(sizes > place)
        target = targets.items[targets.offsets[rows] + place]
        hits[rows] |= (items[rows] == target[:, None]) & (items[rows] >= 0)
    return hits


def recall(hits: Bools, n_targets: Int64s) -> Floats:
    """Targets found over the most that k places could hold, min(k, n_targets), as OTTO's evaluation has it."""
    found: Floats = hits.sum(axis=1) / np.minimum(n_targets, hits.shape[1])
    return found


def hit_rate(hits: Bools, n_targets: Int64s) -> Floats:
    """1 where any target was found."""
    del n_targets
    return np.asarray(hits.any(axis=1), np.float64)


def ndcg(hits: Bools, n_targets: Int64s) -> Floats:
    """Discounted gain, 1 / log2(rank + 1) a hit, over that of the best possible list (Järvelin & Kekäläinen 2002)."""
    gains = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    best = np.cumsum(gains)[np.minimum(n_targets, hits.shape[1]) - 1]
    gain: Floats = (hits @ gains) / best
    return gain


def mean_average_precision(hits: Bools, n_targets: Int64s) -> Floats:
    """Mean of the precision at each hit, over min(k, n_targets)."""
    precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    mean: Floats = (precision * hits).sum(axis=1) / np.minimum(n_targets, hits.shape[1])
    return mean


def reciprocal_rank(hits: Bools, n_targets: Int64s) -> Floats:
    """1 / rank of the first hit."""
    del n_targets
    return np.where(hits.any(axis=1), 1.0 / (hits.argmax(axis=1) + 1), 0.0)


SESSION_METRICS = {
    "recall": recall,
    "hit_rate": hit_rate,
    "ndcg": ndcg,
    "map": mean_average_precision,
    "mrr": reciprocal_rank,
}
"""The metrics by the names under which they are reported."""
