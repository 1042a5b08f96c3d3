"""What ``import nextcart`` promises."""

from __future__ import annotations

import subprocess
import sys

import pytest

import nextcart

NAMES = [
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


def test_the_public_names_are_these() -> None:
    assert sorted(nextcart.__all__) == sorted(NAMES)
    assert dir(nextcart) == sorted(nextcart.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_there_and_documented(name: str) -> None:
    assert getattr(nextcart, name).__doc__


def test_any_other_name_is_an_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'recommned'"):
        nextcart.recommned  # noqa: B018 - the access is the test


def test_importing_is_cheap() -> None:
    loaded = "import sys, nextcart; print([name for name in ('numba', 'duckdb', 'faiss') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True).stdout.strip() == "[]"
