"""Tables and names that several commands show."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from rich.table import Table

from nextcart.cli.output import metric, percent, table
from nextcart.errors import UnreadableInput
from nextcart.evaluation.report import METRICS, Evaluation
from nextcart.types import Id


def evaluation_tables(evaluation: Evaluation) -> list[Table]:
    """One table a mode: a row a model, a column a metric, best recall first."""
    modes = dict.fromkeys(mode for by_mode in evaluation.metrics.values() for mode in by_mode)
    tables = []
    for mode in modes:
        rows = sorted(
            ((name, by_mode[mode]) for name, by_mode in evaluation.metrics.items() if mode in by_mode),
            key=lambda row: -row[1]["recall"],
        )
        cells = [(name, *(metric(values[column]) for column in METRICS)) for name, values in rows]
        heads = ("model", *(column.replace("_", " ") for column in METRICS))
        tables.append(table(f"{evaluation.split}, mode {mode}, k = {evaluation.k}", heads, cells))
    return tables


def best_model(evaluation: Evaluation) -> str:
    """The model with the best recall in mode next; of equals the first by name."""
    return min(evaluation.metrics, key=lambda name: (-evaluation.metrics[name]["next"]["recall"], name))


def best_line(evaluation: Evaluation) -> str:
    """The best model on one line."""
    best = best_model(evaluation)
    recall = evaluation.metrics[best]["next"]["recall"]
    return (
        f"{evaluation.split}: best recall@{evaluation.k} {metric(recall)} by {best}, mode next, over "
        f"{evaluation.sessions:,} sessions; 'nextcart models' shows all models"
    )


def evaluation_line(evaluation: Evaluation) -> str:
    """What the figures are figures of."""
    limited = " (a quick look, not all)" if evaluation.limited else ""
    return (
        f"{evaluation.sessions:,} sessions{limited}, all in the denominator: the target repeats an item of its session "
        f"in {percent(evaluation.repeat_share)}, is outside the catalogue in {percent(evaluation.unknown_share)}; "
        f"{percent(evaluation.single_event_share)} have one event, so nothing is shown of them."
    )


class Names:
    """Names of items for people to read, from a CSV file with the columns aid and name; ids where there is none."""

    def __init__(self, names: dict[str, str] | None = None) -> None:
        self._names = names or {}

    @classmethod
    def read(cls, file: Path | None, wanted: Iterable[Id] | None = None) -> Names:
        """The names in a file, or of the wanted items alone.

        Raises:
            UnreadableInput: it cannot be read, or lacks the columns.
        """
        if file is None:
            return cls()
        keep = None if wanted is None else {str(aid) for aid in wanted}
        try:
            with file.open(encoding="utf-8-sig", newline="") as stream:
                rows = csv.DictReader(stream)
                if not {"aid", "name"} <= set(rows.fieldnames or ()):
                    raise UnreadableInput(f"{file}: has no columns 'aid' and 'name'; its first line must name them")
                return cls({row["aid"]: row["name"] for row in rows if keep is None or row["aid"] in keep})
        except (OSError, UnicodeDecodeError) as error:
            raise UnreadableInput(f"{file}: cannot be read ({error}); give a CSV file in UTF-8") from None

    def of(self, aid: Id) -> str:
        """The name with the id behind it, or the id."""
        name = self._names.get(str(aid))
        return f"{name} ({aid})" if name else str(aid)

    def plain(self, aid: Id) -> str:
        """The name alone, or the id."""
        return self._names.get(str(aid)) or str(aid)
