"""The result of an evaluation, as it is kept with a version and shown in tables."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator

from nextcart.types import Mode

Protocol = Literal["next_event"]

METRICS = ("recall", "hit_rate", "ndcg", "map", "mrr", "recall_repeat", "recall_new", "coverage")
"""The figures of each model and mode, all at the cut-off ``k``."""


class Evaluation(BaseModel):
    """Metrics of each model and mode on one split; every session of the split is in the denominator.

    Attributes:
        protocol: how targets were chosen.
        split: the part of the event store that was replayed.
        k: cut-off of every metric.
        history_events: most events that the models were shown.
        sessions: sessions in the denominator.
        single_event_share: share of sessions of one event: nothing is shown, the answer is top sellers.
        repeat_share: share of targets that repeat an item of their session's earlier events.
        unknown_share: share of targets outside the catalogue, which no model can hit.
        limited: whether only some sessions, evenly spaced, were replayed, for a quick look.
        data_fingerprint: fingerprint of the event store that was replayed.
        created_at: UTC.
        cpu_seconds: CPU time that all models and modes took together; they share what they look for.
        metrics: metrics[model][mode][metric]; None is a mean over no session, such as the recall of repeats where no
            target is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: Protocol = "next_event"
    split: str
    k: int
    history_events: int
    sessions: int
    single_event_share: float
    repeat_share: float
    unknown_share: float
    limited: bool = False
    data_fingerprint: str
    created_at: datetime
    cpu_seconds: float
    metrics: dict[str, dict[Mode, dict[str, float | None]]]

    @field_validator("cpu_seconds", mode="before")
    @classmethod
    def _total(cls, value: object) -> object:
        """Evaluations once told the time of each model and mode."""
        if isinstance(value, dict):
            return sum(seconds for modes in value.values() for seconds in modes.values())
        return value
