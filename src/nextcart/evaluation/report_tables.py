"""An evaluation's figures as HTML tables, each with its interval, best first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from nextcart.evaluation.bootstrap import Interval
from nextcart.evaluation.report import Evaluation, Protocol
from nextcart.types import Mode

DRAWN: dict[Protocol, str] = {"multi_objective": "the cuts", "basket_completion": "the given items"}
"""What is drawn at random, once."""
NO_QUESTIONS: dict[Protocol, str] = {
    "next_event": "No session was there to be asked.",
    "next_click": "No session has a click after its first event, both on items of the catalogue.",
    "multi_objective": "No session has two events on items of the catalogue.",
    "basket_completion": "No session put two different items of the catalogue into its cart or ordered them.",
    "next_period": "The week after the training events has no event.",
}
"""Why an evaluation has no figures."""
LISTS = ("coverage", "top1pct_share", "gini")
COLUMNS: dict[Protocol, tuple[str, ...]] = {
    "next_event": ("recall", "ndcg", "mrr", "recall_repeat", "recall_new", *LISTS),
    "next_click": ("recall", "mrr", "recall_repeat", "recall_new", *LISTS),
    "multi_objective": ("clicks_recall", "carts_recall", "orders_recall", "total", *LISTS),
    "basket_completion": ("recall", "mrr", "lift", *LISTS),
    "next_period": ("mean@20/day", "mean@20/week", "clicks@20/week", "carts@20/week", "orders@20/week"),
}
RANKED_BY: dict[Protocol, str] = {"multi_objective": "total", "next_period": "mean@20/week"}
"""The figure by which models are ordered; recall where none is named."""
HEADS = {
    "mrr": "MRR",
    "ndcg": "NDCG",
    "recall_repeat": "repeats",
    "recall_new": "new",
    "top1pct_share": "top 1 %",
    "gini": "Gini",
}
ASKS: dict[Protocol, str] = {
    "next_event": "The last event of each session is to be found, after the events before it. All sessions count, also "
    "those of one event and those whose last item is outside the catalogue.",
    "next_click": "Each click of a session after its first event is to be found, among all items of the catalogue.",
    "multi_objective": "Each session is cut at a random event; the next click, all later carts and all later orders "
    "are to be found. Total = 0.1 clicks + 0.3 carts + 0.6 orders.",
    "basket_completion": "Of what a session put into its cart or ordered, one item is given and the others are to be "
    "found. Lift: recall as a multiple of the top sellers' recall.",
    "next_period": "The share of the next day's and week's events whose items the first 20 of the top sellers hold, "
    "for several decays and for plain counts. clicks@20/week is that share of the week's clicks; mean@20/day is the "
    "mean of the shares of the day's clicks, carts and orders, where there are any, each type alike. By a decay of d "
    "a day an event that is t days old weighs exp(−d · t): by 0.1 its weight halves in about a week.",
}


def protocol_table(evaluation: Evaluation, mode: Mode) -> str:
    """A row a model, best first, a column a figure; the 95 % interval stands behind the figure.

    The best figures of a column stand out, as they are shown; not those of lists, where more is not better in itself.
    """
    columns = [name for name in COLUMNS[evaluation.protocol] if _known(evaluation, mode, name)]
    models = best_first(evaluation, mode)
    best = {name: _best(evaluation, mode, name) for name in columns if name not in LISTS}
    what = "lists" if evaluation.protocol == "next_period" else "model"
    rows = []
    for model in models:
        figures, spans = evaluation.metrics[model][mode], evaluation.intervals.get(model, {}).get(mode, {})
        cells = [
            cell(figures.get(name), spans.get(name), of_lists=name in LISTS, best=model in best.get(name, ()))
            for name in columns
        ]
        rows.append((_shown_name(model), cells, False))
    return table((what, *map(head, columns)), rows)


def _shown_name(model: str) -> str:
    """The name of a model; a decay of `next_period` has its unit."""
    return f"{model} a day" if model.startswith("decay ") else model


def _best(evaluation: Evaluation, mode: Mode, name: str) -> list[str]:
    """The models with the highest figure as it is shown; none where it is 0, or where there is but one model."""
    figures = {model: by_mode[mode].get(name) for model, by_mode in evaluation.metrics.items() if mode in by_mode}
    shown = {model: f"{value:.4f}" for model, value in figures.items() if value is not None}
    highest = max(shown.values(), key=float, default="0")
    return [model for model, value in shown.items() if value == highest and float(value) > 0 and len(figures) > 1]


def table(heads: Sequence[str], rows: Iterable[tuple[str, Sequence[str], bool]], text: int = 1) -> str:
    """A table that scrolls sideways where it is too wide.

    Args:
        heads: plain text.
        rows: the first cell as plain text, the others as HTML, and whether the row stands out.
        text: so many columns from the left are text.
    """
    lines = []
    for first, cells, best in rows:
        marked = "".join(f"<td{_class(place, text)}>{each}</td>" for place, each in enumerate(cells, 1))
        mark = ' class="best"' if best else ""
        lines.append(f'<tr{mark}><th scope="row" class="text">{escape(first)}</th>{marked}</tr>')
    top = "".join(f'<th scope="col"{_class(place, text)}>{escape(each)}</th>' for place, each in enumerate(heads))
    return (
        f'<div class="scroll"><table class="figures-table"><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def best_first(evaluation: Evaluation, mode: Mode) -> list[str]:
    """The models of a mode, best first; the decays of `next_period` in the order in which they were tried."""
    models = [name for name, by_mode in evaluation.metrics.items() if mode in by_mode]
    if evaluation.protocol == "next_period":
        return models
    # A log without carts or orders has no total; what it has of the others then decides, as it does between equals.
    by = (ranked_by(evaluation.protocol), *COLUMNS[evaluation.protocol])
    figures = evaluation.metrics
    return sorted(models, key=lambda name: [figures[name][mode].get(each) or 0.0 for each in by], reverse=True)


def ranked_by(protocol: Protocol) -> str:
    """The figure by which the models of a protocol are ordered."""
    return RANKED_BY.get(protocol, "recall")


def ranking_name(protocol: Protocol, k: int) -> str:
    """What that figure is called in a sentence."""
    return f"the total of recall@{k}" if ranked_by(protocol) == "total" else f"{ranked_by(protocol)}@{k}"


def cell(value: float | None, span: Interval | None = None, *, of_lists: bool = False, best: bool = False) -> str:
    """A figure with its interval behind it; a dash where there was nothing to measure it on."""
    if value is None:
        return "–"
    shown = f"{value:.3f}" if of_lists else f"{value:.4f}"
    shown = f"<strong>{shown}</strong>" if best else shown
    return shown if span is None or of_lists else f"{shown}<small>{span[0]:.3f}–{span[1]:.3f}</small>"


def signed(difference: float, digits: int = 4) -> str:
    """A difference of two figures with its sign, which nothing has not."""
    shown = f"{difference:+.{digits}f}".replace("-", "−")
    return shown if shown.strip("+−0.") else "0"


def head(name: str) -> str:
    """A figure's name as people read it."""
    return HEADS.get(name) or name.removesuffix("_recall").replace("_", " ")


def _known(evaluation: Evaluation, mode: Mode, name: str) -> bool:
    """Whether any model has the figure; evaluations of before there were intervals lack some."""
    return any(by_mode[mode].get(name) is not None for by_mode in evaluation.metrics.values() if mode in by_mode)


def _class(place: int, text: int) -> str:
    return ' class="text"' if place < text else ""
