"""Adding up, session by session, what the figures are made of: a numerator and a denominator each.

A figure is a sum over sessions of numerators over the same of denominators, so that recall over many targets is
hits / min(k, targets), each summed first, as the OTTO evaluation has it; for one target a question it is the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nextcart.evaluation.bootstrap import Floats, ratio, resampled, session_weights
from nextcart.evaluation.cutting import Questions
from nextcart.evaluation.lists import Shown, places
from nextcart.evaluation.metrics import SESSION_METRICS, find_hits
from nextcart.types import Bools, Float32s, Int32s, Int64s, ItemLists, Mode, Progress

TOP_PLACES = "top1pct_share"
SLICED = ("recall", "mrr")
"""The metrics that are shown of each slice too."""

Asked = tuple[str, Mode]
"""A model and a mode."""
Values = dict[Asked, dict[str, Floats]]
"""By what was asked and figure: the figure, then what it is in each resample; shape (1 + rounds,)."""


@dataclass(slots=True)
class Table:
    """Numerators and denominators of one model and mode on some sessions.

    Attributes:
        num, den: float64, shape (n_sessions, n_figures).
        shown: distinct rows of some lists, and how often each came there.
    """

    num: Floats
    den: Floats
    shown: list[tuple[Int32s, Int64s]] = field(default_factory=list)

    @classmethod
    def zeros(cls, n_sessions: int, n_figures: int) -> Table:
        """A table of nothing yet."""
        return cls(np.zeros((n_sessions, n_figures)), np.zeros((n_sessions, n_figures)))


@dataclass(slots=True)
class Sums:
    """What is known once all sessions are measured.

    Attributes:
        values: of every figure.
        possible: the denominator of each figure.
        kept: float32, shape (n_asked, n_sessions, 2 * n_kept): numerators then denominators of the kept figures.
        shown: how often each item came, by what was asked.
    """

    values: Values
    possible: dict[Asked, dict[str, float]]
    kept: Float32s
    shown: dict[Asked, Shown]


def accumulate(
    measure: Callable[[int, int], dict[Asked, Table]],
    n_sessions: int,
    asked: Sequence[Asked],
    figures: Sequence[str],
    kept: Sequence[str],
    *,
    n_items: int,
    rounds: int,
    seed: int,
    batch: int,
    threads: int,
    progress: Progress,
    stage: str,
) -> Sums:
    """Measure all sessions, ``batch`` at a time, and add up; the figures do not depend on batch or threads.

    Args:
        measure: gives the tables of sessions ``first`` to ``stop``, one for each of ``asked``.
        n_sessions: how many there are.
        asked: models and modes.
        figures: names of the tables' columns.
        kept: figures whose sums are kept for each session.
        n_items: size of the catalogue.
        rounds: resamples.
        seed: of the resamples.
        batch: sessions at a time.
        threads: batches at a time.
        progress: told of sessions done.
        stage: the progress's name.
    """
    width = len(figures)
    totals = {each: np.zeros((1 + rounds, 2 * width)) for each in asked}
    shown = {each: Shown.none(n_items) for each in asked}
    columns = [figures.index(name) for name in kept]
    stored = np.zeros((len(asked), n_sessions, 2 * len(kept)), np.float32)

    def work(first: int) -> tuple[dict[Asked, Table], dict[Asked, Floats]]:
        stop = min(first + batch, n_sessions)
        tables = measure(first, stop)
        return tables, _resampled_tables(tables, session_weights(first, stop, rounds, seed))

    starts = range(0, n_sessions, batch)
    with ThreadPoolExecutor(threads) as pool:
        # In the order of the batches, so that sums round alike however the threads ran.
        for first, (tables, added) in zip(starts, pool.map(work, starts), strict=True):
            stop = min(first + batch, n_sessions)
            for place, each in enumerate(asked):
                table = tables[each]
                totals[each] += added[each]
                stored[place, first:stop, : len(kept)] = table.num[:, columns]
                stored[place, first:stop, len(kept) :] = table.den[:, columns]
                for rows, times in table.shown:
                    shown[each].add(rows, times)
            progress(stage, stop, n_sessions)
    values, possible = {}, {}
    for each, total in totals.items():
        values[each] = dict(zip(figures, ratio(total[:, :width], total[:, width:]).T, strict=True))
        possible[each] = dict(zip(figures, total[0, width:].tolist(), strict=True))
    return Sums(values, possible, stored, shown)


def _resampled_tables(tables: Mapping[Asked, Table], weights: Float32s) -> dict[Asked, Floats]:
    """Numerators then denominators, summed; shape (1 + rounds, 2 * n_figures) each."""
    found: dict[Asked, Floats] = {}
    first: Table | None = None
    below = np.empty(0)
    for each, table in tables.items():
        if first is None:
            first, below = table, resampled(table.den, weights)
        # Models that are asked the same differ in the numerators alone, but for few columns.
        others = np.flatnonzero((table.den != first.den).any(axis=0))
        mine = below.copy() if len(others) else below
        if len(others):
            mine[:, others] = resampled(table.den[:, others], weights)
        found[each] = np.hstack((resampled(table.num, weights), mine))
    return found


def figure_names(metrics: Sequence[str], slices: Sequence[str], group: str = "") -> list[str]:
    """The columns of a group of questions: each metric, then recall and MRR by slice."""
    head = f"{group}_" if group else ""
    sliced = [f"{head}{metric}_{part}" for part in slices for metric in SLICED if metric in metrics]
    return [f"{head}{metric}" for metric in metrics] + sliced


def add_questions(
    table: Table, questions: Questions, items: Int32s, metrics: Sequence[str], slices: Mapping[str, Bools], column: int
) -> None:
    """Add what lists found to a table's columns from ``column`` on, in the order of `figure_names`."""
    everything = np.ones(len(questions.targets.items), bool)
    parts = [(everything, metrics)] + [(part, [m for m in SLICED if m in metrics]) for part in slices.values()]
    for part, wanted in parts:
        rows, targets = _targets_in(questions.targets, part)
        n_targets = np.diff(targets.offsets)
        hits = find_hits(items[rows], targets)
        at = questions.session[rows]
        for name in wanted:
            if name == "recall":
                num, den = hits.sum(axis=1), np.minimum(n_targets, hits.shape[1])
            else:
                num, den = SESSION_METRICS[name](hits, n_targets), np.ones(len(rows))
            table.num[:, column] += np.bincount(at, num, minlength=len(table.num))
            table.den[:, column] += np.bincount(at, den, minlength=len(table.den))
            column += 1


def add_lists(table: Table, questions: Questions, items: Int32s, n_items: int, column: int) -> None:
    """Add what the lists are made of: how often each item, and to one column the places of the most popular ones."""
    top, filled = places(items, n_items)
    table.num[:, column] += np.bincount(questions.session, top, minlength=len(table.num))
    table.den[:, column] += np.bincount(questions.session, filled, minlength=len(table.den))
    table.shown.append(np.unique(items[items >= 0], return_counts=True))


def _targets_in(targets: ItemLists, part: Bools) -> tuple[NDArray[np.intp], ItemLists]:
    """The questions with targets in a part, and these targets alone."""
    before = np.zeros(len(part) + 1, np.int64)
    np.cumsum(part, out=before[1:])
    offsets = before[targets.offsets]
    rows = np.flatnonzero(np.diff(offsets))
    return rows, ItemLists(np.append(offsets[rows], offsets[-1]), targets.items[part])
