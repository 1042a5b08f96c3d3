"""All that is known of a version as one HTML page that needs nothing else; what is missing says how to make it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape

from nextcart.evaluation import report_charts as charts
from nextcart.evaluation.bootstrap import MIN_SESSIONS_TO_JUDGE
from nextcart.evaluation.report import PROTOCOLS, Evaluation
from nextcart.evaluation.report_body import TOO_FEW, Body, add_examples, add_places, add_ranker, lacking
from nextcart.evaluation.report_data import Facts, Report
from nextcart.evaluation.report_tables import ASKS, DRAWN, NO_QUESTIONS, best_first, cell, protocol_table, table
from nextcart.events.page import Card, Rows, definitions, page
from nextcart.events.profile_text import number_text, share_text, time_text

FOOTER = (
    "Made by <code>nextcart report</code>. Times are UTC. An interval is the middle 95 % of a figure over resampled "
    "sessions: other sessions of the same days might have shown any figure in it."
)


def render_report(report: Report) -> str:
    """The page as HTML."""
    body = Body()
    _protocols(body, report)
    _slices(body, report)
    add_places(body, report)
    add_ranker(body, report)
    add_examples(body, report)
    _training(body, report.facts)
    facts = report.facts
    named = f" · {', '.join(facts.named)}" if facts.named else ""
    first, last = map(time_text, facts.window)
    return page(
        title=f"Version {facts.version}",
        subtitle=f"published {facts.created_at} UTC by nextcart {facts.code_version}{named} · learned from events of "
        f"{first} to {last} UTC",
        tiles=_tiles(report),
        body="\n".join(body.html),
        specs=body.specs,
        footer=FOOTER,
    )


def sliced(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The evaluation whose slices are shown: of all next clicks where there is one, else of the last events."""
    found = [each for each in evaluations if each.protocol in ("next_click", "next_event") and each.intervals]
    return min(found, key=lambda each: (each.limited, each.protocol != "next_click"), default=None)


def _protocols(body: Body, report: Report) -> None:
    body.part(
        "Protocols",
        "Each asks held-out sessions another question; figures are at the cut-off k, with their 95 % interval, and "
        "the best of a column stands out. "
        "Repeats, new: recall of items that the session holds already, and of others. Coverage: share of the catalogue "
        "in any list. Top 1 %: share of the lists' places that the most popular items take. Gini: 0 where all items "
        "are shown alike, near 1 where few take all places.",
    )
    full = {(each.protocol, each.split) for each in report.evaluations if not each.limited}
    shown: list[Card | str] = [_models(report.facts)]
    for protocol in PROTOCOLS:
        found = [each for each in report.evaluations if each.protocol == protocol]
        # A quick look says nothing where all sessions were asked.
        found = [each for each in found if not each.limited or (protocol, each.split) not in full]
        shown += [_evaluation(each, report) for each in found]
        if not found:
            shown.append(lacking(protocol, f"{ASKS[protocol]} Not measured yet:", report.measured_by(protocol)))
    body.cards(shown)


def _models(facts: Facts) -> str:
    rows = [
        (name, [f'<div class="events">{escape(what)}</div>'], name == facts.default_model)
        for name, what in facts.models
    ]
    return (
        f'<section class="card full"><h2>What the models recommend</h2>{table(("model", "recommends"), rows, 2)}'
        f'<p class="hint">Where no model is named, {escape(facts.default_model)} answers.</p></section>'
    )


def _evaluation(evaluation: Evaluation, report: Report) -> str:
    modes = list(dict.fromkeys(mode for by_mode in evaluation.metrics.values() for mode in by_mode))
    parts = [f'<section class="card full"><h2>{escape(evaluation.protocol)} on {escape(evaluation.split)}</h2>']
    rows = [("sessions", f"{evaluation.sessions:,}{' (a quick look, not all)' if evaluation.limited else ''}")]
    if evaluation.protocol != "next_period":
        rows += [("k", str(evaluation.k)), ("events shown, at most", str(evaluation.history_events))]
        rows += [("targets that repeat", share_text(evaluation.repeat_share, 1))]
    drawn = DRAWN.get(evaluation.protocol) if evaluation.sessions else None
    if drawn is not None and evaluation.seed is not None:
        rows += [(f"seed of {drawn}", str(evaluation.seed))]
    rows += [("outside the catalogue", share_text(evaluation.unknown_share, 1))]
    parts.append(f'<dl class="figures">{definitions(rows)}</dl>')
    for mode in modes:
        if evaluation.protocol == "next_event":
            what = "items of the session may come again" if mode == "next" else "items of the session never come again"
            parts.append(f'<p class="lacking">mode {mode}: {what}</p>')
        if not evaluation.sessions:
            parts.append(f'<p class="lacking">{escape(NO_QUESTIONS[evaluation.protocol])}</p>')
            continue
        parts.append(protocol_table(evaluation, mode))
        lead = report.leads.get((evaluation.protocol, evaluation.split, mode))
        if lead is not None and not evaluation.limited:
            parts.append(f'<p class="lacking">{escape(lead)}</p>')
    asks = ASKS[evaluation.protocol]
    if drawn is not None:
        asks += (
            f" Of {drawn}, one draw is shown: intervals are over sessions alone, and another seed (evaluation.seed) "
        )
        asks += "would move the figures too."
    parts.append(f'<p class="hint">{escape(asks)}</p></section>')
    return "".join(parts)


