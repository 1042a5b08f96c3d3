"""Co-visitation: which items follow an item within a session, soon after."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nextcart.config import CovisitationConfig, MatrixConfig
from nextcart.errors import InputError
from nextcart.kernels.covisitation import MS_PER_HOUR, event_index, near_neighbours, two_hop_neighbours
from nextcart.kernels.hybrid import Lists
from nextcart.models.model import FitOptions, Query, TrainingArrays, load_model, save_model
from nextcart.models.neighbour_lists import NeighbourLists, ranked_by
from nextcart.models.parallel import balanced_blocks, run_blocks
from nextcart.models.permits import Permits, best_permitted, permits
from nextcart.models.shared import Found
from nextcart.types import Float32s, Int32s, Int64s, Ranked, Source, UInt8s, UInt32s

MAIN = "main"
HOP_WIDTH = 30
"""Neighbours that are followed of each list, when two hops are made of one."""


class Covisitation:
    """Neighbour lists of all items: the main matrix, and those that the configuration names.

    Attributes:
        config: as given to `fit`.
        matrices: neighbour lists by name; "main" is the one that sessions ask.
    """

    name: ClassVar[str] = "covisitation"
    source: ClassVar[Source] = Source.COVISITATION

    def __init__(self, config: CovisitationConfig, matrices: dict[str, NeighbourLists]) -> None:
        self.config = config
        self.matrices = matrices

    @classmethod
    def fit(
        cls,
        arrays: TrainingArrays,
        config: CovisitationConfig,
        options: FitOptions,
        asked: Collection[str] | None = None,
    ) -> Covisitation:
        """Count the matrices over all items: every one, or those that are asked and what they are made of."""
        hops = {name: of for name, of in config.two_hops().items() if asked is None or name in asked}
        wanted = {
            name: matrix
            for name, matrix in config.counted().items()
            if asked is None or name in asked or name in hops.values()
        }
        return cls._with_hops(config, _count_all(arrays, wanted, options), hops, options)

    @classmethod
    def from_counted(
        cls, config: CovisitationConfig, counted: dict[str, NeighbourLists], options: FitOptions
    ) -> Covisitation:
        """The model whose matrices are counted: those of two hops are made of them."""
        return cls._with_hops(config, counted, config.two_hops(), options)

    @classmethod
    def _with_hops(
        cls,
        config: CovisitationConfig,
        counted: dict[str, NeighbourLists],
        hops: dict[str, str],
        options: FitOptions,
    ) -> Covisitation:
        width = {name: matrix.top_n for name, matrix in config.counted().items()}
        for name, of in hops.items():
            counted[name] = _two_hop(counted[of], width[of], options, name)
        return cls(config, counted)

    def recommend(self, query: Query) -> Ranked:
        """Ask the main matrix as the configuration says."""
        config = self.config
        weights = config.query_type_weights.as_tuple()
        return self.ask(query, MAIN, events=config.query_events, decay=config.query_decay, type_weights=weights)

    def ask(
        self,
        query: Query,
        matrix: str,
        *,
        events: int,
        decay: float,
        type_weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> Ranked:
        """Sum the neighbours of each session's last events: weight * decay ** i * w(type), i from the newest.

        Raises:
            InputError: there is no such matrix.
        """
        if matrix not in self.matrices:
            raise InputError(f"no matrix '{matrix}' in this version; it has {', '.join(self.matrices)}")
        lists = self.matrices[matrix]

        def find(width: int, permitted: Permits) -> Found:
            return lists.best(query.sessions, width, permitted, events=events, decay=decay, type_weights=type_weights)

        asked = f"{self.name} {matrix} {events} {decay} {type_weights}"
        return ranked_by(self.source, *best_permitted(query, asked, find))

    def asked(self) -> tuple[Lists, int, float, tuple[float, float, float]]:
        """The main matrix and how a session asks it, as `rank_hybrid` takes it."""
        config = self.config
        return (
            self.matrices[MAIN].columns(),
            config.query_events,
            config.query_decay,
            config.query_type_weights.as_tuple(),
        )

    def similar(self, query: Query, matrix: str = MAIN) -> Ranked:
        """The neighbours of each session's last item, with their raw weights as scores."""
        return ranked_by(self.source, *self.matrices[matrix].best(query.sessions, query.k, permits(query), events=1))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which they are saved."""
        return {key: array for name, lists in self.matrices.items() for key, array in lists.arrays(f"{name}.").items()}

    def save(self, folder: Path) -> None:
        """Write the model into an existing empty folder."""
        save_model(folder, self.name, self.config, self.arrays())

    @classmethod
    def load(cls, folder: Path) -> Covisitation:
        """Read a saved model, memory-mapped."""
        values, _, arrays = load_model(folder, cls.name)
        matrices = {name: MatrixConfig(**matrix) for name, matrix in values.pop("matrices").items()}
        config = CovisitationConfig(**values, matrices=matrices)
        names = (*config.counted(), *config.two_hops())
        return cls(config, {name: NeighbourLists.from_arrays(arrays, f"{name}.") for name in names})


def _count_all(
    arrays: TrainingArrays, matrices: dict[str, MatrixConfig], options: FitOptions
) -> dict[str, NeighbourLists]:
    """The matrices by name; those over the same events share their index, and no two indexes are held at once."""
    counted: dict[str, NeighbourLists] = {}
    for last_events in dict.fromkeys(matrix.last_events for matrix in matrices.values()):
        index = event_index(arrays.sessions.offsets, arrays.sessions.items, arrays.n_items, last_events)
        for name, matrix in matrices.items():
            if matrix.last_events == last_events:
                counted[name] = _count(arrays, index, matrix, options, name)
        del index
    return {name: counted[name] for name in matrices}


def _count(
    arrays: TrainingArrays,
    index: tuple[Int64s, UInt32s, UInt8s],
    config: MatrixConfig,
    options: FitOptions,
    name: str,
) -> NeighbourLists:
    """One matrix: for each item a, the items b after or around it, by w(type b) * position decay * time decay."""
    sessions, n = arrays.sessions, arrays.n_items
    starts, positions, edges = index
    items, weights, sizes = _padded(n, config.top_n)

    def count(first: int, stop: int) -> None:
        near_neighbours(
            first,
            stop,
            sessions.items,
            sessions.ts,
            sessions.types,
            starts,
            positions,
            edges,
            int(config.direction == "later"),
            config.window_hours * MS_PER_HOUR,
            config.decay_per_hour,
            config.position_decay,
            config.type_weights.as_tuple(),
            config.look_back_events,
            config.keep_diagonal,
            config.direction == "around",
            config.normalised,
            items,
            weights,
            sizes,
        )

    run_blocks(f"co-visitation ({name})", balanced_blocks(starts), options, count)
    return NeighbourLists.from_padded(items, weights, sizes)


def _two_hop(of: NeighbourLists, top_n: int, options: FitOptions, name: str) -> NeighbourLists:
    """The neighbours of each item's neighbours in a matrix."""
    items, weights, sizes = _padded(len(of.offsets) - 1, top_n)

    def count(first: int, stop: int) -> None:
        two_hop_neighbours(first, stop, of.offsets, of.items, of.weights, HOP_WIDTH, items, weights, sizes)

    run_blocks(f"co-visitation ({name})", balanced_blocks(of.offsets), options, count)
    return NeighbourLists.from_padded(items, weights, sizes)


def _padded(n_items: int, top_n: int) -> tuple[Int32s, Float32s, Int32s]:
    """Room for lists of items and weights, and their sizes."""
    return np.empty((n_items, top_n), np.int32), np.empty((n_items, top_n), np.float32), np.zeros(n_items, np.int32)
