"""Fitting and loading the models of a version, those first that others are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from nextcart.config import ModelsConfig, RankerConfig
from nextcart.errors import ArtifactCorrupt, InputError
from nextcart.models.candidates import SOURCES, SourceModel, models_of
from nextcart.models.covisitation import Covisitation
from nextcart.models.hybrid import Hybrid
from nextcart.models.item2vec import Item2vec
from nextcart.models.model import FitOptions, TrainingArrays
from nextcart.models.ranker import Ranker, Ranking
from nextcart.models.ranker_training import fit_ranking
from nextcart.models.top_sellers import TopSellers

MODEL_NAMES = (
    "top_sellers",
    "covisitation",
    "bought_together",
    "item2vec",
    "log_bilinear",
    "session_neighbours",
    "hybrid",
    "ranker",
)
"""Those first that others are made of."""

FittedModel = SourceModel | Ranking
AnyModel = SourceModel | Hybrid | Ranker
Keep = Callable[[type[FittedModel], Callable[[], FittedModel]], FittedModel]
"""Gives a kind's fitted model: by the call that fits it, or from where it was kept."""


def fit_anew(_: type[FittedModel], fit: Callable[[], FittedModel]) -> FittedModel:
    """A `Keep` that keeps nothing."""
    return fit()


def fit_models(
    arrays: TrainingArrays,
    config: ModelsConfig,
    options: FitOptions,
    only: Iterable[str] | None,
    timed: Callable[[str], AbstractContextManager[object]],
    keep: Keep,
) -> dict[str, AnyModel]:
    """The models by name; arguments and errors as of `Recommender.fit`."""
    wanted = _wanted(only, config.ranker)
    fitted: dict[str, AnyModel] = {}
    # First, so that the sources of the past are gone before those of all events come: memory holds one of both.
    ranking = _ranking(arrays, config, options, only, timed, keep) if Ranker.name in wanted else None
    for kind in SOURCES:
        if kind.name in wanted:
            with timed(kind.name):
                fit = partial(kind.fit, arrays, getattr(config, kind.name), options)
                fitted[kind.name] = cast(SourceModel, keep(kind, fit))
    if Hybrid.name in wanted:
        fitted[Hybrid.name] = Hybrid(config.hybrid, *_members(fitted))
    if ranking:
        fitted[Ranker.name] = Ranker(ranking, _sources(fitted))
    return fitted


def _ranking(
    arrays: TrainingArrays,
    config: ModelsConfig,
    options: FitOptions,
    only: Iterable[str] | None,
    timed: Callable[[str], AbstractContextManager[object]],
    keep: Keep,
) -> Ranking | None:
    """What a ranker learns; None where the events are too few for one that was not asked for by name."""
    with timed(Ranker.name):
        ranking = cast(Ranking, keep(Ranking, partial(fit_ranking, arrays, config, options)))
    if ranking.forests:
        return ranking
    if only is not None:
        raise InputError(
            f"the events pose fewer than {config.ranker.min_questions} questions, too few for a ranker; train "
            "other models by --only, or lower models.ranker.min_questions"
        )
    options.progress("ranker, left out for want of sessions to learn from", 1, 1)
    return None


def load_models(folder: Path) -> dict[str, AnyModel]:
    """The models that `Recommender.save` wrote, by name, memory-mapped.

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
    return models


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
