"""The one scoring path: retrieve, merge, filter, fill. Evaluation, batch files, `inspect` and HTTP all use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast

import numpy as np
from pydantic import ValidationError

from nextcart.config import ModelsConfig, RankerConfig
from nextcart.errors import ArtifactCorrupt, InputError
from nextcart.kernels.fusion import backfill, fallback_reasons, fill_from_allowed
from nextcart.kernels.scoring import join_lists
from nextcart.models.bought_together import BoughtTogether
from nextcart.models.candidates import SOURCES, SourceModel, models_of
from nextcart.models.covisitation import Covisitation
from nextcart.models.hybrid import Hybrid
from nextcart.models.item2vec import Item2vec
from nextcart.models.model import FitOptions, Query, TrainingArrays
from nextcart.models.permits import NO_LISTS, permits
from nextcart.models.ranker import Ranker, Ranking
from nextcart.models.ranker_training import fit_ranking
from nextcart.models.shared import Shared
from nextcart.models.top_sellers import TopSellers
from nextcart.models.vocabulary import Vocabulary
from nextcart.types import Int32s, ItemLists, Mode, Objective, Ranked, SessionBatch, Source, UInt8s

FALLBACKS = (None, "empty_session", "unknown_items", "no_candidates")
"""Why a list is top sellers only, by the number in ``Answer.fallback``."""

MODEL_NAMES = (
    "top_sellers",
    "covisitation",
    "bought_together",
    "item2vec",
    "session_neighbours",
    "hybrid",
    "ranker",
)
"""In the order of fitting."""

PAGE_BYTES = 4096
BEST_FIRST = ("ranker", "session_neighbours", "hybrid", "covisitation", "item2vec", "bought_together", "top_sellers")

FittedModel = SourceModel | Ranking
AnyModel = SourceModel | Hybrid | Ranker
Keep = Callable[[type[FittedModel], Callable[[], FittedModel]], FittedModel]
"""Gives a kind's fitted model: by the call that fits it, or from where it was kept."""


