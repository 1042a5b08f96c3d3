"""Hybrid: rank fusion of co-visitation, item2vec and top sellers, weighed by what the session looks like."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from nextcart.config import HybridConfig
from nextcart.kernels.fusion import fuse_ranks, hybrid_weights
from nextcart.models.covisitation import Covisitation
from nextcart.models.item2vec import Item2vec
from nextcart.models.model import Query, load_model, save_model
from nextcart.models.top_sellers import TopSellers
from nextcart.types import Ranked, Source


class Hybrid:
    """A weighing of three fitted models; it learns nothing of its own.

    Attributes:
        config: the weights.
    """

    name: ClassVar[str] = "hybrid"

    def __init__(
        self, config: HybridConfig, covisitation: Covisitation, item2vec: Item2vec, top_sellers: TopSellers
    ) -> None:
        self.config = config
        self._members = (covisitation, item2vec, top_sellers)

    def recommend(self, query: Query) -> Ranked:
        """Sum of w_m / log2(rank_m + 1) over the candidates that each model brings."""
        config, sessions = self.config, query.sessions
        wider = replace(query, k=query.k * config.candidates_per_limit)
        candidates = tuple(member.recommend(wider).items for member in self._members)
        weights = hybrid_weights(
            sessions.offsets,
            sessions.types,
            (config.covisitation, config.item2vec, config.top_sellers),
            config.short_session_events,
            (config.short_covisitation, config.short_item2vec, 1.0),
            (config.intent_covisitation, config.intent_item2vec, 1.0),
        )
        bits = (int(Source.COVISITATION), int(Source.ITEM2VEC), int(Source.TOP_SELLERS))
        return Ranked(*fuse_ranks(candidates, weights, bits, query.k))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which they are saved."""
        return {}

    def save(self, folder: Path) -> None:
        """Write the weights into an existing empty folder; the members save themselves."""
        save_model(folder, self.name, self.config, self.arrays())

    @classmethod
    def load(cls, folder: Path, covisitation: Covisitation, item2vec: Item2vec, top_sellers: TopSellers) -> Hybrid:
        """Read the weights and join them with the loaded members."""
        values, _, _ = load_model(folder, cls.name)
        return cls(HybridConfig(**values), covisitation, item2vec, top_sellers)
