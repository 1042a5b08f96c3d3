"""Tables and names that several commands show."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from nextcart.cli.fitting_table import FittingTable
from nextcart.cli.output import counted, metric, percent, table
from nextcart.errors import UnreadableInput
from nextcart.evaluation.bootstrap import MIN_SESSIONS_TO_JUDGE
from nextcart.evaluation.report import METRICS, Evaluation, Protocol
from nextcart.events.sources import unreadable
from nextcart.types import Id

REMARKS: dict[Protocol, str] = {
    "next_click": "they were dropped first; the next click was asked for after each event.",
    "multi_objective": "they were dropped first; total = 0.1 clicks + 0.3 carts + 0.6 orders.",
    "basket_completion": "they were dropped first; lift: recall as a multiple of the top sellers' recall.",
    "next_period": "they count as not held.",
}


def evaluation_tables(evaluation: Evaluation) -> list[FittingTable]:
    """One table a mode: a row a model, a column a metric, best recall first."""
    modes = dict.fromkeys(mode for by_mode in evaluation.metrics.values() for mode in by_mode)
    tables = []
    for mode in modes:
        rows = sorted(
            ((name, by_mode[mode]) for name, by_mode in evaluation.metrics.items() if mode in by_mode),
            key=lambda row: _recall(row[1]),
            reverse=True,
        )
        cells = [(name, *(metric(values[column]) for column in METRICS)) for name, values in rows]
        heads = ("model", *(column.replace("_", " ") for column in METRICS))
        tables.append(table(f"{evaluation.split}, mode {mode}, k = {evaluation.k}", heads, cells))
    return tables


def best_model(evaluation: Evaluation) -> str | None:
    """The model with the best recall in mode next; None where several share it as it is shown, or of few sessions."""
    best = _best_models(evaluation)
    return best[0] if len(best) == 1 and evaluation.sessions >= MIN_SESSIONS_TO_JUDGE else None


def best_line(evaluation: Evaluation) -> str:
    """The best model on one line, or why none is named."""
    measured = f"{evaluation.split}, {counted(evaluation.sessions, 'session')}, mode next"
    best = _best_models(evaluation)
    if evaluation.sessions < MIN_SESSIONS_TO_JUDGE:
        found = f"too few to name a best model (at least {MIN_SESSIONS_TO_JUDGE})"
    else:
        at, recall = f"recall@{evaluation.k}", metric(evaluation.metrics[best[0]]["next"]["recall"])
        found = f"best {at} {recall} by {best[0]}" if len(best) == 1 else f"{' and '.join(best)} tie at {at} {recall}"
    return f"{measured}: {found}; 'nextcart models' shows all models"


def _best_models(evaluation: Evaluation) -> list[str]:
    """The models whose recall in mode next, as it is shown, is the highest."""
    recalls = {name: metric(_recall(by_mode["next"])) for name, by_mode in evaluation.metrics.items()}
    return [name for name, recall in recalls.items() if recall == max(recalls.values())]


def _recall(values: Mapping[str, float | None]) -> float:
    return values["recall"] or 0.0


def evaluation_line(evaluation: Evaluation) -> str:
    """What the figures are figures of."""
    limited = " (a quick look, not all)" if evaluation.limited else ""
    if evaluation.protocol != "next_event":
        return (
            f"{counted(evaluation.sessions, 'session')}{limited} with a question; {percent(evaluation.unknown_share)} "
            f"of the held-out events are on items outside the catalogue; {REMARKS[evaluation.protocol]}"
        )
    single = percent(evaluation.single_event_share or 0.0)
    return (
        f"{counted(evaluation.sessions, 'session')}{limited}, all in the denominator: the target repeats an item of "
        f"its session in {percent(evaluation.repeat_share)}, is outside the catalogue in "
        f"{percent(evaluation.unknown_share)}; {single} have one event, so nothing is shown of them."
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
                    raise UnreadableInput(
                        f"--names {file}: has no columns 'aid' and 'name'; its first line must name them"
                    )
                return cls({row["aid"]: row["name"] for row in rows if keep is None or row["aid"] in keep})
        except OSError as error:
            raise UnreadableInput(f"--names {file}: {unreadable(error)}") from None
        except (UnicodeDecodeError, csv.Error) as error:
            raise UnreadableInput(f"--names {file}: is not CSV in UTF-8 ({error}); export it again") from None

    def of(self, aid: Id) -> str:
        """The name with the id behind it, or the id."""
        name = self._names.get(str(aid))
        return f"{name} ({aid})" if name else str(aid)

    def plain(self, aid: Id) -> str:
        """The name alone, or the id."""
        return self._names.get(str(aid)) or str(aid)
