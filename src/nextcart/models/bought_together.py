"""Bought together: complements of an item or a basket, from carts and orders alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nextcart.config import BoughtTogetherConfig
from nextcart.kernels.covisitation import MS_PER_HOUR, basket_neighbours, basket_support, event_index, keep_types
from nextcart.kernels.scoring import baskets_of, join_lists
from nextcart.models.model import FitOptions, Query, TrainingArrays, load_model, save_model
from nextcart.models.neighbour_lists import NeighbourLists, ranked_by
from nextcart.models.parallel import balanced_blocks, run_blocks
from nextcart.models.permits import permits
from nextcart.types import EventType, Float64s, Int32s, Int64s, ItemLists, Ranked, SessionBatch, Source

NO_TS = np.empty(0, np.int64)
ANY_TIME_MS = 2.0**62
"""Further apart than any two events."""


class BoughtTogether:
    """Complements of each item: how likely they are in a basket with it, drawn to how likely they are in any.

    A basket is asked with all its items; none of them comes back.

    Attributes:
        config: as given to `fit`.
        complements: the neighbour lists; items that were never bought have none.
    """

    name: ClassVar[str] = "bought_together"
    source: ClassVar[Source] = Source.BOUGHT_TOGETHER

    def __init__(self, config: BoughtTogetherConfig, complements: NeighbourLists) -> None:
        self.config = config
        self.complements = complements

    @classmethod
    def fit(cls, arrays: TrainingArrays, config: BoughtTogetherConfig, options: FitOptions) -> BoughtTogether:
        """Count unordered pairs of carts and orders of a session, once each."""
        whole, n = arrays.sessions, arrays.n_items
        offsets, items, ts = keep_types(
            whole.offsets, whole.items, whole.ts, whole.types, int(EventType.CARTS), config.max_basket_events
        )
        starts, positions, _ = event_index(offsets, items, n, config.max_basket_events)
        support, session_of, sizes = basket_support(offsets, items, n)
        weights, mean_weight = _basket_weights(sizes, config.size_power)
        n_baskets = int(np.count_nonzero(sizes))
        staples = _staples(support, n_baskets, config)
        out_items = np.empty((n, config.top_n), np.int32)
        out_weights = np.empty((n, config.top_n), np.float32)
        out_sizes = np.zeros(n, np.int32)

        def count(first: int, stop: int) -> None:
            basket_neighbours(
                first,
                stop,
                offsets,
                session_of,
                items,
                ts,
                starts,
                positions,
                support,
                weights,
                mean_weight,
                staples,
                window_ms(config),
                config.min_support,
                config.shrinkage,
                config.popularity_power,
                n_baskets,
                out_items,
                out_weights,
                out_sizes,
            )

        run_blocks("bought together", balanced_blocks(starts), options, count)
        return cls(config, NeighbourLists.from_padded(out_items, out_weights, out_sizes))

    def recommend(self, query: Query) -> Ranked:
        """Complements of each session's last carts and orders, or of its last item where it has none."""
        offsets, items, _ = self.basket_of(query.sessions)
        return self.complement(ItemLists(offsets, items), query)

    def basket_of(self, sessions: SessionBatch) -> tuple[Int64s, Int32s, Int64s]:
        """What each session asks with; see `baskets_of`."""
        return baskets_of(
            sessions.offsets, sessions.items, sessions.types, int(EventType.CARTS), self.config.query_events
        )

    def complement(self, baskets: ItemLists, query: Query) -> Ranked:
        """Complements of baskets of distinct items, one a session of the query: the sum of the items' scores."""
        ban_offsets, banned, allow_offsets, allowed = permits(query)
        permitted = (*join_lists(baskets.offsets, baskets.items, ban_offsets, banned), allow_offsets, allowed)
        found = self.complements.best(
            SessionBatch(baskets.offsets, baskets.items, NO_TS, np.zeros(len(baskets.items), np.uint8)),
            query.k,
            permitted,
            events=max(1, len(baskets.items)),
        )
        return ranked_by(self.source, *found)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which they are saved."""
        return self.complements.arrays()

    def save(self, folder: Path) -> None:
        """Write the model into an existing empty folder."""
        save_model(folder, self.name, self.config, self.arrays())

    @classmethod
    def load(cls, folder: Path) -> BoughtTogether:
        """Read a saved model, memory-mapped."""
        config, _, arrays = load_model(folder, cls.name)
        return cls(BoughtTogetherConfig(**config), NeighbourLists.from_arrays(arrays))


def window_ms(config: BoughtTogetherConfig) -> float:
    """How far apart carts and orders pair, in milliseconds."""
    return config.window_hours * MS_PER_HOUR or ANY_TIME_MS


def _basket_weights(sizes: Int64s, power: float) -> tuple[Float64s, float]:
    """How much a pair of each basket counts, and the mean over the baskets that have pairs."""
    weights = np.maximum(sizes - 1, 1) ** -power
    of_several = weights[sizes > 1]
    return weights, float(of_several.mean()) if len(of_several) else 1.0


def _staples(support: Int64s, n_baskets: int, config: BoughtTogetherConfig) -> Int32s:
    """The first ``top_n`` items, by baskets, of which ``shrinkage`` baskets are expected to hold ``min_support``.

    Only items of at least ``shrinkage`` baskets: in a small log everything has a large share.
    """
    expected = config.shrinkage * support >= config.min_support * n_baskets
    found = np.flatnonzero(expected & (support >= config.shrinkage) & (support > 0))
    return found[np.argsort(-support[found], kind="stable")][: config.top_n].astype(np.int32)
