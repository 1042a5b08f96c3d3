"""Candidates of a session from all sources, and the features by which a ranker orders them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from nextcart.config import ModelsConfig, RankerConfig
from nextcart.kernels.candidates import unite
from nextcart.kernels.item_columns import ITEM_COLUMNS
from nextcart.kernels.pair_columns import LIST_COLUMNS, PAIR_COLUMNS, SESSION_COLUMNS, describe
from nextcart.models.bought_together import BoughtTogether
from nextcart.models.covisitation import Covisitation
from nextcart.models.item2vec import Item2vec
from nextcart.models.log_bilinear import LogBilinear
from nextcart.models.model import FitOptions, Query, TrainingArrays
from nextcart.models.permits import past_blocked, permits, with_own_blocked
from nextcart.models.recent_popularity import NEARBY, OF_DAY, OF_HOUR, POPULARITY_LISTS, RecentPopularity
from nextcart.models.session_neighbours import SessionNeighbours
from nextcart.models.top_sellers import TopSellers
from nextcart.types import Float32s, Int32s, Int64s, Ranked, Source, UInt8s

SourceModel = TopSellers | Covisitation | BoughtTogether | Item2vec | LogBilinear | SessionNeighbours
SOURCES: tuple[type[SourceModel], ...] = (
    TopSellers,
    Covisitation,
    BoughtTogether,
    Item2vec,
    LogBilinear,
    SessionNeighbours,
)
"""Models that look for candidates themselves, in the order of fitting; the others weigh what these bring."""

Ask = Callable[[Query], Ranked]

LAST, ALL = "_of_last", "_of_all"
"""After a matrix's name: the list of the session's last event, and that of its last 30; without them of the last 10."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What may come next in each session, with all that a ranker knows of each pair.

    Attributes:
        offsets: int64, shape (n_sessions + 1,).
        items: int32, shape (n_candidates,), dense item rows, distinct within a session.
        sources: uint8, shape (n_candidates,), a bit for each source that brought the item.
        features: float32, shape (n_candidates, n_features), columns as `Retrieval.feature_names`.
    """

    offsets: Int64s
    items: Int32s
    sources: UInt8s
    features: Float32s


@dataclass(frozen=True, slots=True)
class _List:
    """One list of items that is asked for each session."""

    name: str
    source: Source
    ask: Ask
    take: int


class Retrieval:
    """The lists that fitted models bring for a session, as the ranker's configuration names them.

    Attributes:
        item_columns: float32, shape (n_items, n_columns), see `ITEM_COLUMNS`.
        list_names: the lists that are asked, in the order of their features.
        feature_names: of the columns of ``Candidates.features``.
    """

    def __init__(
        self,
        config: RankerConfig,
        members: Iterable[SourceModel],
        item_columns: Float32s,
        popularity: RecentPopularity | None = None,
    ) -> None:
        """Take the fitted models; a list whose model is missing is left out.

        Args:
            config: names the lists.
            members: the fitted models.
            item_columns: float32, shape (n_items, n_columns).
            popularity: of late, where its lists are asked for.
        """
        self._config, self.item_columns = config, item_columns
        asks = _asks({member.name: member for member in members}, popularity)
        # The list that brings most goes first: where a session has too many candidates, the last ones are left out.
        wanted = sorted(config.lists.items(), key=lambda item: (-item[1], item[0]))
        self._lists = [_List(name, *asks[name], take) for name, take in wanted if name in asks]
        self._takes = np.array([each.take for each in self._lists], np.int64)
        self._bits = np.array([each.source for each in self._lists], np.uint8)
        self.list_names = tuple(each.name for each in self._lists)
        self.feature_names = (
            *(f"{name}_{what}" for name in self.list_names for what in ("score", "rank")),
            *LIST_COLUMNS,
            *PAIR_COLUMNS,
            *ITEM_COLUMNS,
            *(f"last_item_{name}" for name in ITEM_COLUMNS),
            *SESSION_COLUMNS,
        )

    def candidates(self, query: Query) -> Candidates:
        """The distinct items of the session's own last events and of the head of every list, and their features."""
        sessions, width = query.sessions, self._config.list_length
        shape = (len(sessions), len(self._lists), width)
        list_items, list_scores = np.empty(shape, np.int32), np.empty(shape, np.float32)
        wider = Query(sessions, width, query.banned, query.allowed, query.shared, blocked=query.blocked)
        for place, each in enumerate(self._lists):
            ranked = past_blocked(each.ask, wider)
            list_items[:, place], list_scores[:, place] = ranked.items, ranked.scores
        offsets, items, sources = unite(
            sessions.offsets,
            sessions.items,
            list_items,
            self._takes,
            self._bits,
            self._config.history_events,
            int(Source.HISTORY),
            self._config.max_candidates,
            *permits(with_own_blocked(query)),
        )
        features = describe(
            sessions.offsets,
            sessions.items,
            sessions.ts,
            sessions.types,
            offsets,
            items,
            list_items,
            list_scores,
            self.item_columns,
        )
        return Candidates(offsets, items, sources, features)


