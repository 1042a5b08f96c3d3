"""How item2vec may look for items: one search a session, or neighbours of every item found beforehand.

    python benchmarks/ann.py --models DIR --store DIR [--split val_split] [--output FILE]

One search a session, by the mean of its last five vectors: exact, faiss IVF at several ``nprobe``, faiss HNSW, usearch.
Neighbours found beforehand, as nextcart keeps them: several ``nprobe``, lengths, weights. Wants a version with
co-visitation, item2vec and the hybrid that was not trained on the split, best of a million vectors or more.
``docs/decisions/0006`` has the figures.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import faiss
import numpy as np
from mean_query import mean_queries
from pipeline import environment
from usearch.index import Index

from nextcart.evaluation.metrics import find_hits
from nextcart.evaluation.protocols import Task, next_event, sample_sessions
from nextcart.events.store import Store
from nextcart.models.arrays import read_batch
from nextcart.models.hybrid import Hybrid
from nextcart.models.item2vec import Item2vec
from nextcart.models.model import FitOptions, Query
from nextcart.models.neighbour_lists import ranked_by
from nextcart.models.permits import Permits, best_permitted
from nextcart.models.recommender import Recommender
from nextcart.models.shared import Found
from nextcart.repository.repository import Repository
from nextcart.types import Float32s, Int32s, Ranked, Source

TOP, SESSIONS, EVENTS = 20, 20_000, 5
JUDGED, NEAREST = 500, 30
"""Vectors whose true neighbours are looked up, and how many."""
DEFAULT_OUTPUT = Path(__file__).parent / "results" / "ann.json"

Search = Callable[[Float32s, int], tuple[Any, Any]]
"""Scores and rows of the nearest to each query, as faiss gives them."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One way: CPU seconds to build, MB in memory, CPU microseconds a session in a batch, and how it answers."""

    name: str
    build_cpu_s: float
    mb: int
    neighbours_found: float
    session_cpu_us: float
    recall_at_20: float
    hybrid_recall_at_20: float


class ByMean:
    """An item2vec that asks an index with one vector a session."""

    def __init__(self, vectors: Float32s, search: Search) -> None:
        self._vectors, self._search = vectors, search

    def recommend(self, query: Query) -> Ranked:
        """As `Item2vec.recommend`."""

        def find(width: int, _: Permits) -> Found:
            scores, rows = self._search(mean_queries(query.sessions, self._vectors, EVENTS), width)
            return np.asarray(rows).astype(np.int32), np.asarray(scores, np.float32)

        return ranked_by(Source.ITEM2VEC, *best_permitted(query, "mean", find))


