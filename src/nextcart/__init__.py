"""Recommendations for shops from anonymous sessions alone.

The names below are the public ones; each is loaded when it is first asked for, so that importing nextcart is cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nextcart.config import Settings, load_settings
    from nextcart.errors import NextcartError
    from nextcart.evaluation.replay import evaluate
    from nextcart.events.ingest import ingest
    from nextcart.events.profile import profile
    from nextcart.events.schema import Event, Session
    from nextcart.events.split import split
    from nextcart.events.store import Store
    from nextcart.models.arrays import read_batch, training_arrays
    from nextcart.models.received import session_batch
    from nextcart.models.recommender import Answer, Recommender
    from nextcart.pipeline.steps import evaluate_version, train
    from nextcart.repository.repository import Repository
    from nextcart.serving.app import create_app
    from nextcart.types import EventType, Ranked, SessionBatch

_HOMES = {
    "Answer": "models.recommender",
    "Event": "events.schema",
    "EventType": "types",
    "NextcartError": "errors",
    "Ranked": "types",
    "Recommender": "models.recommender",
    "Repository": "repository.repository",
    "Session": "events.schema",
    "SessionBatch": "types",
    "Settings": "config",
    "Store": "events.store",
    "create_app": "serving.app",
    "evaluate": "evaluation.replay",
    "evaluate_version": "pipeline.steps",
    "ingest": "events.ingest",
    "load_settings": "config",
    "profile": "events.profile",
    "read_batch": "models.arrays",
    "session_batch": "models.received",
    "split": "events.split",
    "train": "pipeline.steps",
    "training_arrays": "models.arrays",
}

__all__ = [
    "Answer",
    "Event",
    "EventType",
    "NextcartError",
    "Ranked",
    "Recommender",
    "Repository",
    "Session",
    "SessionBatch",
    "Settings",
    "Store",
    "create_app",
    "evaluate",
    "evaluate_version",
    "ingest",
    "load_settings",
    "profile",
    "read_batch",
    "session_batch",
    "split",
    "train",
    "training_arrays",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'nextcart' has no attribute '{name}'")
    return getattr(import_module(f"nextcart.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
