"""Item2vec: vectors of items that stand near one another in sessions (Barkan & Koenigstein 2016)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nextcart.config import Item2vecConfig
from nextcart.errors import RunFailed
from nextcart.kernels.scoring import mean_vectors, score_allowed
from nextcart.kernels.skipgram import alias_table, train_sessions
from nextcart.models.ann import VectorIndex
from nextcart.models.model import FitOptions, Query, TrainingArrays, frozen, load_model, save_model
from nextcart.models.neighbour_lists import ranked_by
from nextcart.models.parallel import balanced_blocks, run_blocks
from nextcart.models.permits import NO_PERMITS, Permits, best_permitted
from nextcart.models.shared import Found
from nextcart.types import Float32s, Ranked, Source

FINAL_RATE_SHARE = 0.001
BLOCKS_PER_EPOCH = 16


class Item2vec:
    """Normalised vectors of the items with at least ``min_count`` events, and an index over them.

    Rows fall with the event count, so the items that have a vector are the first rows.

    Attributes:
        config: as given to `fit`.
        index: the vectors, float32 of shape (n_vectors, dim), and their search.
    """

    name: ClassVar[str] = "item2vec"
    source: ClassVar[Source] = Source.ITEM2VEC

    def __init__(self, config: Item2vecConfig, index: VectorIndex) -> None:
        self.config = config
        self.index = index

    @classmethod
    def fit(cls, arrays: TrainingArrays, config: Item2vecConfig, options: FitOptions) -> Item2vec:
        """Train by skip-gram with negative sampling, one learning-rate schedule over all epochs.

        Raises:
            RunFailed: the learning rate is so high that the vectors left all bounds.
        """
        threads = 1 if options.deterministic else options.threads
        vectors = _train(arrays, config, options)
        if not np.isfinite(vectors).all():
            raise RunFailed(
                f"item2vec: training diverged; lower models.item2vec.learning_rate (it is {config.learning_rate})"
            )
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        normalised = frozen(vectors / np.maximum(norms, np.float32(1e-12)))
        index = VectorIndex.build(
            normalised, exact_below=config.exact_below, nprobe=config.nprobe, seed=options.seed, threads=threads
        )
        return cls(config, index)

    def recommend(self, query: Query) -> Ranked:
        """The items nearest to the mean of the vectors of the session's last events."""
        return self._nearest(query, self.name, self.config.query_events)

    def similar(self, query: Query) -> Ranked:
        """The items nearest to each session's last item, itself left out."""
        return self._nearest(query, f"{self.name} of one", 1)

    def _nearest(self, query: Query, asked: str, query_events: int) -> Ranked:
        sessions, vectors = query.sessions, self.index.vectors

        def find(width: int, permitted: Permits) -> Found:
            means = mean_vectors(sessions.offsets, sessions.items, vectors, query_events)
            if permitted is NO_PERMITS:
                return self.index.search(means, width)
            return score_allowed(means, vectors, width, *permitted)

        return ranked_by(self.source, *best_permitted(query, asked, find))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which they are saved."""
        return self.index.arrays()

    def save(self, folder: Path) -> None:
        """Write the model into an existing empty folder."""
        save_model(folder, self.name, self.config, self.arrays())

    @classmethod
    def load(cls, folder: Path) -> Item2vec:
        """Read a saved model; vectors are mapped, and copied once into the index."""
        values, _, arrays = load_model(folder, cls.name)
        config = Item2vecConfig(**values)
        return cls(config, VectorIndex(arrays["vectors"], arrays["centroids"], arrays["cells"], config.nprobe))


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
