"""Nearest-neighbour indexes over the vectors of a published version: build, recall, latency, memory, and what it costs.

    python benchmarks/ann.py --models DIR --store DIR [--split val_split] [--output FILE]

Compares nextcart's inverted file at several ``nprobe``, faiss HNSW, usearch, and a table of neighbours made beforehand.
Wants a version with item2vec that was not trained on the split, best of a million vectors or more.
``docs/decisions/0006`` has the figures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numba import njit
from pipeline import environment
from usearch.index import Index

from nextcart.evaluation.protocols import next_event, sample_sessions
from nextcart.events.store import Store
from nextcart.kernels.scoring import mean_vectors
from nextcart.models.ann import VectorIndex
from nextcart.models.arrays import read_batch
from nextcart.models.item2vec import Item2vec
from nextcart.models.vocabulary import Vocabulary
from nextcart.repository.repository import Repository
from nextcart.types import Float32s, Int32s

NEAREST, TOP, SESSIONS, TIMED = 50, 20, 5_000, 500
TABLE_WIDTH = 50
DEFAULT_OUTPUT = Path(__file__).parent / "results" / "ann.json"

Search = Callable[[Float32s, int], Int32s]
Made = tuple[str, int, Search]
"""An index by its name, its bytes in memory, and how it is asked."""


@dataclass(frozen=True, slots=True)
class Found:
    """One index: CPU seconds and wall seconds to build, MB it adds, and how it answers."""

    name: str
    build_cpu_s: float
    build_wall_s: float
    mb: float
    recall_at_50: float
    median_us: float
    p99_us: float
    recommendations_recall_at_20: float


def main() -> None:
    """Build, ask and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--split", default="val_split")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    options = parser.parse_args()
    repository = Repository(options.models)
    folder = repository.folder(repository.resolve("candidate"))
    model, vocabulary = Item2vec.load(folder / "item2vec"), Vocabulary.load(folder / "vocabulary")
    held_out = sample_sessions(read_batch(Store.open(options.store), options.split, vocabulary), SESSIONS)
    task = next_event(held_out, model.config.query_events)
    vectors = np.ascontiguousarray(model.index.vectors)
    queries = mean_vectors(task.history.offsets, task.history.items, model.index.vectors, model.config.query_events)
    asked = np.flatnonzero(queries.any(axis=1))
    bench = Bench(vectors, queries[asked], task.history, asked, task.targets.items, len(task))
    found = []
    for make in (
        bench.exact,
        *(bench.ivf(nprobe) for nprobe in (8, 16, 32, 64)),
        bench.hnsw,
        bench.usearch,
        bench.table,
    ):
        found.append(bench.measure(make))
        print(found[-1], flush=True)
    report = {
        "created_at": datetime.now(UTC).isoformat(),
        "environment": environment(),
        "vectors": len(vectors),
        "dim": vectors.shape[1],
        "sessions": len(task),
        "indexes": [asdict(each) for each in found],
    }
    options.output.write_text(json.dumps(report, indent=1) + "\n")


