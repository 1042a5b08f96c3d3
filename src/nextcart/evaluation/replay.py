"""Asking a recommender the questions of a task, in batches, through the path that serves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from nextcart.config import EvaluationConfig
from nextcart.evaluation.metrics import SESSION_METRICS, find_hits
from nextcart.evaluation.protocols import Task, next_event, sample_sessions
from nextcart.evaluation.report import Evaluation
from nextcart.models.recommender import Recommender
from nextcart.types import ItemLists, Mode, Progress, SessionBatch, no_progress

MODES: tuple[Mode, ...] = ("next", "discover")
BATCH_SESSIONS = 4096


@dataclass(slots=True)
class _Sums:
    """What is added up over batches for one model and mode."""

    shown: NDArray[np.bool_]
    metrics: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SESSION_METRICS, 0.0))
    repeat_hits: float = 0.0
    new_hits: float = 0.0
    cpu_seconds: float = 0.0


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
    progress: Progress = no_progress,
) -> Evaluation:
    """Replay held-out sessions by the `next_event` protocol for each model and mode.

    Args:
        recommender: fitted on nothing that these sessions hold.
        sessions: held-out sessions, rows of the recommender's vocabulary; every one is in the denominator.
        config: cut-off and length of the history.
        split: name of the part, for the record.
        data_fingerprint: of the store that the sessions came from, for the record.
        models: names to evaluate; None takes all that there are.
        modes: "next" and "discover".
        limit: at most so many sessions, evenly spaced.
        progress: told of sessions done over all models and modes.

    Raises:
        InputError: the recommender lacks a model that is named.
    """
    task = next_event(sample_sessions(sessions, limit), config.history_events)
    names = list(dict.fromkeys(models or recommender.models))
    pairs: list[tuple[str, Mode]] = [(name, mode) for name in names for mode in dict.fromkeys(modes)]
    sums = {pair: _Sums(np.zeros(len(recommender.vocabulary), bool)) for pair in pairs}
    total = len(task) * len(pairs)
    for done, (name, mode) in enumerate(pairs):
        for start in range(0, len(task), BATCH_SESSIONS):
            stop = min(start + BATCH_SESSIONS, len(task))
            _replay(recommender, task, start, stop, config.k, name, mode, sums[name, mode])
            progress("evaluating", done * len(task) + stop, total)
    metrics: dict[str, dict[Mode, dict[str, float]]] = {name: {} for name in names}
    cpu_seconds: dict[str, dict[Mode, float]] = {name: {} for name in names}
    for (name, mode), each in sums.items():
        metrics[name][mode] = _means(each, task)
        cpu_seconds[name][mode] = round(each.cpu_seconds, 4)
    return Evaluation(
        split=split,
        k=config.k,
        history_events=config.history_events,
        sessions=len(task),
        single_event_share=_share(np.diff(task.history.offsets) == 0),
        repeat_share=_share(task.repeats),
        unknown_share=_share(task.unknown),
        limited=limit is not None and limit < len(sessions),
        data_fingerprint=data_fingerprint,
        created_at=datetime.now(UTC),
        cpu_seconds=cpu_seconds,
        metrics=metrics,
    )


def _replay(
    recommender: Recommender, task: Task, start: int, stop: int, k: int, model: str, mode: Mode, sums: _Sums
) -> None:
    """Add one batch of sessions to the sums."""
    began = time.process_time()
    items = recommender.recommend(task.history.slice(start, stop), k, model=model, mode=mode).ranked.items
    sums.cpu_seconds += time.process_time() - began
    bounds = task.targets.offsets[start : stop + 1]
    targets = ItemLists(bounds - bounds[0], task.targets.items[bounds[0] : bounds[-1]])
    hits = find_hits(items, targets)
    n_targets = np.diff(targets.offsets)
    for name, metric in SESSION_METRICS.items():
        sums.metrics[name] += float(metric(hits, n_targets).sum())
    found = SESSION_METRICS["recall"](hits, n_targets)
    repeats = task.repeats[start:stop]
    sums.repeat_hits += float(found[repeats].sum())
    sums.new_hits += float(found[~repeats].sum())
    sums.shown[items[items >= 0]] = True


def _means(sums: _Sums, task: Task) -> dict[str, float]:
    """Means over all sessions, over those whose target repeats, and over the others; coverage of the catalogue."""
    n, repeats = len(task), int(task.repeats.sum())
    values = {name: total / max(1, n) for name, total in sums.metrics.items()}
    values["recall_repeat"] = sums.repeat_hits / max(1, repeats)
    values["recall_new"] = sums.new_hits / max(1, n - repeats)
    values["coverage"] = _share(sums.shown)
    return {name: round(value, 6) for name, value in values.items()}


def _share(flags: NDArray[np.bool_]) -> float:
    return round(float(flags.mean()), 6) if len(flags) else 0.0
