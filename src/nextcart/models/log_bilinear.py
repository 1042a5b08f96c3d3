"""Log-bilinear: the likeliest next item by the vectors of the session's last events, each weighed by its place.

Mnih & Hinton 2007, "Three new graphical models for statistical language modelling"; `kernels.log_bilinear` says what
differs from it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nextcart.config import LogBilinearConfig
from nextcart.errors import RunFailed
from nextcart.kernels.log_bilinear import KINDS, Parameters, Sample, kinds_of, train_events
from nextcart.kernels.log_bilinear_lists import items_after
from nextcart.kernels.skipgram import alias_table
from nextcart.models.ann import nearest_of_all
from nextcart.models.model import FitOptions, Query, TrainingArrays, frozen, load_model, save_model
from nextcart.models.neighbour_lists import ranked_by
from nextcart.models.parallel import run_blocks
from nextcart.models.permits import Permits, best_permitted
from nextcart.models.shared import Found
from nextcart.types import EventType, Float32s, Int32s, Int64s, Ranked, SessionBatch, Source, UInt8s

FIRST_SCALE = 0.1
"""Standard deviation of the vectors before training."""

FIRST_DECAY = 0.8
"""Before training the i-th newest event weighs this ** i."""

FIRST_SQUARES = 1e-6
"""The sums of squares before training, so that nothing is divided by 0."""

BLOCKS_PER_EPOCH = 16
MOST_PLACES = 255


class LogBilinear:
    """Vectors and biases of all items, and the weights of the places in a session.

    Attributes:
        config: as given to `fit`.
        vectors: float32, shape (n_items, dim).
        biases: float32, shape (n_items,).
        weights: float32, shape (context_events, dim), of the newest event's place first.
        kind_weights: float32, shape (KINDS, dim), factors on these by the kind of the event.
        kind_vectors: float32, shape (KINDS, dim), added to the vector of the event's item.
        nearest: int32, shape (n_items, top_n), by cosine, the item itself among them; negative past the end.
    """

    name: ClassVar[str] = "log_bilinear"
    source: ClassVar[Source] = Source.LOG_BILINEAR

    def __init__(self, config: LogBilinearConfig, learned: Parameters, nearest: Int32s) -> None:
        self.config, self.learned, self.nearest = config, learned, nearest

    @classmethod
    def fit(cls, arrays: TrainingArrays, config: LogBilinearConfig, options: FitOptions) -> LogBilinear:
        """Learn to tell the item of each event from others by the events before it, by sampled softmax.

        Raises:
            RunFailed: the learning rate is so high that the vectors left all bounds.
        """
        learned = _train(arrays, config, options)
        if not all(np.isfinite(array).all() for array in learned):
            raise RunFailed(
                f"log_bilinear: training diverged; lower models.log_bilinear.learning_rate (it is "
                f"{config.learning_rate})"
            )
        lengths = np.linalg.norm(learned.vectors, axis=1, keepdims=True)
        nearest, _ = nearest_of_all(
            learned.vectors / np.maximum(lengths, np.float32(1e-12)),
            config.top_n,
            exact_below=config.exact_below,
            nprobe=config.nprobe,
            options=options,
        )
        return cls(config, Parameters(*map(frozen, learned)), frozen(nearest))

    def recommend(self, query: Query) -> Ranked:
        """The likeliest of the items near the session's last ones, or of those allowed; its own may be among them."""
        sessions = query.sessions

        def find(width: int, permitted: Permits) -> Found:
            return items_after(
                sessions.offsets,
                sessions.items,
                kinds_of(sessions.offsets, sessions.ts, sessions.types),
                *self.learned,
                self.nearest,
                self.config.query_events,
                width,
                *permitted,
            )

        return ranked_by(self.source, *best_permitted(query, self.name, find))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which they are saved."""
        return {**self.learned._asdict(), "nearest": self.nearest}

    def save(self, folder: Path) -> None:
        """Write the model into an existing empty folder."""
        save_model(folder, self.name, self.config, self.arrays())

    @classmethod
    def load(cls, folder: Path) -> LogBilinear:
        """Read a saved model, memory-mapped."""
        values, _, arrays = load_model(folder, cls.name)
        config = LogBilinearConfig(**values)
        if not {"kind_weights", "kind_vectors"} & arrays.keys():
            # Of a time when an event's kind did not count.
            arrays = arrays | dict(zip(("kind_weights", "kind_vectors"), map(frozen, _no_kinds(config)), strict=True))
        return cls(config, Parameters(*(arrays[name] for name in Parameters._fields)), arrays["nearest"])


def _train(arrays: TrainingArrays, config: LogBilinearConfig, options: FitOptions) -> Parameters:
    """Vectors, biases and weights after all steps."""
    sessions, n = arrays.sessions, arrays.n_items
    random = np.random.default_rng(options.seed)
    vectors = random.standard_normal((n, config.dim), np.float32) * np.float32(FIRST_SCALE)
    decays = np.float32(FIRST_DECAY) ** np.arange(config.context_events, dtype=np.float32)
    weights = np.repeat(decays[:, None], config.dim, axis=1)
    learned = Parameters(vectors, np.zeros(n, np.float32), weights, *_no_kinds(config))
    shapes = ((n, 1), *(array.shape for array in learned[1:]))
    squares = Parameters(*(np.full(shape, FIRST_SQUARES, np.float32) for shape in shapes))
    events, places = _learned_events(sessions, config.max_steps)
    if n < 2 or not len(events):
        return learned
    sample = _sample(arrays, config)
    kinds = kinds_of(sessions.offsets, sessions.ts, sessions.types)
    weights_of_events = _weights(sessions, events, config)
    epochs = max(1, min(config.epochs, config.max_steps // len(events)))
    steps = epochs * BLOCKS_PER_EPOCH
    order = bounds = np.empty(0, np.int64)

    def work(position: int, _: int) -> None:
        nonlocal order, bounds
        part = position % BLOCKS_PER_EPOCH
        if part == 0:
            late = position // BLOCKS_PER_EPOCH >= (epochs + 1) // 2
            order = random.permutation(_drawn(weights_of_events, random) if late else len(events))
            bounds = np.linspace(0, len(order), BLOCKS_PER_EPOCH + 1).astype(np.int64)
        chosen = order[bounds[part] : bounds[part + 1]]
        seed = (options.seed * steps + position) % 2**63
        train_events(
            events[chosen],
            places[chosen],
            sessions.items,
            kinds,
            learned,
            squares,
            sample,
            config.learning_rate,
            config.dropout,
            seed,
        )

    each = [(position, position + 1) for position in range(steps)]
    # One thread: each step starts from the one before.
    run_blocks("log-bilinear", each, replace(options, threads=1), work)
    return learned


def _no_kinds(config: LogBilinearConfig) -> tuple[Float32s, Float32s]:
    """Weights and vectors of the kinds that change nothing."""
    return np.ones((KINDS, config.dim), np.float32), np.zeros((KINDS, config.dim), np.float32)


def _sample(arrays: TrainingArrays, config: LogBilinearConfig) -> Sample:
    """Items are drawn by their count to a power; one that never came is drawn as if half an event had."""
    weights = np.maximum(arrays.counts, 0.5) ** config.negative_power
    keep, other = alias_table(weights.astype(np.float32))
    expected = np.log(weights / weights.sum() * config.negatives)
    return Sample(keep, other, expected.astype(np.float32), config.negatives)


def _weights(sessions: SessionBatch, events: Int64s, config: LogBilinearConfig) -> Float32s:
    """How often an event is drawn in the later passes, by its age and type; 1 on the mean."""
    weights = np.ones(len(events), np.float32)
    if config.half_weight_share:
        newest = sessions.ts.max()
        half = config.half_weight_share * max(int(newest - sessions.ts.min()), 1)
        # Hyperbolic, not exponential: a rare item's only events may be old.
        weights = (half / (half + (newest - sessions.ts[events]))).astype(np.float32)
    clicks = sessions.types[events] == EventType.CLICKS
    if clicks.any():
        weights[~clicks] *= np.float32(config.purchase_weight)
    weights /= weights.mean()
    return weights


def _drawn(weights: Float32s, random: np.random.Generator) -> Int64s:
    """Places of what is drawn, each as often as its weight says on the mean: its whole part, and one more by chance."""
    whole = np.floor(weights)
    return np.repeat(
        np.arange(len(weights)), (whole + (random.random(len(weights)) < weights - whole)).astype(np.int64)
    )


def _learned_events(sessions: SessionBatch, most: int) -> tuple[Int64s, UInt8s]:
    """The events that others precede, and how many do (255 for more); of the newest sessions, where there are too many.

    Holds 9 bytes for each event that is learned from, not for all.
    """
    lengths = np.diff(sessions.offsets)
    chosen = np.flatnonzero(lengths > 1)
    learned = lengths[chosen] - 1
    if learned.sum() > most:
        newest = np.argsort(-sessions.ts[sessions.offsets[chosen + 1] - 1], kind="stable")
        enough = max(1, int(np.searchsorted(np.cumsum(learned[newest]), most, side="right")))
        kept = np.sort(newest[:enough])
        chosen, learned = chosen[kept], learned[kept]
    places = np.arange(1, int(learned.sum()) + 1) - np.repeat(np.cumsum(learned) - learned, learned)
    events = places + np.repeat(sessions.offsets[chosen], learned)
    return events, np.minimum(places, MOST_PLACES).astype(np.uint8)
