"""Which settings a tuning tries, within which bounds, and how what it found is written down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from nextcart.config import ModelsConfig

Value = bool | int | float | str
Values = dict[str, Value]
"""By path below ``models``, such as ``session_neighbours.query_events``."""

DIGITS = 3


@dataclass(frozen=True, slots=True)
class Number:
    """A setting that is tried between two bounds, both included.

    Attributes:
        path: below ``models``.
        low: the least value; an int where the setting is one.
        high: the greatest.
        log: whether orders of magnitude are tried evenly, or values.
    """

    path: str
    low: float
    high: float
    log: bool = True

    def including(self, value: Value) -> Number:
        """The bounds widened to a value that the configuration already has."""
        there = float(value) if isinstance(self.low, float) else int(value)
        # Zero has no order of magnitude.
        return replace(
            self, low=min(self.low, there), high=max(self.high, there), log=self.log and min(self.low, there) > 0
        )

    def rounded(self, value: Value) -> Value:
        """So many digits as a person would write; within the bounds."""
        if not isinstance(self.low, float):
            return int(value)
        return min(max(float(f"{float(value):.{DIGITS}g}"), self.low), self.high)


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting of which a few values are tried.

    Attributes:
        path: below ``models``.
        values: those that are tried.
    """

    path: str
    values: tuple[Value, ...]

    def including(self, value: Value) -> Choice:
        """The values, and one that the configuration already has."""
        return self if value in self.values else replace(self, values=(*self.values, value))

    def rounded(self, value: Value) -> Value:
        """The value as it is."""
        return value


Parameter = Number | Choice

SPACES: dict[str, tuple[Parameter, ...]] = {
    "session_neighbours": (
        Number("session_neighbours.query_events", 1, 30),
        Number("session_neighbours.position_decay", 0.3, 10.0),
        Number("session_neighbours.recency_days", 1.0, 365.0),
        Number("session_neighbours.neighbours", 50, 2000),
        Number("session_neighbours.item_decay", 0.3, 10.0),
        Number("session_neighbours.before_weight", 0.0, 1.0, log=False),
        Number("session_neighbours.reach_events", 1, 30),
        Number("session_neighbours.sessions_per_item", 100, 5000),
    ),
    "covisitation": (
        Choice("covisitation.direction", ("later", "after", "around")),
        Number("covisitation.last_events", 5, 50),
        Number("covisitation.window_hours", 0.5, 336.0),
        Number("covisitation.decay_per_hour", 0.001, 2.0),
        Number("covisitation.position_decay", 0.3, 1.0, log=False),
        Choice("covisitation.look_back_events", (0, 1, 2, 5, 10)),
        Choice("covisitation.keep_diagonal", (False, True)),
        Choice("covisitation.normalised", (False, True)),
        Number("covisitation.query_events", 1, 30),
        Number("covisitation.query_decay", 0.2, 1.0, log=False),
    ),
    "log_bilinear": (
        Choice("log_bilinear.dim", (32, 64, 96, 128)),
        Number("log_bilinear.context_events", 2, 20),
        Number("log_bilinear.epochs", 3, 30),
        Number("log_bilinear.learning_rate", 0.02, 0.2),
        Number("log_bilinear.dropout", 0.0, 0.6, log=False),
        Number("log_bilinear.negative_power", 0.3, 1.0, log=False),
        Number("log_bilinear.half_weight_share", 0.02, 2.0),
        Number("log_bilinear.purchase_weight", 0.1, 1.0, log=False),
        Number("log_bilinear.query_events", 1, 20),
    ),
    "hybrid": (
        Number("hybrid.covisitation", 0.0, 1.0, log=False),
        Number("hybrid.item2vec", 0.0, 1.0, log=False),
        Number("hybrid.top_sellers", 0.0, 0.5, log=False),
    ),
    "ranker": (
        Number("ranker.learning_rate", 0.03, 0.3),
        Number("ranker.depth", 3, 8),
        Number("ranker.leaves", 7, 63),
        Number("ranker.min_leaf_rows", 10, 800),
        Number("ranker.l2", 0.1, 100.0),
        Number("ranker.feature_share", 0.2, 1.0, log=False),
        Number("ranker.negatives", 15, 100),
        Number("ranker.folds", 1, 4, log=False),
        Choice("ranker.loss", ("lambdarank", "binary")),
        Number("covisitation.matrices.next.position_decay", 0.3, 1.0, log=False),
        Number("covisitation.matrices.around.position_decay", 0.3, 1.0, log=False),
    ),
}
"""By model; settings of sources that count for the ranker alone are tried with it."""


def space_of(model: str, config: ModelsConfig) -> tuple[Parameter, ...]:
    """What is tried of a model: what the configuration has, its own values within the bounds."""
    found = ((parameter, _find(config, parameter.path)) for parameter in SPACES[model])
    return tuple(parameter.including(value) for parameter, value in found if value is not None)


def values_in(space: Iterable[Parameter], config: ModelsConfig) -> Values:
    """The configuration's own values."""
    return {parameter.path: _find(config, parameter.path) for parameter in space}


def with_values(config: ModelsConfig, values: Mapping[str, Value]) -> ModelsConfig:
    """The configuration with other values, validated."""
    for path, value in values.items():
        config = _changed(config, path.split("."), value)
    return config


def as_toml(values: Mapping[str, Value]) -> str:
    """The settings as a part of ``nextcart.toml``."""
    sections: dict[str, list[str]] = {}
    for path, value in values.items():
        section, _, name = path.rpartition(".")
        sections.setdefault(section, []).append(f"{name} = {json.dumps(value)}")
    return "\n\n".join(f"[models.{name}]\n" + "\n".join(lines) for name, lines in sections.items())


def _find(config: ModelsConfig, path: str) -> Any:
    found: Any = config
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else getattr(found, name, None)
    return found


def _changed(section: Any, path: list[str], value: Value) -> Any:
    name, *rest = path
    if isinstance(section, BaseModel):
        fields = {field: getattr(section, field) for field in type(section).model_fields}
        inner = _changed(fields[name], rest, value) if rest else value
        return type(section).model_validate(fields | {name: inner})
    return section | {name: _changed(section[name], rest, value)}
