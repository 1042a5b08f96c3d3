"""An evaluation's figures as tables: what is read first with its intervals, then the slices."""

from __future__ import annotations

from collections.abc import Sequence

from nextcart.cli.fitting_table import FittingTable
from nextcart.cli.output import metric, table
from nextcart.cli.tables import evaluation_tables
from nextcart.evaluation.bootstrap import MIN_SESSIONS_TO_JUDGE, Interval
from nextcart.evaluation.report import Evaluation, Protocol
from nextcart.evaluation.report_tables import LISTS, best_first
from nextcart.evaluation.slices import SLICES
from nextcart.types import Mode

SURE: dict[Protocol, tuple[str, ...]] = {
    "next_event": ("recall", "ndcg", "mrr"),
    "next_click": ("recall", "mrr"),
    "multi_objective": ("clicks_recall", "carts_recall", "orders_recall", "total"),
    "basket_completion": ("recall", "mrr", "lift"),
    "next_period": ("mean@20/day", "mean@20/week"),
}
"""The figures that are shown with their interval, the one that ranks the models among them."""
PLAIN: dict[Protocol, tuple[str, ...]] = {
    "next_event": ("recall_repeat", "recall_new", *LISTS),
    "next_click": LISTS,
    "multi_objective": LISTS,
    "basket_completion": LISTS,
    "next_period": ("clicks@20/week", "carts@20/week", "orders@20/week", "mean@100/week", "mean@1000/week"),
}
PARTS: dict[Protocol, tuple[str, ...]] = {
    "next_click": SLICES,
    "basket_completion": ("head", "middle", "tail", "young", "old"),
}
"""The slices whose recall is shown."""


def protocol_tables(evaluation: Evaluation) -> list[FittingTable]:
    """A mode's figures with their 95 % intervals, and the recall of each slice."""
    if not evaluation.intervals:
        return evaluation_tables(evaluation)
    tables = []
    for mode in dict.fromkeys(mode for by_mode in evaluation.metrics.values() for mode in by_mode):
        models = best_first(evaluation, mode)
        tables.append(_sure(evaluation, mode, models))
        names = [f"recall_{part}" for part in PARTS.get(evaluation.protocol, ())]
        names = [name for name in names if evaluation.possible.get(name)]
        if names:
            tables.append(_slices(evaluation, mode, models, names))
    return tables


def shown_interval(span: Interval | None) -> str:
    """An interval, or a dash where there was nothing to resample."""
    return "–" if span is None else f"{span[0]:.3f} to {span[1]:.3f}"


def _sure(evaluation: Evaluation, mode: Mode, models: Sequence[str]) -> FittingTable:
    """Each figure with its interval, then those of the lists."""
    sure, plain = SURE[evaluation.protocol], PLAIN[evaluation.protocol]
    heads = ["lists" if evaluation.protocol == "next_period" else "model"]
    for name in sure:
        heads += [_head(name), "95 %"]
    rows = []
    best = evaluation.best if evaluation.sessions >= MIN_SESSIONS_TO_JUDGE else None
    for model in models:
        figures, spans = evaluation.metrics[model][mode], evaluation.intervals[model][mode]
        cells = [model + (" (best)" if model == best else "")]
        for name in sure:
            cells += [metric(figures.get(name)), shown_interval(spans.get(name))]
        rows.append([*cells, *(metric(figures.get(name)) for name in plain)])
    return table(_title(evaluation, mode), [*heads, *map(_head, plain)], rows)


def _slices(evaluation: Evaluation, mode: Mode, models: Sequence[str], names: Sequence[str]) -> FittingTable:
    """The recall of each slice that has targets; the last row says how many, as far as a list has room for them."""
    rows = [[model, *(metric(evaluation.metrics[model][mode].get(name)) for name in names)] for model in models]
    targets = "targets" if evaluation.protocol == "next_click" else f"targets, {evaluation.k} a list at most"
    rows.append([targets, *(f"{evaluation.possible[name]:,.0f}" for name in names)])
    heads = [_head(name.removeprefix("recall_")) for name in names]
    return table(f"{_title(evaluation, mode)}: recall by kind of target", ["model", *heads], rows)


def _title(evaluation: Evaluation, mode: Mode) -> str:
    what = "top sellers by decay" if evaluation.protocol == "next_period" else f"mode {mode}, k = {evaluation.k}"
    return f"{evaluation.protocol}, {evaluation.split}, {what}"


def _head(name: str) -> str:
    short = name.removesuffix("_recall") if name != "recall" else name
    return _HEADS.get(short, short.replace("_", " "))


_HEADS = {
    "mrr": "MRR",
    "ndcg": "NDCG",
    "top1pct_share": "top 1 %",
    "after_2_4": "after 2 to 4",
    "after_5_9": "after 5 to 9",
    "after_10": "after 10 or more",
}
"""Heads that are not the figure's name with spaces."""