class Bench:
    """The vectors, the queries of held-out sessions, and what each should find."""

    def __init__(
        self, vectors: Float32s, queries: Float32s, history: Any, asked: Any, targets: Int32s, sessions: int
    ) -> None:
        self.vectors, self.queries = vectors, queries
        self.history, self.asked, self.targets, self.sessions = history, asked, targets, sessions
        self.truth: Int32s | None = None

    def measure(self, make: Callable[[], Made]) -> Found:
        """Build an index and ask it every query."""
        cpu, wall = time.process_time(), time.perf_counter()
        name, size, search = make()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        rows = search(self.queries, NEAREST)
        if self.truth is None:
            self.truth = rows
        same = [len(np.intersect1d(a, b)) for a, b in zip(rows[:, :NEAREST], self.truth[:, :NEAREST], strict=True)]
        hits = (rows[:, :TOP] == self.targets[self.asked][:, None]).any(axis=1).sum()
        median, p99 = self._latency(search)
        return Found(
            name=name,
            build_cpu_s=round(cpu, 1),
            build_wall_s=round(wall, 1),
            mb=round(size / 1e6),
            recall_at_50=round(sum(same) / len(same) / NEAREST, 4),
            median_us=median,
            p99_us=p99,
            recommendations_recall_at_20=round(float(hits) / self.sessions, 4),
        )

    def _latency(self, search: Search) -> tuple[float, float]:
        faiss.omp_set_num_threads(1)
        taken = []
        for i in range(TIMED):
            one = self.queries[i % len(self.queries)][None]
            began = time.perf_counter()
            search(one, NEAREST)
            taken.append((time.perf_counter() - began) * 1e6)
        faiss.omp_set_num_threads(2)
        median, p99 = np.percentile(taken, [50, 99])
        return round(float(median), 1), round(float(p99), 1)

    def exact(self) -> Made:
        """Every vector."""
        index = faiss.IndexFlatIP(self.vectors.shape[1])
        index.add(self.vectors)
        return "exact", self.vectors.nbytes, lambda queries, k: index.search(queries, k)[1].astype(np.int32)

    def ivf(self, nprobe: int) -> Callable[[], Made]:
        """The inverted file that nextcart uses."""

        def make() -> Made:
            index = VectorIndex.build(self.vectors, exact_below=0, nprobe=nprobe, seed=42, threads=2)
            name = f"faiss IVF{len(index.centroids)}, nprobe {nprobe}"
            size = self.vectors.nbytes + 8 * len(self.vectors) + index.centroids.nbytes
            return name, size, lambda queries, k: index.search(queries, k)[0][:, :k]

        return make

    def hnsw(self) -> Made:
        """A graph of 16 links."""
        index = faiss.IndexHNSWFlat(self.vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = 80, 64
        index.add(self.vectors)
        size = faiss.serialize_index(index).nbytes
        return "faiss HNSW M16 efC80 efS64", size, lambda queries, k: index.search(queries, k)[1].astype(np.int32)

    def usearch(self) -> Made:
        """The same in usearch."""
        index = Index(ndim=self.vectors.shape[1], metric="ip", connectivity=16, expansion_add=80, expansion_search=64)
        index.add(np.arange(len(self.vectors)), self.vectors, threads=2)

        def search(queries: Float32s, k: int) -> Int32s:
            keys = np.asarray(index.search(queries, k, threads=1).keys)
            return keys.reshape(len(queries), -1).astype(np.int32)

        return "usearch M16 efC80 efS64", int(index.memory_usage), search

    def table(self) -> Made:
        """Each item's neighbours by the inverted file, beforehand; a session adds up those of its last items.

        It is asked by sessions, not by vectors, so it takes the queries in the order of the sessions.
        """
        index = VectorIndex.build(self.vectors, exact_below=0, nprobe=16, seed=42, threads=2)
        rows = np.empty((len(self.vectors), TABLE_WIDTH), np.int32)
        scores = np.empty((len(self.vectors), TABLE_WIDTH), np.float32)
        for start in range(0, len(self.vectors), 16_384):
            block = slice(start, start + 16_384)
            found, its = index.search(self.vectors[block], TABLE_WIDTH)
            rows[block], scores[block] = found[:, :TABLE_WIDTH], its[:, :TABLE_WIDTH]
        place = {self.queries[i].tobytes(): i for i in range(len(self.queries))}
        offsets, items = self.history.offsets, self.history.items

        def search(queries: Float32s, k: int) -> Int32s:
            out = np.full((len(queries), k), -1, np.int32)
            for i, query in enumerate(queries):
                session = self.asked[place[query.tobytes()]]
                last = items[offsets[session] : offsets[session + 1]]
                _add_up(last[(last >= 0) & (last < len(rows))][-5:], rows, scores, out[i])
            return out

        return f"table of {TABLE_WIDTH} neighbours", rows.nbytes + scores.nbytes, search


@njit(cache=False)
def _add_up(items: Int32s, rows: Int32s, scores: Float32s, out: Int32s) -> None:
    found = np.unique(rows[items].copy().ravel())
    total = np.zeros(len(found), np.float32)
    for item in items:
        for j in range(rows.shape[1]):
            total[np.searchsorted(found, rows[item, j])] += scores[item, j]
    order = np.argsort(-total)
    size = min(len(out), len(order))
    out[:size] = found[order[:size]]


if __name__ == "__main__":
    main()