def _fit_anew(_: type[FittedModel], fit: Callable[[], FittedModel]) -> FittedModel:
    return fit()


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
        default_model: the best of them, used where none is named.
    """

    def __init__(self, vocabulary: Vocabulary, models: Mapping[str, AnyModel]) -> None:
        self.vocabulary = vocabulary
        self.models = dict(models)
        self._top_sellers = cast(TopSellers, self.models[TopSellers.name])
        self.default_model = next(name for name in BEST_FIRST if name in self.models)

    @classmethod
    def fit(
        cls,
        vocabulary: Vocabulary,
        arrays: TrainingArrays,
        config: ModelsConfig,
        options: FitOptions,
        only: Iterable[str] | None = None,
        timed: Callable[[str], AbstractContextManager[object]] = nullcontext,
        keep: Keep = _fit_anew,
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
        wanted = _wanted(only, config.ranker)
        fitted: dict[str, AnyModel] = {}
        for kind in SOURCES:
            if kind.name in wanted:
                with timed(kind.name):
                    fit = partial(kind.fit, arrays, getattr(config, kind.name), options)
                    fitted[kind.name] = cast(SourceModel, keep(kind, fit))
        if Hybrid.name in wanted:
            fitted[Hybrid.name] = Hybrid(config.hybrid, *_members(fitted))
        if Ranker.name in wanted:
            with timed(Ranker.name):
                ranking = cast(Ranking, keep(Ranking, partial(fit_ranking, arrays, config, options)))
            if ranking.forests:
                fitted[Ranker.name] = Ranker(ranking, _sources(fitted))
            elif only is not None:
                raise InputError(
                    f"the events pose fewer than {config.ranker.min_questions} questions, too few for a ranker; train "
                    "other models by --only, or lower models.ranker.min_questions"
                )
            else:
                options.progress("ranker, left out for want of sessions to learn from", 1, 1)
        return cls(vocabulary, fitted)

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

        Raises:
            InputError: the version has no such model.
        """
        chosen = self.model(model)
        banned = exclude
        if mode == "discover":
            extra = NO_LISTS if exclude is None else (exclude.offsets, exclude.items)
            banned = ItemLists(*join_lists(sessions.offsets, sessions.items, *extra))
        query = Query(sessions, k, banned, allow, shared, objective)
        top_list = self._top_sellers.list_for(objective)
        is_fill = chosen is self._top_sellers
        ranked = self._top_sellers.top(query, top_list) if is_fill else chosen.recommend(query)
        self._fill(ranked, query, top_list)
        fallback = fallback_reasons(sessions.offsets, sessions.items, ranked.sources, int(Source.TOP_SELLERS), is_fill)
        return Answer(ranked, fallback)

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

    def top_sellers(self, k: int, *, objective: Objective | None = None, exclude: Int32s | None = None) -> Ranked:
        """The top sellers, overall or for one objective; shape (1, k)."""
        query = Query(_one_session(()), k, _one_list(exclude))
        ranked = self._top_sellers.top(query, self._top_sellers.list_for(objective))
        self._fill(ranked, query, "overall")
        return ranked

    def similar(
        self,
        row: int,
        k: int,
        *,
        model: Literal["item2vec", "covisitation"] = "item2vec",
        exclude: Int32s | None = None,
    ) -> Ranked:
        """Items like the one given, itself left out, with no backfill; shape (1, k)."""
        found = self.model(model)
        if not isinstance(found, Item2vec | Covisitation):
            raise InputError(f"model '{model}' knows no similar items; ask item2vec or covisitation")
        others = np.append(exclude if exclude is not None else np.empty(0, np.int32), np.int32(row))
        return found.similar(Query(_one_session((row,)), k, _one_list(others)))

    def bought_together(self, basket: Int32s, k: int, *, exclude: Int32s | None = None) -> Ranked:
        """Complements of a basket of rows, with no backfill; shape (1, k)."""
        found = self.model("bought_together")
        if not isinstance(found, BoughtTogether):
            raise InputError("this version has no bought_together; train it again with all models")
        distinct = np.unique(basket[basket >= 0]).astype(np.int32)
        return found.complement(cast(ItemLists, _one_list(distinct)), Query(_one_session(()), k, _one_list(exclude)))

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
        wanted = _with_members({name for name in MODEL_NAMES if (folder / name).is_dir()})
        models: dict[str, AnyModel] = {}
        try:
            for kind in SOURCES:
                if kind.name in wanted:
                    models[kind.name] = kind.load(folder / kind.name)
            if Hybrid.name in wanted:
                models[Hybrid.name] = Hybrid.load(folder / Hybrid.name, *_members(models))
            if Ranker.name in wanted:
                models[Ranker.name] = Ranker(Ranking.load(folder / Ranker.name), _sources(models))
        except ValidationError as error:
            key = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise ArtifactCorrupt(f"{folder}: unknown setting '{key}'; use the nextcart that wrote it") from None
        return cls(Vocabulary.load(folder / "vocabulary"), models)

    def warm(self) -> None:
        """Ask every model every kind of question once: compiles the kernels and reads the arrays' pages."""
        for part in (self.vocabulary, *self.models.values()):
            for array in part.arrays().values():
                array.view(np.uint8).reshape(-1)[::PAGE_BYTES].sum()
        n = min(2, len(self.vocabulary))
        rows = np.arange(n, dtype=np.int32)
        sessions = SessionBatch(np.array([0, n], np.int64), rows, np.arange(n, dtype=np.int64), np.zeros(n, np.uint8))
        lists = _one_list(rows)
        for name in self.models:
            for allow in (None, lists):
                self.recommend(sessions, 2, model=name, mode="discover", exclude=lists, allow=allow)
        for name in ("item2vec", "covisitation"):
            if name in self.models and n:
                self.similar(0, 2, model=cast(Literal["item2vec", "covisitation"], name))
        if BoughtTogether.name in self.models:
            self.bought_together(rows, 2)

    def _fill(self, ranked: Ranked, query: Query, top_list: str) -> None:
        """Fill short lists in place: from the objective's top sellers, the overall ones, then any allowed item."""
        if (ranked.items[:, -1] >= 0).all():
            return
        wider = Query(query.sessions, 2 * query.k, query.banned, query.allowed)
        for name in dict.fromkeys((top_list, "overall")):
            fill = self._top_sellers.top(wider, name).items
            backfill(ranked.items, ranked.scores, ranked.sources, fill, int(Source.TOP_SELLERS))
        if query.allowed is not None:
            # Top sellers end somewhere; what a shop allows, such as one shelf, may lie past their end.
            bit = int(Source.TOP_SELLERS)
            fill_from_allowed(ranked.items, ranked.scores, ranked.sources, bit, *permits(query))


def _wanted(only: Iterable[str] | None, ranker: RankerConfig) -> set[str]:
    """The models to fit: top sellers are under everything, a hybrid and a ranker need their members."""
    names = set(MODEL_NAMES) if only is None else set(only)
    unknown = sorted(names - set(MODEL_NAMES))
    if unknown:
        raise InputError(f"no model '{unknown[0]}'; there are {', '.join(MODEL_NAMES)}")
    if Ranker.name in names:
        names |= models_of(ranker)
    return _with_members(names)


def _with_members(names: set[str]) -> set[str]:
    """The names, and those of what nothing can do without: a hybrid's members, and top sellers."""
    members = {Covisitation.name, Item2vec.name} if Hybrid.name in names else set()
    return names | members | {TopSellers.name}


def _members(models: Mapping[str, AnyModel]) -> tuple[Covisitation, Item2vec, TopSellers]:
    """The members of a hybrid, in the order of its weights."""
    return cast(
        tuple[Covisitation, Item2vec, TopSellers],
        tuple(models[kind.name] for kind in (Covisitation, Item2vec, TopSellers)),
    )


def _sources(models: Mapping[str, AnyModel]) -> list[SourceModel]:
    """The models that bring candidates of their own."""
    return [model for model in models.values() if isinstance(model, SOURCES)]


def _one_session(rows: tuple[int, ...]) -> SessionBatch:
    """A session of clicks on the given rows, all at one time."""
    n = len(rows)
    return SessionBatch(
        np.array([0, n], np.int64), np.array(rows, np.int32), np.zeros(n, np.int64), np.zeros(n, np.uint8)
    )


def _one_list(rows: Int32s | None) -> ItemLists | None:
    """One list, as a batch of one session takes it."""
    return None if rows is None else ItemLists(np.array([0, len(rows)], np.int64), rows)
