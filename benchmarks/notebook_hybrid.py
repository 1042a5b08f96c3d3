"""The peer's hybrid: rank fusion a session at a time, and the loop that evaluates it."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import faiss
import numpy as np

TYPE_WEIGHTS = (1.0, 3.0, 5.0)
K = 20
CANDIDATES = 2 * K
HISTORY_EVENTS = 5


def hnsw(vectors: Any) -> Any:
    """An HNSW index by inner product, 32 links a vector and faiss's own defaults otherwise."""
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = 64
    index.add(vectors)
    return index


class NotebookHybrid:
    """Rank fusion of three lists, a session at a time, over dicts and an HNSW index."""

    def __init__(self, lists: dict[int, list[tuple[int, float]]], vectors: Any, index: Any, popular: list[int]) -> None:
        """Take neighbour lists by item, gensim's vectors with an index over them, and items by falling popularity."""
        self._lists = lists
        self._places = vectors.key_to_index
        self._normed = vectors.get_normed_vectors()
        self._aids = [int(key) for key in vectors.index_to_key]
        self._index = index
        self._popular = popular[:CANDIDATES]

    def recommend(self, history: list[tuple[int, int]]) -> list[int]:
        """The best K items for a session of (item, type), oldest first."""
        weights = [0.6, 0.25, 0.15]
        if len(history) <= 2:
            weights = [weights[0] * 0.8, weights[1] * 1.3, weights[2]]
        if history and history[-1][1] > 0:
            weights = [weights[0] * 1.2, weights[1] * 0.9, weights[2]]
        total = sum(weights)
        fused: dict[int, float] = {}
        candidates = (self._covisited(history), self._similar(history), self._popular)
        for weight, ranked in zip(weights, candidates, strict=True):
            for rank, aid in enumerate(ranked, 1):
                fused[aid] = fused.get(aid, 0.0) + weight / total / math.log2(rank + 1)
        return sorted(fused, key=fused.__getitem__, reverse=True)[:K]

    def _covisited(self, history: list[tuple[int, int]]) -> list[int]:
        scores: Counter[int] = Counter()
        factor = 1.0
        for aid, kind in reversed(history[-10:]):
            for other, weight in self._lists.get(aid, ()):
                scores[other] += weight * factor * TYPE_WEIGHTS[kind]
            factor *= 0.9
        return [aid for aid, _ in scores.most_common(CANDIDATES)]

    def _similar(self, history: list[tuple[int, int]]) -> list[int]:
        places = [self._places[key] for aid, _ in history[-5:] if (key := str(aid)) in self._places]
        if not places:
            return []
        query = self._normed[places].mean(axis=0)
        query /= np.linalg.norm(query)
        _, found = self._index.search(query[None], CANDIDATES)
        return [self._aids[place] for place in found[0] if place >= 0]


def replay(hybrid: NotebookHybrid, sessions: list[tuple[list[int], list[int]]], catalogue: int) -> dict[str, float]:
    """Means over sessions of the metrics at K: the last event is the target, the five before it are shown."""
    sums = dict.fromkeys(("recall", "hit_rate", "ndcg", "map", "mrr"), 0.0)
    shown: set[int] = set()
    for aids, types in sessions:
        history = list(zip(aids[:-1], types[:-1], strict=True))[-HISTORY_EVENTS:]
        ranked = hybrid.recommend(history)
        shown.update(ranked)
        if aids[-1] in ranked:
            rank = ranked.index(aids[-1]) + 1
            sums["recall"] += 1.0
            sums["hit_rate"] += 1.0
            sums["ndcg"] += 1.0 / math.log2(rank + 1)
            sums["map"] += 1.0 / rank
            sums["mrr"] += 1.0 / rank
    return {name: total / len(sessions) for name, total in sums.items()} | {"coverage": len(shown) / catalogue}
