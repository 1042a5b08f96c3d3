"""Learning a ranking from what the sources would have said of later sessions, had they known the past alone."""

from __future__ import annotations

import os
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextcart.config import ModelsConfig, RankerConfig
from nextcart.errors import RunFailed
from nextcart.kernels.item_columns import item_columns
from nextcart.models.candidates import Retrieval, fit_sources, popularity_of
from nextcart.models.examples import Asked, Examples, Fold, cuts_for, examples, fold_at
from nextcart.models.forest import Forest
from nextcart.models.model import FitOptions, TrainingArrays, frozen
from nextcart.models.ranker import Ranking, importance_of
from nextcart.types import TYPE_NAMES, EventType, Float32s, Objective, Progress


def fit_ranking(arrays: TrainingArrays, config: ModelsConfig, options: FitOptions) -> Ranking:
    """Fit the sources on the past of each cut, ask them about the sessions after it, and learn which candidates come.

    The ranking then orders what sources fitted on all events bring. It has no forest where the events pose too few
    questions.

    Args:
        arrays: all training events.
        config: the definitions of the sources and of the ranker.
        options: the circumstances.
    """
    ranker = config.ranker
    asked = _asked(arrays)
    found: dict[Objective, list[Examples]] = {objective: [] for objective in asked}
    names: tuple[str, ...] = ()
    cuts = cuts_for(arrays.sessions, ranker)
    for place, (cut, until) in enumerate(zip(cuts, [None, *cuts], strict=False)):
        options.progress("ranker: questions", place, len(cuts))
        inner = replace(options, progress=_within(options.progress, f"ranker, cut {place + 1} of {len(cuts)}"))
        wanted = {name: ranker.max_questions - sum(len(part.groups) for part in found[name]) for name in asked}
        posed, names = _pose(fold_at(arrays, cut, until), config, asked, wanted, inner)
        for objective, part in posed.items():
            found[objective].insert(0, part)
    options.progress("ranker: questions", len(cuts), len(cuts))
    forests: dict[Objective, Forest] = {}
    importance: dict[str, dict[str, float]] = {}
    for place, (objective, parts) in enumerate(found.items()):
        options.progress("ranker: trees", place, len(found))
        if sum(len(part.groups) for part in parts) >= ranker.min_questions:
            forests[objective], gains = grow_trees(Examples.joined(parts), ranker, options)
            importance[objective] = importance_of(names, gains)
    options.progress("ranker: trees", len(found), len(found))
    return Ranking(ranker, forests, columns_of(arrays), names, importance, popularity_of(ranker, arrays))


def _pose(
    fold: Fold, config: ModelsConfig, asked: dict[Objective, Asked], wanted: dict[Objective, int], options: FitOptions
) -> tuple[dict[Objective, Examples], tuple[str, ...]]:
    """At most so many examples an objective of what sources that know the past bring, and the names of the features."""
    ranker, past = config.ranker, fold.past
    members = fit_sources(past, config, options)
    retrieval = Retrieval(ranker, members, columns_of(past), popularity_of(ranker, past))
    posed = {name: examples(fold, retrieval, ranker, asked[name], wanted[name], options.seed) for name in asked}
    return posed, retrieval.feature_names


def _within(progress: Progress, of: str) -> Progress:
    """What tells the stages of a part, each with the name of that part before it."""
    return lambda stage, done, total: progress(f"{of}: {stage}", done, total)


def _asked(arrays: TrainingArrays) -> dict[Objective, Asked]:
    """What questions ask for: the next event, where it is a click; all later carts; all later orders.

    In a log without clicks the next event, whatever it is, stands for the next click.
    """
    asked = {name: Asked(number, next_only=name == "clicks") for number, name in enumerate(TYPE_NAMES)}
    if not (arrays.sessions.types == EventType.CLICKS).any():
        asked["clicks"] = Asked(-1, next_only=True)
    return asked


def columns_of(arrays: TrainingArrays) -> Float32s:
    """The item columns of training events, float32, shape (n_items, n_columns)."""
    sessions = arrays.sessions
    columns: Float32s = frozen(
        item_columns(sessions.offsets, sessions.items, sessions.ts, sessions.types, arrays.n_items)
    )
    return columns


def grow_trees(found: Examples, config: RankerConfig, options: FitOptions) -> tuple[Forest, NDArray[Any]]:
    """The trees as `boosted` grows them, and each feature's gain."""
    booster = boosted(found, config, options)
    return Forest.from_lightgbm(booster), np.asarray(booster.feature_importance("gain"), np.float64)


def boosted(found: Examples, config: RankerConfig, options: FitOptions) -> Any:
    """As many trees as the later part of the examples finds best, then so many from all."""
    lightgbm = load_lightgbm()
    parameters = {
        "objective": config.loss,
        "metric": "ndcg" if config.loss == "lambdarank" else "auc",
        "eval_at": [config.truncation],
        "lambdarank_truncation_level": config.truncation,
        "learning_rate": config.learning_rate,
        "max_depth": config.depth,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_leaf_rows,
        "lambda_l2": config.l2,
        "feature_fraction": config.feature_share,
        "bagging_fraction": config.row_share,
        "bagging_freq": 1,
        "num_threads": 1 if options.deterministic else options.threads,
        "seed": options.seed % 2**31,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    n = len(found.groups)
    first_later = max(1, int(n * (1 - config.stopping_share)))
    early, late = found.part(0, first_later), found.part(first_later, n)
    rounds = config.max_trees
    if len(late.groups):
        train = lightgbm.Dataset(early.features, early.labels, group=early.groups)
        judge = lightgbm.Dataset(late.features, late.labels, group=late.groups, reference=train)
        patience = lightgbm.early_stopping(config.patience, verbose=False)
        stopped = lightgbm.train(parameters, train, rounds, valid_sets=[judge], callbacks=[patience])
        # All of the examples bear a few more trees than a part of them.
        rounds = max(1, round(stopped.best_iteration * n / first_later))
    whole = lightgbm.Dataset(found.features, found.labels, group=found.groups)
    return lightgbm.train(parameters, whole, rounds)


def load_lightgbm() -> ModuleType:
    """LightGBM, whose threads sleep while they wait for one another.

    OpenMP's spin, and where another program runs beside, they keep the cores from the threads that they wait for: trees
    then take more than five times as long. It reads the environment once, as it is loaded.

    Raises:
        RunFailed: OpenMP is not installed.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import lightgbm
    except OSError as error:
        raise RunFailed(f"LightGBM cannot be loaded ({error}); install libgomp1, or train without the ranker") from None
    return lightgbm
