"""Asking a recommender the questions of a protocol, in batches, through the path that serves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from nextcart.config import EvaluationConfig
from nextcart.errors import InputError
from nextcart.evaluation.bootstrap import estimate, interval
from nextcart.evaluation.cutting import sample_sessions
from nextcart.evaluation.periods import period_sums
from nextcart.evaluation.plans import Plan, plan
from nextcart.evaluation.protocols import next_period
from nextcart.evaluation.report import Evaluation, KeptSums, Protocol
from nextcart.evaluation.slices import SLICES, ItemKinds
from nextcart.evaluation.sums import (
    TOP_PLACES,
    Asked,
    Sums,
    Table,
    accumulate,
    add_lists,
    add_questions,
    figure_names,
)
from nextcart.models.model import TrainingArrays
from nextcart.models.recommender import Recommender
from nextcart.types import UNKNOWN, Float32s, Mode, Progress, SessionBatch, no_progress

MODES: tuple[Mode, ...] = ("next", "discover")
BATCH_SESSIONS = 4096


@dataclass(frozen=True, slots=True)
class Measured:
    """An evaluation, and what its kept figures are made of.

    Attributes:
        evaluation: the figures.
        sums: float32, see `KeptSums`.
    """

    evaluation: Evaluation
    sums: Float32s


def evaluate(
    recommender: Recommender,
    sessions: SessionBatch,
    config: EvaluationConfig,
    *,
    split: str,
    data_fingerprint: str,
    models: Sequence[str] | None = None,
    modes: Sequence[Mode] = MODES,
    limit: int | None = None,
    threads: int = 2,
    kinds: ItemKinds | None = None,
    progress: Progress = no_progress,
) -> Evaluation:
    """The figures of `replay` by the `next_event` protocol, without what they are made of."""
    measured = replay(
        "next_event",
        recommender,
        sessions,
        config,
        split=split,
        data_fingerprint=data_fingerprint,
        models=models,
        modes=modes,
        limit=limit,
        threads=threads,
        kinds=kinds,
        progress=progress,
    )
    return measured.evaluation.model_copy(update={"kept": None})


def replay(
    protocol: Protocol,
    recommender: Recommender,
    sessions: SessionBatch,
    config: EvaluationConfig,
    *,
    split: str,
    data_fingerprint: str,
    models: Sequence[str] | None = None,
    modes: Sequence[Mode] = MODES,
    limit: int | None = None,
    threads: int = 2,
    arrays: TrainingArrays | None = None,
    kinds: ItemKinds | None = None,
    progress: Progress = no_progress,
) -> Measured:
    """Replay held-out sessions by a protocol for each model and mode.

    Args:
        protocol: how questions are posed, see `nextcart.evaluation.protocols`.
        recommender: fitted on nothing that these sessions hold.
        sessions: held-out sessions, rows of the recommender's vocabulary.
        config: cut-off, lengths of histories, resamples.
        split: name of the part, for the record.
        data_fingerprint: of the store that the sessions came from, for the record.
        models: names to evaluate; None takes all that there are.
        modes: "next" and "discover"; only `next_event` asks in another mode than its own.
        limit: at most so many sessions, evenly spaced.
        threads: work on so many batches at a time; the figures do not depend on it.
        arrays: what the recommender was fitted on; `next_period` needs them.
        kinds: where popularity and age part the catalogue; None parts it by popularity alone.
        progress: told of sessions done, each by all models and modes.

    Raises:
        InputError: the recommender lacks a model that is named, or `next_period` lacks the arrays.
    """
    began = time.process_time()
    sample = sample_sessions(sessions, limit)
    names = list(dict.fromkeys(models or recommender.models))
    for name in names:
        recommender.model(name)
    if protocol == "next_period":
        if arrays is None:
            raise InputError("next_period needs the events that the version was trained on; train again, then evaluate")
        kept, history_events = next_period.KEPT, 0
        sums = period_sums(
            recommender, arrays, sample, config, threads=threads, batch=BATCH_SESSIONS, progress=progress
        )
    else:
        made = plan(protocol, recommender, sample, config, names, list(dict.fromkeys(modes)))
        kept, history_events = made.kept, made.history_events
        sums = _asked_sums(made, recommender, config, kinds, threads=threads, progress=progress)
    unknown = sample.items == UNKNOWN
    if protocol == "next_event":
        unknown = unknown[sample.offsets[1:] - 1]
    metrics, intervals = _figures(sums)
    asks = sums.kept[:1, :, len(kept) :].any(axis=(0, 2))
    possible = {name: value for name, value in next(iter(sums.possible.values())).items() if name != TOP_PLACES}
    evaluation = Evaluation(
        protocol=protocol,
        split=split,
        k=config.k,
        history_events=history_events,
        sessions=int(asks.sum()),
        single_event_share=_share(np.diff(sample.offsets) == 1) if protocol == "next_event" else None,
        repeat_share=_repeat_share(possible),
        unknown_share=_share(unknown),
        limited=limit is not None and limit < len(sessions),
        data_fingerprint=data_fingerprint,
        created_at=datetime.now(UTC),
        cpu_seconds=round(time.process_time() - began, 4),
        metrics=metrics,
        intervals=intervals,
        possible=possible,
        rounds=config.rounds,
        seed=config.seed,
        best=next_period.best(metrics) if protocol == "next_period" else None,
        kept=KeptSums(asked=tuple(sums.values), figures=kept),
    )
    return Measured(evaluation, sums.kept)


def _asked_sums(
    made: Plan,
    recommender: Recommender,
    config: EvaluationConfig,
    kinds: ItemKinds | None,
    *,
    threads: int,
    progress: Progress,
) -> Sums:
    """Ask every model and mode every question of a plan."""
    n_items = len(recommender.vocabulary)
    kinds = kinds or ItemKinds.of(recommender.vocabulary.counts)
    slices = [name for name in SLICES if kinds.young is not None or name not in ("young", "old")]
    columns = [figure_names(made.metrics, slices, group.name) for group in made.groups]
    figures = [name for group in columns for name in group] + [TOP_PLACES]
    starts = np.cumsum([0, *map(len, columns)]).tolist()

    def measure(first: int, stop: int) -> dict[Asked, Table]:
        tables = {each: Table.zeros(stop - first, len(figures)) for each in made.asked}
        for group, column in zip(made.groups, starts, strict=False):
            for questions in group.questions(first, stop):
                if not len(questions):
                    continue
                parts = kinds.slices(questions)
                shared = recommender.share(questions.history, config.k)
                for each, table in tables.items():
                    items = group.ask(questions, each, shared)
                    add_questions(table, questions, items, made.metrics, parts, column)
                    add_lists(table, questions, items, n_items, len(figures) - 1)
        return tables

    sums = accumulate(
        measure,
        made.n_sessions,
        made.asked,
        figures,
        made.kept,
        n_items=n_items,
        rounds=config.rounds,
        seed=config.seed,
        batch=BATCH_SESSIONS,
        threads=threads,
        progress=progress,
        stage="evaluating" if made.protocol == "next_event" else f"evaluating {made.protocol}",
    )
    if made.derive is not None:
        made.derive(sums.values)
    return sums


Figures = dict[str, dict[Mode, dict[str, float | None]]]
Intervals = dict[str, dict[Mode, dict[str, tuple[float, float] | None]]]


def _figures(sums: Sums) -> tuple[Figures, Intervals]:
    """Every figure with its interval, and without one what a resample would bend."""
    metrics: Figures = {}
    intervals: Intervals = {}
    for (model, mode), values in sums.values.items():
        shown = sums.shown.get((model, mode))
        found = {name: estimate(value) for name, value in values.items()}
        if shown is not None:
            gini = shown.gini()
            found |= {"coverage": round(shown.coverage(), 6), "gini": None if gini is None else round(gini, 6)}
        metrics.setdefault(model, {})[mode] = found
        intervals.setdefault(model, {})[mode] = {name: interval(value) for name, value in values.items()}
    return metrics, intervals


def _repeat_share(possible: dict[str, float]) -> float:
    """Share of the targets that repeat, of all groups together."""
    whole = sum(value for name, value in possible.items() if name.endswith("recall"))
    repeats = sum(value for name, value in possible.items() if name.endswith("recall_repeat"))
    return round(repeats / whole, 6) if whole else 0.0


def _share(flags: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    return round(float(flags.mean()), 6) if len(flags) else 0.0
