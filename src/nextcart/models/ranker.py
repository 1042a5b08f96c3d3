"""A learned order of all sources' candidates: one forest an objective."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nextcart.config import RankerConfig
from nextcart.errors import ArtifactCorrupt
from nextcart.kernels.candidates import best_candidates
from nextcart.models.candidates import Retrieval, SourceModel
from nextcart.models.forest import Forest
from nextcart.models.model import Query, load_model, save_model
from nextcart.models.recent_popularity import RecentPopularity
from nextcart.types import Float32s, Objective, Ranked

POPULARITY = "popularity."
"""Before the names of those arrays."""


class Ranking:
    """What a ranker learned, without the models that bring its candidates.

    Attributes:
        config: as given to the fit.
        forests: by objective; an objective that the events hold too little of has none.
        item_columns: float32, shape (n_items, n_columns).
        feature_names: columns that the forests look at.
        importance: share of the gain by feature, an entry an objective.
        popularity: of late, where its lists are asked for.
    """

    name: ClassVar[str] = "ranker"

    def __init__(
        self,
        config: RankerConfig,
        forests: dict[Objective, Forest],
        item_columns: Float32s,
        feature_names: tuple[str, ...],
        importance: dict[str, dict[str, float]],
        popularity: RecentPopularity | None = None,
    ) -> None:
        self.config, self.forests, self.item_columns = config, forests, item_columns
        self.feature_names, self.importance, self.popularity = feature_names, importance, popularity

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which they are saved."""
        forests = {
            key: array for name, forest in self.forests.items() for key, array in forest.arrays(f"{name}.").items()
        }
        popularity = self.popularity.arrays(POPULARITY) if self.popularity else {}
        return {"item_columns": self.item_columns, **popularity, **forests}

    def save(self, folder: Path) -> None:
        """Write the forests into an existing empty folder."""
        facts = {
            "objectives": list(self.forests),
            "features": list(self.feature_names),
            "importance": self.importance,
        }
        save_model(folder, self.name, self.config, self.arrays(), facts)

    @classmethod
    def load(cls, folder: Path) -> Ranking:
        """Read a saved ranking, memory-mapped."""
        values, facts, arrays = load_model(folder, cls.name)
        forests = {name: Forest.from_arrays(arrays, f"{name}.") for name in facts["objectives"]}
        config, columns = RankerConfig(**values), arrays["item_columns"]
        has = any(name.startswith(POPULARITY) for name in arrays)
        popularity = RecentPopularity.from_arrays(arrays, POPULARITY) if has else None
        names, importance = tuple(facts["features"]), facts["importance"]
        return cls(config, forests, columns, names, importance, popularity)


class Ranker:
    """A ranking joined with the fitted models that bring the candidates; immutable.

    Attributes:
        ranking: what was learned.
        retrieval: brings and describes the candidates.
    """

    name: ClassVar[str] = Ranking.name

    def __init__(self, ranking: Ranking, members: Iterable[SourceModel]) -> None:
        """Join.

        Raises:
            ArtifactCorrupt: the models bring other lists than those that the forests were trained on.
        """
        self.ranking = ranking
        self.retrieval = Retrieval(ranking.config, members, ranking.item_columns, ranking.popularity)
        if self.retrieval.feature_names != ranking.feature_names:
            missing = sorted(set(ranking.feature_names) ^ set(self.retrieval.feature_names))
            raise ArtifactCorrupt(f"the ranker was trained with other sources ({', '.join(missing[:3])}…); train again")

    def recommend(self, query: Query) -> Ranked:
        """The candidates of all sources, best first by the objective's forest."""
        forests = self.ranking.forests
        forest = forests.get(query.objective) or next(iter(forests.values()))
        found = self.retrieval.candidates(query)
        return Ranked(
            *best_candidates(found.offsets, found.items, found.sources, forest.score(found.features), query.k)
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which they are saved."""
        return self.ranking.arrays()

    def save(self, folder: Path) -> None:
        """Write the ranking into an existing empty folder; the members save themselves."""
        self.ranking.save(folder)


def importance_of(names: tuple[str, ...], gains: NDArray[Any]) -> dict[str, float]:
    """Each feature's share of the gain, largest first, none of 0."""
    total = float(gains.sum()) or 1.0
    order = np.argsort(-gains, kind="stable")
    return {names[f]: round(float(gains[f]) / total, 6) for f in order if gains[f] > 0}
