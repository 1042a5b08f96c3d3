"""The inside of the report page as it grows, and the parts that are seen on held-out sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby

from nextcart.evaluation import report_charts as charts
from nextcart.evaluation.bootstrap import MIN_SESSIONS_TO_JUDGE
from nextcart.evaluation.calibration import Calibration
from nextcart.evaluation.looking import Example, Look
from nextcart.evaluation.report_data import Report
from nextcart.evaluation.report_tables import signed, table
from nextcart.evaluation.sources import Cost, RankerLook
from nextcart.events.page import Card, Spec, Width, card_html
from nextcart.events.profile_text import share_text
from nextcart.types import Id, Objective

OBJECTIVES: dict[Objective, str] = {"clicks": "the next click", "carts": "later carts", "orders": "later orders"}
NO_QUESTION = "These sessions pose no question."
TOO_FEW = f" These are too few to judge by (at least {MIN_SESSIONS_TO_JUDGE}): other sessions may show the opposite."
NO_RANKER = (
    "This version has no ranker: it was trained with other models alone (--only), or its events posed too few "
    "questions. Where they pose as many as models.ranker.min_questions, a training of all models brings one:"
)
NO_TREES = "The training events hold too few questions of this kind, so it has no trees of its own; others answer."


@dataclass(slots=True)
class Body:
    """The inside of the page as it grows.

    Attributes:
        html: what there is of it.
        specs: the charts that it has places for, in their order.
    """

    html: list[str] = field(default_factory=list)
    specs: list[Spec] = field(default_factory=list)

    def part(self, title: str, lead: str) -> None:
        """Begin a part; the lead is HTML."""
        self.html.append(f'<h2 class="part">{escape(title)}</h2><p class="lead">{lead}</p>')

    def cards(self, cards: Sequence[Card | str]) -> None:
        """Add cards: those with a chart, and others as HTML."""
        drawn = []
        for card in cards:
            if isinstance(card, str):
                drawn.append(card)
            else:
                drawn.append(card_html(card, len(self.specs)))
                self.specs.append(card.spec)
        self.html.append(f'<div class="cards">{"".join(drawn)}</div>')


def lacking(title: str, reason: str, command: str = "", width: Width = "full") -> str:
    """A card for what is not there, with the command that makes it."""
    shown = f" <code>{escape(command)}</code>" if command else ""
    return (
        f'<section class="card {width}"><h2>{escape(title)}</h2>'
        f'<p class="lacking">{escape(reason)}{shown}</p></section>'
    )


def add_places(body: Body, report: Report) -> None:
    """How far down the lists the hits stand."""
    seen = report.look
    body.part("Places of the hits", _looked(seen) if seen else "How far down the lists the hits stand.")
    if seen is None or not seen.questions:
        body.cards([lacking("Recall by k", report.why_not or NO_QUESTION)])
        return
    best_first = sorted(seen.curves, key=lambda curve: -curve.recall[-1])
    ends = [(curve.model, f"{curve.recall[-1]:.4f}") for curve in best_first]
    hint = (
        f"The figures are recall@{seen.k}. A steep start means that hits stand first; lines that still climb at the "
        "end gain by longer lists."
    )
    body.cards([Card(f"Recall by k{_sampled(seen)}", ends, hint, charts.curves_chart(seen.curves), width="full")])


def add_ranker(body: Body, report: Report) -> None:
    """What the ranker looks at, what its scores are worth, and its sources to it."""
    if report.importance is None:
        body.part("The ranker", "It orders what the other models bring, by trees that learn what comes next.")
        body.cards([lacking("Feature importance, calibration and sources", NO_RANKER, "nextcart train")])
        return
    body.part(
        "The ranker",
        "What its trees look at, how often the items of a score really came, which source brought the items that were "
        "hit, and what each source is worth to it by the same questions as recall by k. Calibration: the places of its "
        "lists, by score in bins of equal size, each with its 95 % interval. On the dashed line a score is a "
        "probability. Trained to order (lambdarank), it need not be; the share should still rise with it.",
    )
    cards: list[Card | str] = []
    labels = _labels(report.look)
    for objective, label in labels.items():
        title = f"Feature importance: {label}"
        shares = report.importance.get(objective)
        if shares is None:
            cards.append(lacking(title, NO_TREES, width="third"))
            continue
        hint = "Share of the gain of all splits. Of each list the trees see an item's score and rank."
        cards.append(
            Card(title, [("features in use", str(len(shares)))], hint, charts.importance_chart(shares), "third")
        )
    if report.look is None or report.look.ranker is None:
        cards.append(lacking("Calibration and sources", report.why_not or NO_QUESTION))
    else:
        by_objective = {each.objective: each for each in report.look.calibrations}
        cards += [_calibration(label, by_objective.get(name)) for name, label in labels.items()]
        cards += _sources(report.look.ranker, report.look)
    body.cards(cards)


def _labels(seen: Look | None) -> dict[Objective, str]:
    """What the trees look for: in a log without clicks those of clicks learned the next event, whatever it is."""
    without_clicks = seen is not None and seen.protocol == "next_event"
    return OBJECTIVES | {"clicks": "the next event"} if without_clicks else OBJECTIVES


def _calibration(label: str, seen: Calibration | None) -> Card | str:
    title = f"Calibration: {label}"
    if seen is None:
        return lacking(title, NO_TREES, width="third")
    if not seen.bins:
        reason = "The ranker scored no item in these sessions." if seen.questions else NO_QUESTION
        return lacking(title, reason, width="third")
    outer = (("lowest bin", seen.bins[0]), ("highest bin", seen.bins[-1]))
    figures = [("questions", f"{seen.questions:,}"), *((name, share_text(each.observed, 1)) for name, each in outer)]
    return Card(title, figures, _CALIBRATION_HINTS[seen.protocol], charts.calibration_chart(seen.bins), "third")


_CALIBRATION_HINTS = {
    "next_click": "Which items were the next click.",
    "next_event": "Which items came next.",
    "multi_objective": "Which items came at any later time, in sessions cut by multi_objective that went on to such an "
    "event.",
}


def _sources(seen: RankerLook, whole: Look) -> list[Card | str]:
    k = whole.k
    figures = [
        (f"recall@{k}{_sampled(whole)}", f"{seen.recall:.4f}"),
        ("target among the candidates", share_text(seen.found, 1)),
        ("candidates a question", f"{seen.candidates:.0f}"),
        ("hits that only the fill brought", share_text(seen.filled, 1)),
    ]
    rows = [
        (each.name.replace("_", " "), [_shown(each.left_out), _shown(each.hidden)], False)
        for each in sorted(seen.sources, key=lambda each: each.hidden.difference)
    ]
    heads = ("source", "candidates left out", "scores hidden too")
    hint = (
        f"Change of recall@{k}{_sampled(whole)}: without the candidates that a source alone brings; then with its "
        "scores hidden from the trees as well. The trees are not trained again, so a training without the source would "
        "lose less."
    )
    return [
        Card(
            "Which source found the hits",
            figures,
            "Several sources may find the same hit; what one finds alone is lost without it. History: items of the "
            "session itself. No order of the candidates can find a target that is not among them.",
            charts.hits_chart(seen),
        ),
        f'<section class="card half"><h2>What it costs to drop a source</h2>{table(heads, rows)}'
        f'<p class="hint">{escape(hint)}</p></section>',
    ]


def _shown(cost: Cost) -> str:
    if cost.interval is None or cost.interval == (0.0, 0.0):
        return signed(cost.difference)
    low, high = cost.interval
    return f"{signed(cost.difference)}<small>{signed(low, 3)} to {signed(high, 3)}</small>"


def add_examples(body: Body, report: Report) -> None:
    """Some questions and their answers."""
    seen = report.look
    body.part("Examples", "Hits and misses, evenly spaced over the sessions that were looked at.")
    if seen is None or not seen.examples:
        body.cards([lacking("Examples", report.why_not or NO_QUESTION)])
        return
    heads = ("what came", "place", "the session's last events, oldest first", "the list began with")
    name = report.item_name
    rows = [
        (_target(each, name), [_place(each), _session(each, name), _listed(each, name)], False)
        for each in seen.examples
    ]
    hint = (
        "In brackets the sources that brought the item. A miss that is no candidate is one of the sources', any other "
        "one of the order."
    )
    body.cards([
        f'<section class="card full"><h2>Answers of {escape(seen.model)}</h2>{table(heads, rows, 4)}'
        f'<p class="hint">{escape(hint)}</p></section>'
    ])  # fmt: skip


def _target(example: Example, name: Callable[[Id], str]) -> str:
    target = "outside the catalogue" if example.target is None else name(example.target)
    return f"{target} (seen before)" if example.repeats else target


def _place(example: Example) -> str:
    if example.place is not None:
        return str(example.place)
    return "missed" + {None: "", True: ", a candidate", False: ", no candidate"}[example.candidate]


def _session(example: Example, name: Callable[[Id], str]) -> str:
    parts: list[str] = []
    for kind, events in groupby(example.shown, key=lambda event: event[1]):
        parts.append(f"{escape(kind)} {_names([item for item, _ in events], name)}")
    more = example.before - len(example.shown)
    before = f"<small>{more} before,</small> " if more > 0 else ""
    return f'<div class="events">{before}{"; ".join(parts) or "nothing"}</div>'


def _listed(example: Example, name: Callable[[Id], str]) -> str:
    items = [
        f"{_names([item], name)} <small>[{escape(', '.join(each.replace('_', ' ') for each in sources))}]</small>"
        for item, sources in example.listed
    ]
    return f'<div class="events listed">{"<br>".join(items)}</div>'


def _names(items: Sequence[Id], name: Callable[[Id], str]) -> str:
    return ", ".join(f"<span>{escape(name(item))}</span>" for item in items)


def _sampled(seen: Look) -> str:
    """What tells figures of a sample from those of all sessions, which are others."""
    return f", sample of {seen.sessions:,} sessions" if seen.sessions < seen.of_sessions else ""


def _looked(seen: Look) -> str:
    return (
        f"Seen on {seen.sessions:,} of the {seen.of_sessions:,} sessions of {escape(seen.split)}, which pose "
        f"{seen.questions:,} questions by {seen.protocol}."
        + (" Figures here are of this sample alone." if _sampled(seen) else "")
        + (TOO_FEW if seen.sessions < MIN_SESSIONS_TO_JUDGE else "")
    )
