"""Hybrid: rank fusion of co-visitation, item2vec and top sellers, weighed by what the session looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from numpy.typing import NDArray

from nextcart.config import HybridConfig
from nextcart.kernels.hybrid import rank_hybrid
from nextcart.models.covisitation import Covisitation
from nextcart.models.item2vec import Item2vec
from nextcart.models.model import Query, load_model, save_model
from nextcart.models.neighbour_lists import NO_MASK
from nextcart.models.permits import permits
from nextcart.models.top_sellers import OVERALL, TopSellers
from nextcart.types import Ranked, Source

BITS = (int(Source.COVISITATION), int(Source.ITEM2VEC), int(Source.TOP_SELLERS))


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
        self._weighing = (
            (config.covisitation, config.item2vec, config.top_sellers),
            config.short_session_events,
            (config.short_covisitation, config.short_item2vec, 1.0),
            (config.intent_covisitation, config.intent_item2vec, 1.0),
        )
        self._members = (covisitation.asked(), item2vec.asked(), top_sellers.lists[OVERALL])

    def recommend(self, query: Query) -> Ranked:
        """Sum of w_m / log2(rank_m + 1) over the candidates that each model brings."""
        sessions = query.sessions
        return Ranked(
            *rank_hybrid(
                (sessions.offsets, sessions.items, sessions.types),
                query.k,
                (query.limit or query.k) * self.config.candidates_per_limit,
                *self._members,
                self._weighing,
                BITS,
                permits(query),
                NO_MASK if query.blocked is None else query.blocked.mask,
            )
        )

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
