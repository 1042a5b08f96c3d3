"""The model card: one page of plain Markdown in each version that says what it is, how good, and what it cannot do.

It holds nothing that another training of the same events would change, such as a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nextcart.evaluation.bootstrap import Interval
from nextcart.evaluation.report import Evaluation
from nextcart.evaluation.report_tables import best_first
from nextcart.events.profile_text import number_text, share_text, time_text
from nextcart.models.item2vec import Item2vec
from nextcart.models.ranker import Ranker
from nextcart.models.recommender import Recommender
from nextcart.pipeline.changed_settings import changed_settings
from nextcart.repository.manifest import DataFacts, VersionDraft
from nextcart.types import DAY_MS, TYPE_NAMES

MODEL_CARD = "model_card.md"
MODELS = {
    "top_sellers": "items with most events, recent ones and orders weighing more; fills every list that is too short",
    "covisitation": "items that come near each other in sessions",
    "bought_together": "items carted or ordered in one session, drawn to what stands in many baskets",
    "item2vec": "items whose neighbours in sessions are alike, by learned vectors",
    "log_bilinear": "the likeliest next item, by learned vectors of the last ones weighed by place, type and pause",
    "session_neighbours": "what the most similar recent sessions went on with",
    "hybrid": "the lists of co-visitation, item2vec and top sellers, merged by rank",
    "ranker": "items of the session and of the other models' lists, ordered by learned decision trees",
}


def model_card(recommender: Recommender, draft: VersionDraft) -> str:
    """The card of a version that is about to be published."""
    parts = [
        "# Model card",
        "Recommends items of one shop from what happened in a visitor's session. Trained by nextcart "
        f"{draft.code_version}. 'nextcart report' shows more; evaluations made later lie in the folder evaluations.",
        "## Data",
        *_data(draft.data),
        "## Models",
        "\n".join(_models(recommender)),
        "## Figures",
        *_figures(draft.evaluations),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _limits(recommender, draft)),
        "## Settings that differ from the defaults",
        "\n".join(f"- `{name}` = {_code(value)} (default {_code(usual)})" for name, value, usual in _changed(draft))
        or "None.",
    ]
    return "\n\n".join(parts) + "\n"


def _data(data: DataFacts) -> list[str]:
    held_out = (
        "All training events; none were held back."
        if data.split == "train"
        else f"The split {data.split}: what came before the cut; the sessions after it were held back to measure on."
    )
    days = (data.last_ts - data.first_ts) / DAY_MS
    rows = [
        f"- events: {number_text(data.events)} in {number_text(data.sessions)} sessions on {number_text(data.items)} "
        "items",
        f"- from {time_text(data.first_ts)} to {time_text(data.last_ts)} UTC ({days:.1f} days)",
        f"- fingerprint of the store: `{data.fingerprint}`",
    ]
    return [held_out, "\n".join(rows)]


def _models(recommender: Recommender) -> Iterator[str]:
    yield "| model | what it recommends |"
    yield "|---|---|"
    for name in recommender.models:
        default = " (answers where no model is named)" if name == recommender.default_model else ""
        yield f"| {name}{default} | {MODELS[name]} |"
    ranker = recommender.models.get(Ranker.name)
    if isinstance(ranker, Ranker):
        learned = ", ".join(ranker.ranking.forests)
        others = "" if len(ranker.ranking.forests) == len(TYPE_NAMES) else " For anything else those of clicks answer."
        yield f"\nThe ranker has trees of its own for: {learned}.{others}"


def _figures(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    if not evaluations:
        yield (
            "Not measured at training, since no sessions were held back. To measure it, add events that it has not "
            "seen by 'nextcart ingest FILE --split test', then run 'nextcart evaluate --split test'."
        )
    for evaluation in evaluations:
        some = ", evenly spaced over all of them" if evaluation.limited else ", which are all"
        yield (
            f"Protocol {evaluation.protocol} on {evaluation.split}: the last event of each of {evaluation.sessions:,} "
            f"sessions{some}, is to be found after at most {evaluation.history_events} events before it. "
            f"The item repeats one of the session in {share_text(evaluation.repeat_share, 1)}. In brackets: where "
            "the figure lies in 95 of 100 resamples of the sessions."
        )
        yield "\n".join(_rows(evaluation))


def _rows(evaluation: Evaluation) -> Iterator[str]:
    names = ("recall", "mrr", "recall_repeat", "recall_new")
    k = evaluation.k
    yield f"| model | recall@{k} | MRR@{k} | recall of repeats | recall of items new in the session |"
    yield "|---|---|---|---|---|"
    for model in best_first(evaluation, "next"):
        figures, spans = evaluation.metrics[model]["next"], evaluation.intervals.get(model, {}).get("next", {})
        yield f"| {model} | " + " | ".join(_figure(figures.get(name), spans.get(name)) for name in names) + " |"


def _figure(value: float | None, span: Interval | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" + (f" ({span[0]:.4f} to {span[1]:.4f})" if span else "")


def _limits(recommender: Recommender, draft: VersionDraft) -> Iterator[str]:
    counts, item2vec = recommender.vocabulary.counts, recommender.models.get(Item2vec.name)
    yield (
        "It knows sessions and item ids alone: no names, texts, prices, stock or persons. It cannot tell a sold-out "
        "item from another; the shop has to exclude such items."
    )
    yield (
        f"Items without an event up to {time_text(draft.data.last_ts)} UTC are never recommended before the next "
        "training, and rare ones seldom. An item whose id changes is a new one."
    )
    if isinstance(item2vec, Item2vec):
        least = item2vec.config.min_count
        rare = share_text(int((counts < least).sum()), len(counts))
        yield f"item2vec knows nothing of items with fewer than {least} events: {rare} of the catalogue."
    yield "Empty sessions, and those of unknown items alone, get the top sellers; the answer says so."
    for evaluation in draft.evaluations:
        yield from _measured_limits(evaluation, recommender, int(counts.sum()))
    yield (
        "Not measured at training: next clicks, carts and orders apart, baskets, the next period (run 'nextcart "
        "evaluate --protocol all'). Not measured at all: whether people buy more. Past sessions show what people found "
        "with what the shop showed them then."
    )


def _measured_limits(evaluation: Evaluation, recommender: Recommender, events: int) -> Iterator[str]:
    yield f"{share_text(evaluation.unknown_share, 1)} of the held-out targets are items that training never saw."
    figures = evaluation.metrics.get(recommender.default_model, {}).get("next", {})
    top, coverage = figures.get("top1pct_share"), figures.get("coverage")
    if top is not None and coverage is not None:
        most = -(-len(recommender.vocabulary) // 100)
        theirs = share_text(int(recommender.vocabulary.counts[:most].sum()), events)
        yield (
            f"Popular items: the 1 % with most events ({theirs} of all events) take {share_text(top, 1)} of the places "
            f"in the lists of {recommender.default_model}; {share_text(coverage, 1)} of the catalogue is in any list."
        )
    yield "The intervals speak of other sessions of the same days, not of other weeks or seasons."


def _changed(draft: VersionDraft) -> list[tuple[str, str, str]]:
    return changed_settings(draft.config)


def _code(value: str) -> str:
    return f"`{value}`"