def _slices(body: Body, report: Report) -> None:
    found = sliced(report.evaluations)
    body.part(
        "Kinds of target",
        "Recall by kind of target, each with its 95 % interval. Each kind has its own questions: compare models "
        "within a kind."
        + (f" From {found.protocol} on {escape(found.split)}, {found.sessions:,} sessions." if found else "")
        + (TOO_FEW if found and found.sessions < MIN_SESSIONS_TO_JUDGE else ""),
    )
    if found is None:
        command = report.measured_by("next_click")
        body.cards([lacking("Recall by kind of target", "Not measured yet:", command)])
        return
    cards = [_slice(title, names, found) for title, names in charts.SLICES.items()]
    drawn = [each for each in cards if isinstance(each, Card)]
    if len(drawn) % 2:
        # Alone in its row it may as well fill it.
        drawn[-1] = replace(drawn[-1], width="full")
    body.cards([*drawn, *(each for each in cards if isinstance(each, str))])


def _slice(title: str, names: Mapping[str, str], found: Evaluation) -> Card | str:
    """A chart of the targets of each kind, or which kind all are of."""
    there = {part: label for part, label in names.items() if found.possible.get(f"recall_{part}")}
    if len(there) > 1:
        counted = [(label, f"{number_text(found.possible[f'recall_{part}'])} targets") for part, label in there.items()]
        return Card(title, counted, _SLICE_HINTS[title], charts.slices_chart(found, there, best_first(found, "next")))
    if there:
        reason = f"All targets are of one kind: {', '.join(there.values())}."
    elif any(f"recall_{part}" in found.possible for part in names):
        reason = "No target is of these kinds."
    else:
        reason = "This evaluation did not tell these kinds apart."
    return lacking(title, f"{reason} {_SLICE_HINTS[title]}")


_SLICE_HINTS = {
    "By repetition": "Repeats: items that stand earlier in their session. New in the session: all others.",
    "By item popularity": "Head, middle and tail: the most popular items that hold a third of the training events, the "
    "next third, the rest.",
    "By item age": "New items: first seen in the last days of training (evaluation.young_item_days), with little to be "
    "learned from. Older items: seen before.",
    "By session length": "How many events stood before the question, of any type.",
}


def _training(body: Body, facts: Facts) -> None:
    body.part("Training", "What the version was made of, and what that took.")
    rows = [
        (stage, [f"{wall:.1f}", f"{cpu:.1f}", f"{peak / 2**20:,.0f}"], False)
        for stage, wall, cpu, peak in facts.timings
    ]
    data = "".join(f"<tr><th scope=row>{escape(n)}</th><td>{escape(v)}</td></tr>" for n, v in facts.data)
    settings = table(
        ("setting", "here", "default"), [(n, [escape(v), escape(d)], False) for n, v, d in facts.settings], 3
    )
    body.cards([
        '<section class="card half"><h2>Data</h2>'
        f'<div class="scroll"><table class="pairs">{data}</table></div></section>',
        f'<section class="card half"><h2>Timings</h2>'
        f"{table(('stage', 'seconds', 'CPU seconds', 'peak MiB'), rows)}</section>",
        '<section class="card full"><h2>Settings that differ from the defaults</h2>'
        f"{settings if facts.settings else '<p class=lacking>none</p>'}</section>",
    ])  # fmt: skip


def _tiles(report: Report) -> Rows:
    facts = report.facts
    tiles = [(name, value) for name, value in facts.data if name in ("events", "sessions", "items")]
    tiles.append(("answers by default", facts.default_model.replace("_", " ")))
    found = sliced(report.evaluations)
    if found is not None and facts.default_model in found.metrics:
        figures = found.metrics[facts.default_model]["next"]
        what = found.protocol.replace("_", " ") + (f", sample of {found.sessions:,} sessions" if found.limited else "")
        for name, label in (("recall", "recall"), ("mrr", "MRR")):
            tiles.append((f"{label}@{found.k}, {what}", cell(figures.get(name))))
        tiles.append(("recall, items new in the session", cell(figures.get("recall_new"))))
        tiles.append(("catalogue in the lists", share_text(figures.get("coverage") or 0.0, 1)))
    return tiles