def main() -> None:
    """Build, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--split", default="val_split")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    options = parser.parse_args()
    repository = Repository(options.models)
    recommender = Recommender.load(repository.folder(repository.resolve("candidate")))
    sessions = read_batch(Store.open(options.store), options.split, recommender.vocabulary)
    bench = Bench(recommender, next_event(sample_sessions(sessions, SESSIONS), EVENTS))
    found = []
    for measured in (*bench.searches(), *bench.tables()):
        found.append(measured)
        print(measured, flush=True)
    report = {
        "created_at": datetime.now(UTC).isoformat(),
        "environment": environment(),
        "vectors": len(bench.vectors),
        "dim": bench.vectors.shape[1],
        "sessions": SESSIONS,
        "ways": [asdict(each) for each in found],
    }
    options.output.write_text(json.dumps(report, indent=1) + "\n")


class Bench:
    """A version, held-out sessions, and the true neighbours of some vectors."""

    def __init__(self, recommender: Recommender, task: Task) -> None:
        self._models, self._task = recommender.models, task
        self._item2vec = cast(Item2vec, recommender.models["item2vec"])
        self.vectors = np.ascontiguousarray(self._item2vec.vectors)
        self._n_items = len(recommender.vocabulary)
        self._judged = np.linspace(0, len(self.vectors) - 1, JUDGED).astype(np.int64)
        _, self._truth = self._exact()(self.vectors[self._judged], NEAREST)
        self._asked = Query(task.history, TOP)

    def searches(self) -> Iterator[Measured]:
        """One search a session."""
        size = self.vectors.nbytes
        yield self._measure_search("exact", 0.0, size, self._exact())
        index, cpu = _timed(self._ivf)
        for nprobe in (16, 32, 64):
            index.nprobe = nprobe
            yield self._measure_search(
                f"IVF{index.nlist}, nprobe {nprobe}", cpu, size + 8 * len(self.vectors), index.search
            )
        del index
        graph, cpu = _timed(self._hnsw)
        name = "HNSW M16 efC80 efS64"
        yield self._measure_search(name, cpu, faiss.serialize_index(graph).nbytes, graph.search)
        del graph
        other, cpu = _timed(self._usearch)
        yield self._measure_search("usearch M16 efC80 efS64", cpu, other.memory_usage, _usearch_search(other))

    def tables(self) -> Iterator[Measured]:
        """Neighbours of every item, found beforehand."""
        config = self._item2vec.config.model_copy(update={"exact_below": 0})
        for nprobe, top_n in ((16, 40), (64, 40), (32, 30), (32, 100), (32, 40)):
            chosen = config.model_copy(update={"nprobe": nprobe, "top_n": top_n})
            model, cpu = _timed(partial(Item2vec.of_vectors, self.vectors, self._n_items, chosen, FitOptions()))
            yield self._measure_table(f"neighbours {top_n}, nprobe {nprobe}", cpu, model)
        for power, decay in ((1.0, 1.0), (4.0, 0.6), (8.0, 0.6), (16.0, 0.8), (16.0, 1.0)):
            lists = model.neighbours
            weights = lists.weights ** np.float32(power / config.cosine_power)
            asked = config.model_copy(update={"cosine_power": power, "query_decay": decay})
            other = Item2vec(asked, self.vectors, replace(lists, weights=weights))
            yield self._measure_table(f"neighbours {top_n}, power {power}, decay {decay}", cpu, other)

    def _measure_search(self, name: str, cpu: float, size: int, search: Search) -> Measured:
        _, rows = search(self.vectors[self._judged], NEAREST)
        return self._measure(name, cpu, size, np.asarray(rows), ByMean(self.vectors, search))

    def _measure_table(self, name: str, cpu: float, model: Item2vec) -> Measured:
        lists = model.neighbours
        rows = np.full((JUDGED, NEAREST), -1, np.int64)
        for place, row in enumerate(self._judged):
            mine = lists.items[lists.offsets[row] : lists.offsets[row + 1]][:NEAREST]
            rows[place, : len(mine)] = mine
        size = lists.offsets.nbytes + lists.items.nbytes + lists.weights.nbytes
        return self._measure(name, cpu, size, rows, model)

    def _measure(self, name: str, cpu: float, size: int, rows: Any, model: Any) -> Measured:
        model.recommend(Query(self._task.history.slice(0, 100), TOP))
        ranked, asking = _timed(lambda: model.recommend(self._asked))
        hybrid = cast(Hybrid, self._models["hybrid"])
        fused = Hybrid(hybrid.config, self._models["covisitation"], model, self._models["top_sellers"])  # type: ignore[arg-type]
        same = sum(len(np.intersect1d(mine, true)) for mine, true in zip(rows, self._truth, strict=True))
        return Measured(
            name=name,
            build_cpu_s=round(cpu, 1),
            mb=round(size / 1e6),
            neighbours_found=round(same / self._truth.size, 4),
            session_cpu_us=round(asking / len(self._task) * 1e6, 1),
            recall_at_20=self._recall(ranked.items),
            hybrid_recall_at_20=self._recall(fused.recommend(self._asked).items),
        )

    def _recall(self, items: Int32s) -> float:
        return round(float(find_hits(items, self._task.targets).any(axis=1).mean()), 4)

    def _exact(self) -> Search:
        return lambda queries, k: faiss.knn(queries, self.vectors, k, metric=faiss.METRIC_INNER_PRODUCT)

    def _ivf(self) -> Any:
        n, dim = self.vectors.shape
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, round(4 * math.sqrt(n)), faiss.METRIC_INNER_PRODUCT)
        index.own_fields, index.cp.niter, index.cp.spherical, index.cp.max_points_per_centroid = False, 5, True, 64
        index.train(self.vectors)
        index.add(self.vectors)
        return index

    def _hnsw(self) -> Any:
        index = faiss.IndexHNSWFlat(self.vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = 80, 64
        index.add(self.vectors)
        return index

    def _usearch(self) -> Any:
        index = Index(ndim=self.vectors.shape[1], metric="ip", connectivity=16, expansion_add=80, expansion_search=64)
        index.add(np.arange(len(self.vectors)), self.vectors, threads=2)
        return index


def _usearch_search(index: Any) -> Search:
    def search(queries: Float32s, k: int) -> tuple[Any, Any]:
        found = index.search(queries, k, threads=1)
        shape = (len(queries), -1)
        return 1 - np.asarray(found.distances).reshape(shape), np.asarray(found.keys).reshape(shape)

    return search


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and the CPU seconds of all threads."""
    began = time.process_time()
    return work(), time.process_time() - began


if __name__ == "__main__":
    main()
