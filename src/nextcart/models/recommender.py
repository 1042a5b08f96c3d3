"""The one scoring path: retrieve, merge, filter, fill. Evaluation, batch files, `inspect` and HTTP all use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast

import numpy as np

from nextcart.config import ModelsConfig
from nextcart.errors import InputError
from nextcart.kernels.fusion import any_short, backfill, fallback_reasons, fill_from_allowed
from nextcart.kernels.scoring import join_lists
from nextcart.models.arranging import Wishes, arranged
from nextcart.models.bought_together import BoughtTogether
from nextcart.models.covisitation import MAIN, Covisitation
from nextcart.models.explanation import events_behind
from nextcart.models.fitting import AnyModel, Keep, fit_anew, fit_models, load_models
from nextcart.models.hybrid import Hybrid
from nextcart.models.item2vec import Item2vec
from nextcart.models.model import FitOptions, Query, TrainingArrays
from nextcart.models.neighbour_lists import NeighbourLists
from nextcart.models.permits import NO_LISTS, past_blocked, permits
from nextcart.models.ranker import Ranker
from nextcart.models.rules import NO_RULES, RowRules
from nextcart.models.shared import Shared
from nextcart.models.top_sellers import TopSellers
from nextcart.models.vocabulary import Vocabulary
from nextcart.models.warming import warm
from nextcart.types import DEFAULT_MODELS, Int32s, ItemLists, Mode, Objective, Ranked, SessionBatch, Source, UInt8s

FALLBACKS = (None, "empty_session", "unknown_items", "no_candidates")
"""Why a list is top sellers only, by the number in ``Answer.fallback``."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Recommendations for a batch of sessions.

    Attributes:
        ranked: the lists, filled with top sellers where the model had fewer than k items.
        fallback: uint8, shape (n_sessions,), index into `FALLBACKS`; not 0: the list is top sellers only, and why.
    """

    ranked: Ranked
    fallback: UInt8s


class Recommender:
    """A catalogue and the models fitted on it; immutable, and safe to ask from many threads.

    Attributes:
        vocabulary: item ids to rows and back.
        models: fitted models by name; top sellers are always among them.
        default_model: the first of `DEFAULT_MODELS` among them, used where none is named.
    """

    def __init__(self, vocabulary: Vocabulary, models: Mapping[str, AnyModel]) -> None:
        self.vocabulary = vocabulary
        self.models = dict(models)
        self._top_sellers = cast(TopSellers, self.models[TopSellers.name])
        self.default_model = next(name for name in DEFAULT_MODELS if name in self.models)

    @classmethod
    def fit(
        cls,
        vocabulary: Vocabulary,
        arrays: TrainingArrays,
        config: ModelsConfig,
        options: FitOptions,
        only: Iterable[str] | None = None,
        timed: Callable[[str], AbstractContextManager[object]] = nullcontext,
        keep: Keep = fit_anew,
    ) -> Recommender:
        """Fit all models, or top sellers and those named; ``timed(name)`` is entered around each fit.

        Args:
            vocabulary: the catalogue.
            arrays: what is learned from.
            config: the models' definitions.
            options: the circumstances.
            only: names of models; None fits all.
            timed: measures a fit.
            keep: may keep what a fit gives, and give back what was kept instead.

        Raises:
            InputError: a name is no model, or a ranker is named and the events are too few for one.
        """
        return cls(vocabulary, fit_models(arrays, config, options, only, timed, keep))

    def recommend(
        self,
        sessions: SessionBatch,
        k: int,
        *,
        model: str | None = None,
        objective: Objective = "clicks",
        mode: Mode = "next",
        exclude: ItemLists | None = None,
        allow: ItemLists | None = None,
        shared: Shared | None = None,
        rules: RowRules | None = None,
        min_score: float | None = None,
        max_per_neighbourhood: int | None = None,
    ) -> Answer:
        """The best ``k`` items for each session.

        Args:
            sessions: what happened so far, rows from `vocabulary`.
            k: length of each list; shorter only where the top sellers, or the allowed items, run out.
            model: a name of `models`; None takes `default_model`.
            objective: what the items are for; picks the top sellers that fill a list.
            mode: "next" may return items of the session, "discover" never does.
            exclude: rows that must not come, a list a session.
            allow: rows that alone may come, ascending, a list a session; None allows all.
            shared: of `share`, where several models or modes are asked about these sessions; answers stay the same.
            rules: of the shop: blocked items never come, pinned ones stand in their places, boosts change the order.
            min_score: items that score less do not come, and nothing takes their places; what fills a list scores 0
                or less. Pinned items come all the same.
            max_per_neighbourhood: so many items at most that are near one another, see `thin_out`; lists stay filled.

        Raises:
            InputError: the version has no such model, or none that tells what is near.
        """
        chosen = self.model(model)
        banned = exclude
        if mode == "discover":
            extra = NO_LISTS if exclude is None else (exclude.offsets, exclude.items)
            banned = ItemLists(*join_lists(sessions.offsets, sessions.items, *extra))
        blocked = None if rules is None else rules.blocked
        if blocked is not None and allow is not None:
            allow, blocked = blocked.out_of(allow), None
        query = Query(sessions, k, banned, allow, shared, objective, blocked)
        top_list = self._top_sellers.list_for(objective)
        if rules is None and min_score is None and max_per_neighbourhood is None:
            ranked = found = self._list(query, chosen, top_list)
        else:
            wishes = self._wishes(rules, min_score, max_per_neighbourhood)
            ranked, found = arranged(query, partial(self._list, chosen=chosen, top_list=top_list), wishes)
        is_fill = chosen is self._top_sellers
        fallback = fallback_reasons(sessions.offsets, sessions.items, found.sources, int(Source.TOP_SELLERS), is_fill)
        return Answer(ranked, fallback)

    def explain(self, sessions: SessionBatch, ranked: Ranked) -> Int32s:
        """Which event of its session brought each item of an answer, shape (n_sessions, k); see `events_behind`."""
        return events_behind(self.models.values(), sessions, ranked)

    def share(self, sessions: SessionBatch, k: int) -> Shared:
        """For asking several models, in both modes, about the same sessions: each then looks for candidates once."""
        hybrid = self.models.get(Hybrid.name)
        factor = hybrid.config.candidates_per_limit if isinstance(hybrid, Hybrid) else 1
        ranker = self.models.get(Ranker.name)
        least = ranker.ranking.config.list_length if isinstance(ranker, Ranker) else 0
        return Shared(max(k * factor, least) + int(np.diff(sessions.offsets).max(initial=0)))

    def model(self, name: str | None) -> AnyModel:
        """The fitted model of that name, or the default one.

        Raises:
            InputError: there is none.
        """
        found = self.models.get(name or self.default_model)
        if found is None:
            raise InputError(f"no model '{name}' in this version; it has {', '.join(self.models)}")
        return found

    def top_sellers(
        self,
        k: int,
        *,
        objective: Objective | None = None,
        exclude: Int32s | None = None,
        rules: RowRules | None = None,
    ) -> Ranked:
        """The top sellers, overall or for one objective, by the shop's rules; shape (1, k)."""
        query = Query(_one_session(()), k, _one_list(exclude), blocked=None if rules is None else rules.blocked)
        list_of = partial(self._list, chosen=self._top_sellers, top_list=self._top_sellers.list_for(objective))
        return arranged(query, list_of, self._wishes(rules, None, None))[0]

    def similar(
        self,
        row: int,
        k: int,
        *,
        model: Literal["item2vec", "covisitation"] = "item2vec",
        exclude: Int32s | None = None,
        rules: RowRules | None = None,
    ) -> Ranked:
        """Items like the one given, itself left out, with no backfill; shape (1, k). Of the rules, the blocks count."""
        found = self.model(model)
        if not isinstance(found, Item2vec | Covisitation):
            raise InputError(f"model '{model}' knows no similar items; ask item2vec or covisitation")
        others = np.append(exclude if exclude is not None else np.empty(0, np.int32), np.int32(row))
        blocked = None if rules is None else rules.blocked
        return past_blocked(found.similar, Query(_one_session((row,)), k, _one_list(others), blocked=blocked))

    def bought_together(
        self, basket: Int32s, k: int, *, exclude: Int32s | None = None, rules: RowRules | None = None
    ) -> Ranked:
        """Complements of a basket of rows, with no backfill; shape (1, k). Of the rules, the blocks count."""
        found = self.model("bought_together")
        if not isinstance(found, BoughtTogether):
            raise InputError("this version has no bought_together; train it again with all models")
        distinct = np.unique(basket[basket >= 0]).astype(np.int32)
        complement = partial(found.complement, cast(ItemLists, _one_list(distinct)))
        blocked = None if rules is None else rules.blocked
        return past_blocked(complement, Query(_one_session(()), k, _one_list(exclude), blocked=blocked))

    def save(self, folder: Path) -> None:
        """Write the catalogue and every model into subfolders of an existing folder."""
        for name, part in {"vocabulary": self.vocabulary, **self.models}.items():
            (folder / name).mkdir()
            part.save(folder / name)

    @classmethod
    def load(cls, folder: Path) -> Recommender:
        """Read what `save` wrote, memory-mapped.

        Raises:
            ArtifactCorrupt: a file is missing or is not what it should be.
        """
        return cls(Vocabulary.load(folder / "vocabulary"), load_models(folder))

    def warm(self) -> None:
        """Ask every model every kind of question once: compiles the kernels and reads the arrays' pages."""
        warm(self)

    def _list(self, query: Query, chosen: AnyModel, top_list: str) -> Ranked:
        """What a model brings, filled; top sellers are of the given list."""
        if chosen is self._top_sellers:
            ranked = past_blocked(partial(self._top_sellers.top, name=top_list), query)
        elif query.blocked is None or isinstance(chosen, Hybrid | Ranker):
            # These two ask others for candidates, who look further out where some of them are blocked.
            ranked = chosen.recommend(query)
        else:
            ranked = past_blocked(chosen.recommend, query)
        self._fill(ranked, query, top_list)
        return ranked

    def _fill(self, ranked: Ranked, query: Query, top_list: str) -> None:
        """Fill short lists in place: from the objective's top sellers, the overall ones, then any allowed item."""
        if not any_short(ranked.items):
            return
        wider = Query(query.sessions, 2 * query.k, query.banned, query.allowed, blocked=query.blocked)
        for name in dict.fromkeys((top_list, "overall")):
            fill = past_blocked(partial(self._top_sellers.top, name=name), wider).items
            backfill(ranked.items, ranked.scores, ranked.sources, fill, int(Source.TOP_SELLERS))
        if query.allowed is not None:
            # Top sellers end somewhere; what a shop allows, such as one shelf, may lie past their end.
            bit = int(Source.TOP_SELLERS)
            fill_from_allowed(ranked.items, ranked.scores, ranked.sources, bit, *permits(query))

    def _wishes(self, rules: RowRules | None, min_score: float | None, most: int | None) -> Wishes:
        """What lists must be like."""
        return Wishes(rules or NO_RULES, min_score, most, None if most is None else self._nearness())

    def _nearness(self) -> NeighbourLists:
        """By which items are near one another."""
        item2vec, covisitation = self.models.get(Item2vec.name), self.models.get(Covisitation.name)
        if isinstance(item2vec, Item2vec):
            return item2vec.neighbours
        if isinstance(covisitation, Covisitation):
            return covisitation.matrices[MAIN]
        raise InputError("this version cannot tell which items are near one another; train item2vec or covisitation")


def _one_session(rows: tuple[int, ...]) -> SessionBatch:
    """A session of clicks on the given rows, all at one time."""
    n = len(rows)
    return SessionBatch(
        np.array([0, n], np.int64), np.array(rows, np.int32), np.zeros(n, np.int64), np.zeros(n, np.uint8)
    )


def _one_list(rows: Int32s | None) -> ItemLists | None:
    """One list, as a batch of one session takes it."""
    return None if rows is None else ItemLists(np.array([0, len(rows)], np.int64), rows)
