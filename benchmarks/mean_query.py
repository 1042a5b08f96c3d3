"""A session's question as one vector, the mean of those of its last items: how the notebook asks."""

from __future__ import annotations

import faiss
import numpy as np

from nextcart.types import UNKNOWN, Float32s, Int32s, SessionBatch


def mean_queries(sessions: SessionBatch, vectors: Float32s, events: int, decay: float = 1.0) -> Float32s:
    """The normalised mean of the last events' vectors, weighed by ``decay ** i``; zeros where none has one."""
    queries = np.zeros((len(sessions), vectors.shape[1]), np.float32)
    for i in range(events):
        places = sessions.offsets[1:] - 1 - i
        there = np.flatnonzero(places >= sessions.offsets[:-1])
        rows = sessions.items[places[there]]
        known = (rows >= 0) & (rows < len(vectors))
        queries[there[known]] += np.float32(decay**i) * vectors[rows[known]]
    norms = np.linalg.norm(queries, axis=1, keepdims=True)
    asked: Float32s = queries / np.maximum(norms, np.float32(1e-12))
    return asked


def nearest_to_mean(sessions: SessionBatch, vectors: Float32s, events: int, k: int) -> Int32s:
    """The ``k`` vectors nearest to each session's mean, by exact search; `UNKNOWN` where it asks nothing."""
    queries = mean_queries(sessions, vectors, events)
    _, found = faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
    rows: Int32s = found.astype(np.int32)
    rows[~queries.any(axis=1)] = UNKNOWN
    return rows
