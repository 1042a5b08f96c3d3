"""The accuracy bench's own programs, split.py and score.py, called by path, and the files that systems share."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

TASKS = ("next_click", "official")
Lists = list[int] | dict[str, list[int]]


class Bench:
    """Splits logs and scores lists by the bench in a folder."""

    def __init__(self, folder: Path) -> None:
        """Load both programs; leaves the run with one line where they are not there."""
        if not (folder / "split.py").is_file():
            raise SystemExit(
                f"{folder}: no split.py and score.py there; name the folder of the accuracy bench by --bench"
            )
        self._split, self._score = (_load(folder / f"{name}.py") for name in ("split", "score"))

    def split(self, log: Path, folder: Path) -> dict[str, Any]:
        """Write both parts and the tasks; give what is in them."""
        meta: dict[str, Any] = self._split.split(log, folder)
        return meta

    def score(self, split: Path, task: str, lists: Path, other: Path | None = None) -> dict[str, Any]:
        """Figures of some lists with their intervals; with ``other`` the paired difference too."""
        scored: dict[str, Any] = self._score.score(split, task, lists, other)
        return scored


def _load(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"accuracy_bench_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All lines of a JSONL file."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write a JSONL file."""
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def write_lists(path: Path, names: Iterable[str], lists: Iterable[Lists]) -> Path:
    """Write predictions as score.py reads them."""
    return write_lines(path, ({"id": name, "items": each} for name, each in zip(names, lists, strict=True)))
