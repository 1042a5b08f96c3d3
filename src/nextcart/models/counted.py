"""Models from what an engine counts by SQL: the same artifacts as the kernels make, where one machine's memory ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from nextcart.config import BoughtTogetherConfig, MatrixConfig, ModelsConfig, TypeWeights
from nextcart.events.engine import Engine, EngineOpener
from nextcart.events.schema import SplitName
from nextcart.events.store import Store
from nextcart.kernels.covisitation import MS_PER_HOUR
from nextcart.models.arrays import session_starts, training_arrays
from nextcart.models.bought_together import BoughtTogether, window_ms
from nextcart.models.covisitation import Covisitation
from nextcart.models.fitting import FittedModel, Keep
from nextcart.models.item2vec import Item2vec
from nextcart.models.log_bilinear import LogBilinear
from nextcart.models.model import FitOptions, TrainingArrays
from nextcart.models.neighbour_lists import NeighbourLists
from nextcart.models.ranker_training import fit_ranking
from nextcart.models.session_neighbours import SessionNeighbours
from nextcart.models.top_sellers import OVERALL, TopSellers
from nextcart.models.vocabulary import Vocabulary
from nextcart.types import TYPE_NAMES, Id, Int32s, SessionBatch


@contextmanager
def counting(opener: EngineOpener | None, store: Store, split: SplitName) -> Iterator[Counts | None]:
    """The counts of an engine that is open as long as the context; None where there is no engine to open."""
    if opener is None:
        yield None
        return
    with opener(store) as engine:
        yield Counts(engine, store, split)


class Counts:
    """The catalogue of a split and the models over it, counted by an engine.

    Attributes:
        vocabulary: the catalogue, by the engine's count of events.
    """

    def __init__(self, engine: Engine, store: Store, split: SplitName) -> None:
        self._engine = engine
        self._store, self._split = store, split
        self._facts = store.manifest.splits[split]
        self.vocabulary = Vocabulary.from_counts(store.manifest.aid_type, engine.run("item_counts", split=split))

    def catalogue(self) -> tuple[Vocabulary, TrainingArrays]:
        """The catalogue, and arrays without a session: the engine reads them, not this machine."""
        return self.vocabulary, TrainingArrays(_items_only([0], np.empty(0, np.int32)), self.vocabulary.counts)

    def instead(self, keep: Keep, config: ModelsConfig, options: FitOptions) -> Keep:
        """What fits each kind by the engine, whatever fit is given, and hands it to ``keep``."""
        return lambda kind, _: keep(kind, lambda: self.fit(kind, config, options))

    def fit(self, kind: type[FittedModel], config: ModelsConfig, options: FitOptions) -> FittedModel:
        """The model of that kind.

        Item2vec trains on this machine, on the sequences that the engine gives; log-bilinear, session neighbours and
        the ranker on the training arrays, which are read from the store here.
        """
        options.progress(f"{kind.name} by the engine", 0, 1)
        if kind is TopSellers:
            fitted: FittedModel = self._top_sellers(config)
        elif kind is Covisitation:
            wanted = config.covisitation.counted()
            lists = {name: self._lists("covisitation", _matrix(matrix)) for name, matrix in wanted.items()}
            fitted = Covisitation.from_counted(config.covisitation, lists, options)
        elif kind is BoughtTogether:
            fitted = BoughtTogether(config.bought_together, self._lists("bought_together", _pairs(config)))
        elif kind is Item2vec:
            fitted = Item2vec.fit(self.sequences(options), config.item2vec, options)
        elif kind is LogBilinear:
            fitted = LogBilinear.fit(self._arrays(options), config.log_bilinear, options)
        elif kind is SessionNeighbours:
            fitted = SessionNeighbours.fit(self._arrays(options), config.session_neighbours, options)
        else:
            fitted = fit_ranking(self._arrays(options), config, options)
        options.progress(f"{kind.name} by the engine", 1, 1)
        return fitted

    def sequences(self, options: FitOptions) -> TrainingArrays:
        """Which items each session touched, in its order: all that item2vec reads. Times and types are left empty.

        Holds 4 bytes an event and 8 a session.
        """
        total = self._facts.events
        items = np.empty(total, np.int32)
        starts, done = [], 0
        last: Id | None = None
        for batch in self._batches("session_items"):
            begins, last = session_starts(batch.column("session"), done, last)
            starts.append(begins)
            items[done : done + len(batch)] = self.vocabulary.rows_of_arrow(batch.column("aid"))
            done += len(batch)
            options.progress("reading sequences", done, total)
        return TrainingArrays(_items_only(np.concatenate([*starts, [total]]), items), self.vocabulary.counts)

    def _arrays(self, options: FitOptions) -> TrainingArrays:
        """All sessions of the split; their rows are those of the engine's catalogue, as both rank items alike."""
        return training_arrays(self._store, self._split, options.progress)[1]

    def _top_sellers(self, config: ModelsConfig) -> TopSellers:
        scores = {name: np.zeros(len(self.vocabulary)) for name in (OVERALL, *TYPE_NAMES)}
        weighing = _weights(config.top_sellers.type_weights)
        for batch in self._batches("top_sellers", decay_per_day=config.top_sellers.decay_per_day, **weighing):
            rows = self.vocabulary.rows_of_arrow(batch.column("aid"))
            for name, score in scores.items():
                score[rows] = batch.column(name).to_numpy()
        return TopSellers.from_scores(config.top_sellers, scores)

    def _lists(self, query: str, params: Mapping[str, float | bool | str]) -> NeighbourLists:
        parts: tuple[list[NDArray[Any]], ...] = ([], [], [], [])
        for batch in self._batches(query, **params):
            for part, column in zip(parts, self._packed(batch), strict=True):
                part.append(column)
        columns = []
        for part, kind in zip(parts, (np.int32, np.int32, np.float32, np.int32), strict=True):
            columns.append(np.concatenate([np.empty(0, kind), *part]))
            part.clear()
        return NeighbourLists.from_places(len(self.vocabulary), *columns)

    def _packed(self, batch: pa.RecordBatch) -> Iterator[NDArray[Any]]:
        """Rows of the items and of their neighbours, weights and places, 16 bytes a pair."""
        for name in ("aid", "neighbour"):
            yield self.vocabulary.rows_of_arrow(batch.column(name))
        yield batch.column("weight").to_numpy().astype(np.float32)
        yield batch.column("place").to_numpy().astype(np.int32)

    def _batches(self, query: str, **params: object) -> Iterator[pa.RecordBatch]:
        return (batch for batch in self._engine.batches(query, split=self._split, **params) if len(batch))


