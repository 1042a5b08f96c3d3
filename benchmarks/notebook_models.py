"""The peer's recommenders, a session at a time over dicts and an HNSW index, and the loop that evaluates them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import faiss
import numpy as np

TYPE_WEIGHTS = (1.0, 3.0, 5.0)
K = 20
CANDIDATES = 2 * K
HISTORY_EVENTS = 5
MODES = ("next", "discover")

History = list[tuple[int, int]]
"""Items and types of a session's events, oldest first."""
Lists = dict[int, list[tuple[int, float]]]
"""Neighbours of an item with their weights, best first."""


def hnsw(vectors: Any) -> Any:
    """An HNSW index by inner product, 32 links a vector and faiss's own defaults otherwise."""
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = 64
    index.add(vectors)
    return index


class Notebook:
    """Five recommenders; each takes a history, a number of items and the items that must not come."""

    def __init__(self, lists: Lists, complements: Lists, vectors: Any, index: Any, popular: list[int]) -> None:
        """Take neighbour lists by item, gensim's vectors with an index over them, and items by falling popularity."""
        self._lists = lists
        self._complements = complements
        self._places = vectors.key_to_index
        self._normed = vectors.get_normed_vectors()
        self._aids = [int(key) for key in vectors.index_to_key]
        self._index = index
        self._popular_aids = popular
        self.models: dict[str, Callable[[History, int, set[int]], list[int]]] = {
            "top_sellers": self._popular,
            "covisitation": self._covisited,
            "bought_together": self._bought_together,
            "item2vec": self._similar,
            "hybrid": self._fused,
        }

    def recommend(self, model: str, history: History, mode: str) -> list[int]:
        """The best K items for a session, filled with popular ones."""
        seen = {aid for aid, _ in history} if mode == "discover" else set()
        ranked = self.models[model](history, K, seen)
        if len(ranked) < K:
            taken = seen.union(ranked)
            ranked += [aid for aid in self._popular_aids[: 2 * K + len(seen)] if aid not in taken][: K - len(ranked)]
        return ranked

    def _popular(self, _: History, n: int, seen: set[int]) -> list[int]:
        if not seen:
            return self._popular_aids[:n]
        return [aid for aid in self._popular_aids[: n + len(seen)] if aid not in seen][:n]

    def _covisited(self, history: History, n: int, seen: set[int]) -> list[int]:
        scores: Counter[int] = Counter()
        factor = 1.0
        for aid, kind in reversed(history[-10:]):
            for other, weight in self._lists.get(aid, ()):
                scores[other] += weight * factor * TYPE_WEIGHTS[kind]
            factor *= 0.9
        return _best(scores, n, seen)

    def _bought_together(self, history: History, n: int, seen: set[int]) -> list[int]:
        basket = {aid for aid, kind in history if kind > 0} or {aid for aid, _ in history[-1:]}
        scores: Counter[int] = Counter()
        for aid in basket:
            for other, weight in self._complements.get(aid, ()):
                scores[other] += weight
        return _best(scores, n, seen | basket)

    def _similar(self, history: History, n: int, seen: set[int]) -> list[int]:
        places = [self._places[key] for aid, _ in history[-5:] if (key := str(aid)) in self._places]
        if not places:
            return []
        query = self._normed[places].mean(axis=0)
        query /= np.linalg.norm(query)
        _, found = self._index.search(query[None], n + len(seen))
        aids = [self._aids[place] for place in found[0] if place >= 0]
        return [aid for aid in aids if aid not in seen][:n] if seen else aids

    def _fused(self, history: History, n: int, seen: set[int]) -> list[int]:
        weights = [0.6, 0.25, 0.15]
        if len(history) <= 2:
            weights = [weights[0] * 0.8, weights[1] * 1.3, weights[2]]
        if history and history[-1][1] > 0:
            weights = [weights[0] * 1.2, weights[1] * 0.9, weights[2]]
        total = sum(weights)
        fused: dict[int, float] = {}
        for weight, retrieve in zip(weights, (self._covisited, self._similar, self._popular), strict=True):
            for rank, aid in enumerate(retrieve(history, CANDIDATES, seen), 1):
                fused[aid] = fused.get(aid, 0.0) + weight / total / math.log2(rank + 1)
        return sorted(fused, key=fused.__getitem__, reverse=True)[:n]


def _best(scores: Counter[int], n: int, seen: Iterable[int]) -> list[int]:
    for aid in seen:
        scores.pop(aid, None)
    return [aid for aid, _ in scores.most_common(n)]


def replay(
    notebook: Notebook, model: str, mode: str, sessions: list[tuple[list[int], list[int]]], catalogue: int
) -> dict[str, float]:
    """Means over sessions of the metrics at K: the last event is the target, the five before it are shown."""
    sums = dict.fromkeys(("recall", "hit_rate", "ndcg", "map", "mrr"), 0.0)
    shown: set[int] = set()
    for aids, types in sessions:
        history = list(zip(aids[:-1], types[:-1], strict=True))[-HISTORY_EVENTS:]
        ranked = notebook.recommend(model, history, mode)
        shown.update(ranked)
        if aids[-1] in ranked:
            rank = ranked.index(aids[-1]) + 1
            sums["recall"] += 1.0
            sums["hit_rate"] += 1.0
            sums["ndcg"] += 1.0 / math.log2(rank + 1)
            sums["map"] += 1.0 / rank
            sums["mrr"] += 1.0 / rank
    return {name: total / len(sessions) for name, total in sums.items()} | {"coverage": len(shown) / catalogue}
