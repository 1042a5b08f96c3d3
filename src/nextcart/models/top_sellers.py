"""Top sellers: recency-weighted popularity, overall and by event type."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nextcart.config import TopSellersConfig
from nextcart.kernels.scoring import take_top
from nextcart.models.model import FitOptions, Query, TrainingArrays, frozen, load_model, save_model
from nextcart.models.neighbour_lists import NO_MASK, ranked_by
from nextcart.models.permits import permits
from nextcart.types import DAY_MS, TYPE_NAMES, Float32s, Int32s, Objective, Ranked, Source

BLOCK_EVENTS = 4_000_000
OVERALL = "overall"

Float64s = NDArray[np.float64]


class TopSellers:
    """Ranked lists of items, one overall and one an event type.

    Attributes:
        config: as given to `fit`.
        lists: for "overall" and each type, item rows (int32) and scores (float32), best first, at most ``max_items``.
    """

    name: ClassVar[str] = "top_sellers"
    source: ClassVar[Source] = Source.TOP_SELLERS

    def __init__(self, config: TopSellersConfig, lists: dict[str, tuple[Int32s, Float32s]]) -> None:
        self.config = config
        self.lists = lists

    @classmethod
    def fit(cls, arrays: TrainingArrays, config: TopSellersConfig, options: FitOptions) -> TopSellers:
        """Score every item: sum over its events of w(type) * exp(-decay_per_day * age), ages from the newest event."""
        sessions, n = arrays.sessions, arrays.n_items
        newest = sessions.ts.max(initial=0)
        by_type = np.zeros((len(TYPE_NAMES), n))
        for start in range(0, sessions.n_events, BLOCK_EVENTS):
            block = slice(start, start + BLOCK_EVENTS)
            age_days = (newest - sessions.ts[block]) / DAY_MS
            weight = np.exp(-config.decay_per_day * age_days)
            cell = sessions.types[block] * np.int64(n) + sessions.items[block]
            by_type += np.bincount(cell, weight, minlength=by_type.size).reshape(by_type.shape)
            options.progress("top sellers", min(start + BLOCK_EVENTS, sessions.n_events), sessions.n_events)
        by_type *= np.array(config.type_weights.as_tuple())[:, None]
        return cls.from_scores(config, dict(zip(TYPE_NAMES, by_type, strict=True)) | {OVERALL: by_type.sum(axis=0)})

    @classmethod
    def from_scores(cls, config: TopSellersConfig, scores: Mapping[str, Float64s]) -> TopSellers:
        """Rank the items by what each scores: for "overall" and each type, float64 of shape (n_items,), by row."""
        return cls(config, {name: _best(scores[name], config.max_items) for name in (*TYPE_NAMES, OVERALL)})

    def recommend(self, query: Query) -> Ranked:
        """The overall list for each session, but for the items that must not come."""
        return self.top(query, OVERALL)

    def top(self, query: Query, name: str) -> Ranked:
        """One of the lists for each session: "overall" or an event type."""
        items, scores = take_top(len(query.sessions), query.k, *self.lists[name], *permits(query), NO_MASK)
        return ranked_by(self.source, items, scores)

    def list_for(self, objective: Objective | None) -> str:
        """The list that serves an objective: a click may be on anything, so it takes the overall one."""
        if objective is None or objective == "clicks" or not len(self.lists[objective][0]):
            return OVERALL
        return objective

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which they are saved."""
        arrays = {f"{name}.items": items for name, (items, _) in self.lists.items()}
        return arrays | {f"{name}.scores": scores for name, (_, scores) in self.lists.items()}

    def save(self, folder: Path) -> None:
        """Write the model into an existing empty folder."""
        save_model(folder, self.name, self.config, self.arrays())

    @classmethod
    def load(cls, folder: Path) -> TopSellers:
        """Read a saved model, memory-mapped."""
        config, _, arrays = load_model(folder, cls.name)
        lists = {name: (arrays[f"{name}.items"], arrays[f"{name}.scores"]) for name in (OVERALL, *TYPE_NAMES)}
        return cls(TopSellersConfig(**config), lists)


def _best(scores: Float64s, size: int) -> tuple[Int32s, Float32s]:
    rounded = scores.astype(np.float32)
    order = np.argsort(-rounded, kind="stable")[:size]
    order = order[rounded[order] > 0]
    return frozen(order.astype(np.int32)), frozen(rounded[order])
