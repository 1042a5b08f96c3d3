"""Which settings of a version differ from the defaults, as people read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from nextcart.config import EvaluationConfig, ModelsConfig, TrainingConfig

_ABSENT = object()
_CIRCUMSTANCES = {"training.threads"}
"""What decides nothing that is learned."""


def changed_settings(config: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, value and default of each setting of models, training and evaluation that is not the default.

    Args:
        config: all settings of a run, as its manifest keeps them.
    """
    sections = {"models": ModelsConfig(), "training": TrainingConfig(), "evaluation": EvaluationConfig()}
    found = []
    for section, default in sections.items():
        usual = dict(_leaves(section, default.model_dump(mode="json")))
        here = dict(_leaves(section, config.get(section, {})))
        for name in sorted(usual.keys() | here.keys()):
            value, other = here.get(name, _ABSENT), usual.get(name, _ABSENT)
            if value != other and name not in _CIRCUMSTANCES:
                found.append((name, _shown(value), _shown(other)))
    return found


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner)
    else:
        yield name, value


def _shown(value: Any) -> str:
    return "none" if value is _ABSENT else json.dumps(value)