def models_of(config: RankerConfig) -> set[str]:
    """Names of the models that bring the lists which a ranker asks for."""
    by_name = {kind.name: kind.name for kind in (Item2vec, LogBilinear, BoughtTogether, TopSellers)}
    by_name |= {"neighbours": SessionNeighbours.name, NEARBY: SessionNeighbours.name}
    # Popularity of late is the ranker's own.
    by_name |= {OF_DAY: TopSellers.name, OF_HOUR: TopSellers.name}
    return {by_name.get(name, Covisitation.name) for name in config.lists}


def fit_sources(arrays: TrainingArrays, config: ModelsConfig, options: FitOptions) -> list[SourceModel]:
    """The models that a ranker's lists need, and of co-visitation the matrices that are asked alone."""
    members: list[SourceModel] = []
    for kind in (kind for kind in SOURCES if kind.name in models_of(config.ranker)):
        if kind is Covisitation:
            asked = {name.removesuffix(LAST).removesuffix(ALL) for name in config.ranker.lists}
            members.append(Covisitation.fit(arrays, config.covisitation, options, asked))
        else:
            members.append(kind.fit(arrays, getattr(config, kind.name), options))
    return members


def popularity_of(config: RankerConfig, arrays: TrainingArrays) -> RecentPopularity | None:
    """The popularity of late, where one of its lists is asked for."""
    return RecentPopularity.fit(arrays) if set(POPULARITY_LISTS) & config.lists.keys() else None


def _asks(members: Mapping[str, SourceModel], popularity: RecentPopularity | None) -> dict[str, tuple[Source, Ask]]:
    """All lists that the members can bring, by name."""
    asks: dict[str, tuple[Source, Ask]] = {}
    covisitation = members.get(Covisitation.name)
    if isinstance(covisitation, Covisitation):
        for matrix in covisitation.matrices:
            for suffix, events, decay in (("", 10, 0.5), (LAST, 1, 1.0), (ALL, 30, 0.9)):
                ask = partial(covisitation.ask, matrix=matrix, events=events, decay=decay)
                asks[matrix + suffix] = (Source.COVISITATION, ask)
    neighbours = members.get(SessionNeighbours.name)
    if isinstance(neighbours, SessionNeighbours):
        asks["neighbours"] = (Source.SESSION_NEIGHBOURS, neighbours.recommend)
        if popularity:
            asks[NEARBY] = (Source.SESSION_NEIGHBOURS, partial(popularity.nearby, neighbours.recommend))
    if popularity:
        asks |= {OF_DAY: (Source.TOP_SELLERS, popularity.of_day), OF_HOUR: (Source.TOP_SELLERS, popularity.of_hour)}
    for kind in (Item2vec, LogBilinear, BoughtTogether, TopSellers):
        member = members.get(kind.name)
        if isinstance(member, kind):
            asks[kind.name] = (kind.source, member.recommend)
    return asks
