"""The figures of `next_period`: fitting the lists that are tried, and counting what each holds."""

from __future__ import annotations

from typing import cast

from nextcart.config import EvaluationConfig
from nextcart.evaluation.protocols.next_period import FIGURES, KEPT, add_means, fit_lists, held, list_places
from nextcart.evaluation.sums import Asked, Sums, Table, accumulate
from nextcart.models.model import FitOptions, TrainingArrays
from nextcart.models.recommender import Recommender
from nextcart.models.top_sellers import TopSellers
from nextcart.types import Progress, SessionBatch


def period_sums(
    recommender: Recommender,
    arrays: TrainingArrays,
    sessions: SessionBatch,
    config: EvaluationConfig,
    *,
    threads: int,
    batch: int,
    progress: Progress,
) -> Sums:
    """Fit top sellers by each decay and hold them against the sessions of the period after."""
    fitted = cast(TopSellers, recommender.model(TopSellers.name))
    lists = fit_lists(arrays, fitted.config, config.decays_per_day, FitOptions(threads=threads))
    n_items = len(recommender.vocabulary)
    places = {name: list_places(model, n_items) for name, model in lists.items()}
    end_ts = int(arrays.sessions.ts.max(initial=0))
    asked: list[Asked] = [(name, "next") for name in places]

    def measure(first: int, stop: int) -> dict[Asked, Table]:
        part = sessions.slice(first, stop)
        return {(name, "next"): Table(*held(part, each, end_ts)) for name, each in places.items()}

    sums = accumulate(
        measure,
        len(sessions),
        asked,
        FIGURES,
        KEPT,
        n_items=0,
        rounds=config.rounds,
        seed=config.seed,
        batch=batch,
        threads=threads,
        progress=progress,
        stage="evaluating next_period",
    )
    for figures in sums.values.values():
        add_means(figures)
    sums.shown.clear()
    return sums
