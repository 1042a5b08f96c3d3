"""Co-visitation: which items follow an item within a session, soon after."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nextcart.config import CovisitationConfig, MatrixConfig
from nextcart.kernels.covisitation import MS_PER_HOUR, event_index, later_neighbours
from nextcart.models.model import FitOptions, Query, TrainingArrays, load_model, save_model
from nextcart.models.neighbour_lists import NeighbourLists, ranked_by
from nextcart.models.parallel import balanced_blocks, run_blocks
from nextcart.models.permits import Permits, best_permitted, permits
from nextcart.models.shared import Found
from nextcart.types import Ranked, Source

MAIN = "main"


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
    def fit(cls, arrays: TrainingArrays, config: CovisitationConfig, options: FitOptions) -> Covisitation:
        """Count every matrix over all items."""
        wanted: dict[str, MatrixConfig] = {MAIN: config, **config.matrices}
        return cls(config, {name: _count(arrays, matrix, options, name) for name, matrix in wanted.items()})

    def recommend(self, query: Query) -> Ranked:
        """Sum the neighbours of the session's last events: weight * query_decay ** i * w(type), i from the newest."""
        config = self.config

        def find(width: int, permitted: Permits) -> Found:
            return self.matrices[MAIN].best(
                query.sessions,
                width,
                permitted,
                events=config.query_events,
                decay=config.query_decay,
                type_weights=config.query_type_weights.as_tuple(),
            )

        return ranked_by(self.source, *best_permitted(query, self.name, find))

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
        config = CovisitationConfig(**values)
        names = (MAIN, *config.matrices)
        return cls(config, {name: NeighbourLists.from_arrays(arrays, f"{name}.") for name in names})


def _count(arrays: TrainingArrays, config: MatrixConfig, options: FitOptions, name: str) -> NeighbourLists:
    """One matrix: for each item a, the items b of later events, by w(type b) * exp(-decay_per_hour * hours)."""
    sessions, n = arrays.sessions, arrays.n_items
    starts, positions, closes = event_index(sessions.offsets, sessions.items, n, config.last_events)
    items = np.empty((n, config.top_n), np.int32)
    weights = np.empty((n, config.top_n), np.float32)
    sizes = np.zeros(n, np.int32)

    def count(first: int, stop: int) -> None:
        later_neighbours(
            first,
            stop,
            sessions.items,
            sessions.ts,
            sessions.types,
            starts,
            positions,
            closes,
            config.window_hours * MS_PER_HOUR,
            config.decay_per_hour,
            config.type_weights.as_tuple(),
            config.look_back_events,
            config.keep_diagonal,
            items,
            weights,
            sizes,
        )

    run_blocks(f"co-visitation ({name})", balanced_blocks(starts), options, count)
    return NeighbourLists.from_padded(items, weights, sizes)
