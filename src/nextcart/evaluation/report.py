"""The result of an evaluation, as it is kept with a version and shown in tables."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, field_validator

from nextcart.evaluation.bootstrap import Interval
from nextcart.types import Mode

Protocol = Literal["next_event", "next_click", "multi_objective", "basket_completion", "next_period"]
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

METRICS = ("recall", "hit_rate", "ndcg", "map", "mrr", "recall_repeat", "recall_new", "coverage")
"""The figures of each model and mode by `next_event` that tables show, all at the cut-off ``k``."""


class KeptSums(BaseModel):
    """What the array beside an evaluation holds: float32, shape (n_asked, n_sessions, 2 * n_figures).

    Session by session the numerators of the figures, then their denominators; a session that poses no question has a
    denominator of 0.

    Attributes:
        asked: models and modes, in the order of the first axis.
        figures: names of the figures.
        sha256: of the file; empty as long as it is not written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    asked: tuple[tuple[str, Mode], ...]
    figures: tuple[str, ...]
    sha256: str = ""


class Evaluation(BaseModel):
    """Figures of each model and mode on one split; every session that poses a question is in the denominator.

    A figure is named by its metric and, after "_", the slice of targets that it is of: `repeat` and `new` (the target
    stands, or does not stand, earlier in its session), `head`, `middle` and `tail` (the most popular items that hold a
    third of the training events, the next third, the rest), `young` and `old` (first seen in the last days of training,
    or before), `after_1`, `after_2_4`, `after_5_9`, `after_10` (events before the question). By `multi_objective` the
    type comes first: `carts_recall_new`. Of the lists: `coverage` (share of the catalogue in at least one list),
    `top1pct_share` (share of list places taken by the 1 % of items with most training events), `gini` (of how often
    each item is shown: 0 all alike, 1 one alone).

    Attributes:
        protocol: how targets were chosen, see the modules of `nextcart.evaluation.protocols`.
        split: the part of the event store that was replayed.
        k: cut-off of every metric.
        history_events: most events that the models were shown.
        sessions: sessions in the denominator.
        single_event_share: by `next_event`, share of sessions of one event: nothing is shown, top sellers answer.
        repeat_share: share of targets that repeat an item of their session's earlier events.
        unknown_share: by `next_event`, share of targets outside the catalogue, which no model can hit; by
            `next_period`, of the events; by the others, share of events that were dropped since their items are.
        limited: whether only some sessions, evenly spaced, were replayed, for a quick look.
        data_fingerprint: fingerprint of the event store that was replayed.
        created_at: UTC.
        cpu_seconds: CPU time that all models and modes took together; they share what they look for.
        metrics: metrics[model][mode][figure]; None is a mean over no target, such as the recall of repeats where no
            target is one. By `next_period` the models are the decays that were tried.
        intervals: of the same figures but `coverage` and `gini`, which a resample of fewer distinct sessions would
            always lower: the middle 95 % over resampled sessions.
        possible: what each figure was divided by, most often the number of its targets. Recall counts no more of a
            question's targets than a list has places, so that a slice's may be more together than those of all.
        rounds: resamples of the intervals; 0 in evaluations of before there were intervals.
        seed: of the resamples, and of what a protocol draws.
        best: by `next_period`, the decay whose `mean@20/week` is the highest.
        kept: what the array beside this evaluation holds, for `nextcart compare`; None where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: Protocol = "next_event"
    split: str
    k: int
    history_events: int
    sessions: int
    single_event_share: float | None = None
    repeat_share: float
    unknown_share: float
    limited: bool = False
    data_fingerprint: str
    created_at: datetime
    cpu_seconds: float
    metrics: dict[str, dict[Mode, dict[str, float | None]]]
    intervals: dict[str, dict[Mode, dict[str, Interval | None]]] = {}
    possible: dict[str, float] = {}
    rounds: int = 0
    seed: int | None = None
    best: str | None = None
    kept: KeptSums | None = None

    @field_validator("cpu_seconds", mode="before")
    @classmethod
    def _total(cls, value: object) -> object:
        """Evaluations once told the time of each model and mode."""
        if isinstance(value, dict):
            return sum(seconds for modes in value.values() for seconds in modes.values())
        return value
