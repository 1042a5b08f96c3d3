"""Item2vec: vectors of items that stand near one another in sessions (Barkan & Koenigstein 2016)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nextcart.config import Item2vecConfig
from nextcart.errors import ArtifactCorrupt, RunFailed
from nextcart.kernels.hybrid import Lists
from nextcart.kernels.scoring import score_allowed
from nextcart.kernels.skipgram import alias_table, train_sessions
from nextcart.models.ann import nearest_of_all
from nextcart.models.model import FitOptions, Query, TrainingArrays, frozen, load_model, save_model
from nextcart.models.neighbour_lists import NeighbourLists, ranked_by
from nextcart.models.parallel import balanced_blocks, run_blocks
from nextcart.models.permits import Permits, best_permitted, permits
from nextcart.models.shared import Found
from nextcart.types import Float32s, Ranked, Source

FINAL_RATE_SHARE = 0.001
BLOCKS_PER_EPOCH = 16


class Item2vec:
    """Normalised vectors of the items with at least ``min_count`` events, and each one's nearest.

    Rows fall with the event count, so the items that have a vector are the first rows.

    Attributes:
        config: as given to `fit`.
        vectors: float32, shape (n_vectors, dim).
        neighbours: of all items, by cosine ** cosine_power, the item itself among them; none where that is 0.
    """

    name: ClassVar[str] = "item2vec"
    source: ClassVar[Source] = Source.ITEM2VEC

    def __init__(self, config: Item2vecConfig, vectors: Float32s, neighbours: NeighbourLists) -> None:
        self.config = config
        self.vectors = vectors
        self.neighbours = neighbours

    @classmethod
    def fit(cls, arrays: TrainingArrays, config: Item2vecConfig, options: FitOptions) -> Item2vec:
        """Train by skip-gram with negative sampling, one learning-rate schedule over all epochs.

        Raises:
            RunFailed: the learning rate is so high that the vectors left all bounds.
        """
        vectors = _train(arrays, config, options)
        if not np.isfinite(vectors).all():
            raise RunFailed(
                f"item2vec: training diverged; lower models.item2vec.learning_rate (it is {config.learning_rate})"
            )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return cls.of_vectors(frozen(vectors / np.maximum(norms, np.float32(1e-12))), arrays.n_items, config, options)

    @classmethod
    def of_vectors(cls, vectors: Float32s, n_items: int, config: Item2vecConfig, options: FitOptions) -> Item2vec:
        """The model of normalised vectors of the first of ``n_items`` items."""
        items, cosines = nearest_of_all(
            vectors, config.top_n, exact_below=config.exact_below, nprobe=config.nprobe, options=options
        )
        np.maximum(cosines, 0, out=cosines)
        weights = np.power(cosines, np.float32(config.cosine_power), out=cosines)
        sizes = np.count_nonzero(weights, axis=1).astype(np.int32)
        return cls(config, vectors, NeighbourLists.from_padded(items, weights, sizes, n_items))

    def recommend(self, query: Query) -> Ranked:
        """Sum the neighbours of the session's last events: cosine ** cosine_power * query_decay ** i.

        Allowed items are held against the vectors themselves: the kept neighbours seldom reach into a shelf.
        """
        sessions, config = query.sessions, self.config

        def find(width: int, permitted: Permits) -> Found:
            if query.allowed is None:
                return self.neighbours.best(
                    sessions, width, permitted, events=config.query_events, decay=config.query_decay
                )
            return score_allowed(
                sessions.offsets,
                sessions.items,
                self.vectors,
                config.query_events,
                config.query_decay,
                config.cosine_power,
                width,
                *permitted,
            )

        return ranked_by(self.source, *best_permitted(query, self.name, find))

    def asked(self) -> tuple[Lists, Float32s, int, float, float]:
        """The lists, the vectors and how a session asks them, as `rank_hybrid` takes it."""
        config = self.config
        return self.neighbours.columns(), self.vectors, config.query_events, config.query_decay, config.cosine_power

    def similar(self, query: Query) -> Ranked:
        """The neighbours of each session's last item, with their cosines as scores."""
        items, weights = self.neighbours.best(query.sessions, query.k, permits(query), events=1)
        return ranked_by(self.source, items, weights ** np.float32(1 / self.config.cosine_power))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which they are saved."""
        return {"vectors": self.vectors, **self.neighbours.arrays("neighbours.")}

    def save(self, folder: Path) -> None:
        """Write the model into an existing empty folder."""
        save_model(folder, self.name, self.config, self.arrays())

    @classmethod
    def load(cls, folder: Path) -> Item2vec:
        """Read a saved model, memory-mapped.

        Raises:
            ArtifactCorrupt: it is of the time before neighbours were kept.
        """
        values, _, arrays = load_model(folder, cls.name)
        if "neighbours.items" not in arrays:
            raise ArtifactCorrupt(f"{folder}: no neighbours; train again, or use the nextcart that wrote it")
        return cls(Item2vecConfig(**values), arrays["vectors"], NeighbourLists.from_arrays(arrays, "neighbours."))


def _train(arrays: TrainingArrays, config: Item2vecConfig, options: FitOptions) -> Float32s:
    """The raw input vectors, shape (n_vectors, dim)."""
    sessions = arrays.sessions
    n = int(np.count_nonzero(arrays.counts >= config.min_count))
    random = np.random.default_rng(options.seed)
    vectors = (random.random((n, config.dim), np.float32) - np.float32(0.5)) / np.float32(config.dim)
    if n < 2:
        return vectors
    contexts = np.zeros_like(vectors)
    keep, other = alias_table((arrays.counts[:n] ** config.negative_power).astype(np.float32))
    blocks = balanced_blocks(sessions.offsets, BLOCKS_PER_EPOCH)
    steps = [(epoch, first, stop) for epoch in range(config.epochs) for first, stop in blocks]
    total = config.epochs * sessions.n_events
    final = config.learning_rate * FINAL_RATE_SHARE

    def rate_at(epoch: int, session: int) -> float:
        done = (epoch * sessions.n_events + int(sessions.offsets[session])) / total
        return config.learning_rate + (final - config.learning_rate) * done

    def work(position: int, _: int) -> None:
        epoch, first, stop = steps[position]
        train_sessions(
            first,
            stop,
            sessions.offsets,
            sessions.items,
            vectors,
            contexts,
            keep,
            other,
            config.window,
            config.negative,
            rate_at(epoch, first),
            rate_at(epoch, stop),
            (options.seed * len(steps) + position) % 2**63,
        )

    each = [(position, position + 1) for position in range(len(steps))]
    # One thread: two write the same hot rows, and take three times the CPU and half as long again.
    run_blocks("item2vec", each, replace(options, threads=1), work)
    return vectors
