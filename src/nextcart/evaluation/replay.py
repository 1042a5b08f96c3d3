"""Asking a recommender the questions of a task, in batches, through the path that serves."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from nextcart.config import EvaluationConfig
from nextcart.evaluation.metrics import SESSION_METRICS, find_hits
from nextcart.evaluation.protocols import Task, next_event, sample_sessions
from nextcart.evaluation.report import Evaluation
from nextcart.models.ann import search_on_one_thread
from nextcart.models.recommender import Recommender
from nextcart.types import Int32s, ItemLists, Mode, Progress, SessionBatch, no_progress

MODES: tuple[Mode, ...] = ("next", "discover")
BATCH_SESSIONS = 4096


Question = tuple[str, Mode]
"""A model and a mode."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What one batch of sessions adds for one model and mode."""

    metrics: dict[str, float]
    repeat_hits: float
    new_hits: float
    shown: Int32s


@dataclass(slots=True)
class _Sums:
    """What is added up over batches for one model and mode."""

    shown: NDArray[np.bool_]
    metrics: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SESSION_METRICS, 0.0))
    repeat_hits: float = 0.0
    new_hits: float = 0.0

    def add(self, part: _Part) -> None:
        for name, value in part.metrics.items():
            self.metrics[name] += value
        self.repeat_hits += part.repeat_hits
        self.new_hits += part.new_hits
        self.shown[part.shown] = True


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
        threads: work on so many batches at a time; the figures do not depend on it.
        progress: told of sessions done, each by all models and modes.

    Raises:
        InputError: the recommender lacks a model that is named.
    """
    began = time.process_time()
    task = next_event(sample_sessions(sessions, limit), config.history_events)
    names = list(dict.fromkeys(models or recommender.models))
    for name in names:
        recommender.model(name)
    asked: list[Question] = [(name, mode) for name in names for mode in dict.fromkeys(modes)]
    sums = {question: _Sums(np.zeros(len(recommender.vocabulary), bool)) for question in asked}
    # The search brings threads of its own, which would fight with these.
    with ThreadPoolExecutor(threads, initializer=search_on_one_thread) as pool:
        starts = range(0, len(task), BATCH_SESSIONS)
        # In the order of the batches, so that sums round alike however the threads ran.
        for start, parts in zip(
            starts, pool.map(lambda start: _replay(recommender, task, start, config.k, asked), starts), strict=True
        ):
            for question, part in parts.items():
                sums[question].add(part)
            progress("evaluating", min(start + BATCH_SESSIONS, len(task)), len(task))
    metrics: dict[str, dict[Mode, dict[str, float | None]]] = {name: {} for name in names}
    for (name, mode), each in sums.items():
        metrics[name][mode] = _means(each, task)
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
        cpu_seconds=round(time.process_time() - began, 4),
        metrics=metrics,
    )


def _replay(
    recommender: Recommender, task: Task, start: int, k: int, asked: Sequence[Question]
) -> dict[Question, _Part]:
    """Ask every model and mode about one batch of sessions."""
    stop = min(start + BATCH_SESSIONS, len(task))
    history = task.history.slice(start, stop)
    bounds = task.targets.offsets[start : stop + 1]
    targets = ItemLists(bounds - bounds[0], task.targets.items[bounds[0] : bounds[-1]])
    n_targets, repeats = np.diff(bounds), task.repeats[start:stop]
    shared = recommender.share(history, k)
    parts = {}
    for model, mode in asked:
        items = recommender.recommend(history, k, model=model, mode=mode, shared=shared).ranked.items
        hits = find_hits(items, targets)
        found = SESSION_METRICS["recall"](hits, n_targets)
        parts[model, mode] = _Part(
            metrics={name: float(metric(hits, n_targets).sum()) for name, metric in SESSION_METRICS.items()},
            repeat_hits=float(found[repeats].sum()),
            new_hits=float(found[~repeats].sum()),
            shown=np.unique(items[items >= 0]),
        )
    return parts


def _means(sums: _Sums, task: Task) -> dict[str, float | None]:
    """Means over all sessions, over those whose target repeats, and over the others; coverage of the catalogue."""
    n, repeats = len(task), int(task.repeats.sum())
    return {
        **{name: _mean(total, max(1, n)) for name, total in sums.metrics.items()},
        "recall_repeat": _mean(sums.repeat_hits, repeats),
        "recall_new": _mean(sums.new_hits, n - repeats),
        "coverage": _share(sums.shown),
    }


def _mean(total: float, n: int) -> float | None:
    return round(total / n, 6) if n else None


def _share(flags: NDArray[np.bool_]) -> float:
    return round(float(flags.mean()), 6) if len(flags) else 0.0