def _items_only(offsets: ArrayLike, items: Int32s) -> SessionBatch:
    return SessionBatch(np.asarray(offsets, np.int64), items, np.empty(0, np.int64), np.empty(0, np.uint8))


def _matrix(config: MatrixConfig) -> dict[str, float | bool | str]:
    return {
        **_weights(config.type_weights),
        "direction": config.direction,
        "last_events": config.last_events,
        "window_ms": config.window_hours * MS_PER_HOUR,
        "decay_per_hour": config.decay_per_hour,
        "position_decay": config.position_decay,
        "look_back_events": config.look_back_events,
        "keep_diagonal": config.keep_diagonal,
        "normalised": config.normalised,
        "top_n": config.top_n,
    }


def _pairs(config: ModelsConfig) -> dict[str, float | bool]:
    pairs: BoughtTogetherConfig = config.bought_together
    return {
        "max_basket_events": pairs.max_basket_events,
        "window_ms": window_ms(pairs),
        "min_support": pairs.min_support,
        "shrinkage": pairs.shrinkage,
        "size_power": pairs.size_power,
        "popularity_power": pairs.popularity_power,
        "top_n": pairs.top_n,
    }


def _weights(weights: TypeWeights) -> dict[str, float | bool]:
    return dict(zip(TYPE_NAMES, weights.as_tuple(), strict=True))
