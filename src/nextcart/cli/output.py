"""What a person sees: tables, numbers and JSON on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from nextcart.cli.fitting_table import FittingTable
from nextcart.types import Progress

SECONDS_BETWEEN_LINES = 30.0
SECONDS_OF_A_MOMENT = 5.0
PLAIN_WIDTH = 160

out = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
err = Console(stderr=True, width=None if sys.stderr.isatty() else PLAIN_WIDTH, highlight=False)


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A `Progress` that draws bars on a terminal and prints plain lines elsewhere, on stderr."""
    if not err.is_terminal:
        yield _Lines().report
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=err) as bars:
        tasks: dict[str, TaskID] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total or None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield report


class _Lines:
    """A line when a stage begins, every half minute or tenth of its time, and at the end of one that took a while.

    For files of logs: what takes a moment has one line.
    """

    def __init__(self) -> None:
        self._begun: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._ended: set[str] = set()

    def report(self, stage: str, done: int, total: int) -> None:
        if stage in self._ended:
            return
        now, ended = time.monotonic(), 0 < total <= done
        if ended:
            self._ended.add(stage)
        how_far = f"{done:,} of {total:,}" if total else f"{done:,}"
        if stage not in self._begun:
            self._begun[stage] = now
            self._line(stage, f"{stage}: {how_far}" if done else stage)
            return
        took = now - self._begun[stage]
        due = now - self._last[stage] >= max(SECONDS_BETWEEN_LINES, took / 10)
        if took >= SECONDS_OF_A_MOMENT if ended else due:
            self._line(stage, f"{stage}: {how_far} in {took:,.0f} s")

    def _line(self, stage: str, text: str) -> None:
        self._last[stage] = time.monotonic()
        err.print(text, markup=False)


def print_json(document: Any) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")


def table(title: str | None, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> FittingTable:
    """A table whose first ``left`` columns are text and whose others are numbers."""
    return FittingTable(title, columns, rows, left)


def counted(number: int, noun: str) -> str:
    """A number of things: 1 session · 2 sessions · 1,234 events."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def metric(value: float | None) -> str:
    """A metric between 0 and 1; a dash where there was nothing to measure it on."""
    return "–" if value is None else f"{value:.4f}"


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.1f} %"


def day(ts: int) -> str:
    """A timestamp in ms as a date, UTC."""
    return f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%d}"


def moment(ts: int) -> str:
    """A timestamp in ms as date and time, UTC."""
    return f"{datetime.fromtimestamp(ts / 1000, UTC):%Y-%m-%d %H:%M:%S}"
