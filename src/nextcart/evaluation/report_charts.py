"""The charts of a version's report as Vega-Lite specifications, made with Altair; the page gives colours and fonts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt

from nextcart.evaluation.calibration import Bin
from nextcart.evaluation.looking import Curve
from nextcart.evaluation.report import Evaluation
from nextcart.evaluation.sources import RankerLook
from nextcart.events.page import Spec, drawable
from nextcart.events.profile_text import share_text
from nextcart.models.fitting import MODEL_NAMES

Rows = list[dict[str, object]]
AnyChart = alt.Chart | alt.LayerChart | alt.FacetChart

HEIGHT, BAR_STEP, LABEL_WIDTH = 300, 26, 70
"""Pixels: of a chart with two axes, of a bar with its gap, of the label beside it."""
_COLUMNS = "max(floor((containerSize()[0] - 96) / 112), 1)"
"""Names beside each other in a legend: so many that none is cut off, found by trying. By the width of the whole chart:
the plot's own changes after the legend got its room, and a row more would have none."""
MOST_FEATURES = 15
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left"]
"""One a model."""
SLICES: dict[str, dict[str, str]] = {
    "By repetition": {"repeat": "repeats", "new": "new in the session"},
    "By item popularity": {"head": "head", "middle": "middle", "tail": "tail"},
    "By item age": {"young": "new items", "old": "older items"},
    "By session length": {"after_1": "1 event", "after_2_4": "2 to 4", "after_5_9": "5 to 9", "after_10": "10 or more"},
}
"""Slices that are drawn together, and what they are called."""


def curves_chart(curves: Sequence[Curve]) -> Spec:
    """Recall over k, a line a model."""
    rows: Rows = [
        {"model": curve.model, "k": k, "recall": recall, "text": f"{recall:.4f}"}
        for curve in curves
        for k, recall in enumerate(curve.recall, 1)
    ]
    models = [curve.model for curve in curves]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X(
            "k:Q",
            title="k, places of the list",
            scale=alt.Scale(zero=False, nice=False),
            axis=alt.Axis(tickMinStep=1, format="d"),
        ),
        y=alt.Y("recall:Q", title="recall@k", scale=alt.Scale(domainMin=0)),
        color=_model_color(models),
        tooltip=[alt.Tooltip("model:N"), alt.Tooltip("k:Q"), alt.Tooltip("text:N", title="recall")],
    )
    points = base.mark_point(filled=True, size=44, opacity=1).encode(shape=_model_shape(models))
    chart = alt.layer(base.mark_line(strokeWidth=2), points).properties(height=HEIGHT)
    return drawable(chart, "Lines: recall of each model by k.")


def slices_chart(evaluation: Evaluation, names: Mapping[str, str], models: Sequence[str]) -> Spec:
    """Recall in each slice with its interval, a mark a model, side by side."""
    rows: Rows = []
    for part, label in names.items():
        figure = f"recall_{part}"
        for model in models:
            value = evaluation.metrics[model]["next"].get(figure)
            if value is not None:
                span = evaluation.intervals.get(model, {}).get("next", {}).get(figure) or (value, value)
                text = f"{value:.4f} ({span[0]:.4f} to {span[1]:.4f})"
                row = {"slice": label, "model": model, "recall": value, "low": span[0], "high": span[1], "text": text}
                rows.append(row)
    tooltip = [alt.Tooltip("model:N"), alt.Tooltip("slice:N"), alt.Tooltip("text:N", title="recall")]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("slice:N", sort=list(names.values()), title=None, axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("model:N", scale=alt.Scale(domain=_in_order(models), paddingOuter=0.6)),
        color=_model_color(models),
        tooltip=tooltip,
    )
    spans = base.mark_rule(strokeWidth=1.5).encode(
        y=alt.Y("low:Q", title="recall", scale=alt.Scale(domainMin=0)), y2="high:Q"
    )
    points = base.mark_point(filled=True, size=60, opacity=1).encode(y="recall:Q", shape=_model_shape(models))
    return drawable(alt.layer(spans, points).properties(height=HEIGHT), "Points: recall of each model by slice.")


def importance_chart(shares: Mapping[str, float]) -> Spec:
    """The features that a forest gains most by."""
    most = sorted(shares, key=lambda name: shares[name], reverse=True)[:MOST_FEATURES]
    rows: Rows = [
        {"name": name.replace("_", " "), "share": shares[name], "text": share_text(shares[name], 1)} for name in most
    ]
    return drawable(_bars(rows, "share"), "Bars: share of the gain by feature.")


def hits_chart(seen: RankerLook) -> Spec:
    """Share of the hits that each source brought, alone or with others."""
    rows: Rows = [
        {
            "name": each.name.replace("_", " "),
            "hits": each.hits,
            "text": f"{share_text(each.hits, 1)}, alone {share_text(each.alone, 1)}",
        }
        for each in seen.sources
    ]
    return drawable(_bars(rows, "hits", 150), "Bars: share of the hits that each source brought.")


def calibration_chart(bins: Sequence[Bin]) -> Spec:
    """Mean score of each bin against the share of its items that came, with the line where both agree."""
    rows: Rows = []
    ends = [each.interval or (each.observed, each.observed) for each in bins]
    for each, (low, high) in zip(bins, ends, strict=True):
        text = f"{share_text(each.observed, 1)} ({share_text(low, 1)} to {share_text(high, 1)})"
        row = {"score": each.score, "observed": each.observed, "low": low, "high": high, "text": text}
        rows.append({**row, "places": each.places})
    top = min(max((high for _, high in ends), default=0.0) * 1.05 or 1.0, 1.0)
    scale = alt.Scale(domain=[0, top])
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X(
            "score:Q",
            title="mean score of the bin",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format=".1f", tickCount=5, labelOverlap="greedy", labelSeparation=8),
        ),
        tooltip=[
            alt.Tooltip("score:Q", format=".3f"),
            alt.Tooltip("text:N", title="came"),
            alt.Tooltip("places:Q"),
        ],
    )
    spans = base.mark_rule(strokeWidth=1.5).encode(
        y=alt.Y("low:Q", title="share that came", scale=scale, axis=alt.Axis(format=".0%", grid=True)), y2="high:Q"
    )
    line = base.mark_line(point={"size": 40, "filled": True}).encode(y="observed:Q")
    agree = (
        alt.Chart(alt.InlineData(values=[{}]))
        .mark_rule(strokeDash=[4, 4])
        .encode(x=alt.datum(0), y=alt.datum(0), x2=alt.datum(top), y2=alt.datum(top))
    )
    return drawable(
        alt.layer(agree, spans, line).properties(height=HEIGHT), "Line: share of the items that came by score."
    )


def _bars(rows: Rows, value: str, label_width: int = LABEL_WIDTH) -> AnyChart:
    """Horizontal bars in the given order, each with its text beside it."""
    longest = max((float(str(row[value])) for row in rows), default=0.0)
    widest = f"{longest or 1.0} * width / max(width - {label_width}, 40)"
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X(f"{value}:Q", axis=None, scale=alt.Scale(domainMin=0, domainMax=alt.ExprRef(widest), nice=False)),
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=190)),
        tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip("text:N", title=value)],
    )
    labels = base.mark_text(align="left", dx=6).encode(text="text:N")
    return alt.layer(base.mark_bar(), labels).properties(height=max(len(rows), 1) * BAR_STEP)


def _model_color(models: Sequence[str]) -> alt.Color:
    """A model has its colour in every chart, whichever others are drawn."""
    return alt.Color(
        "model:N",
        scale=alt.Scale(domain=list(MODEL_NAMES), range="ordinal"),
        legend=_legend(models),
    )


def _model_shape(models: Sequence[str]) -> alt.Shape:
    """A model has its shape in every chart too, for those to whom colours look alike."""
    return alt.Shape("model:N", scale=alt.Scale(domain=list(MODEL_NAMES), range=SHAPES), legend=_legend(models))


def _legend(models: Sequence[str]) -> alt.Legend:
    """Of colours and shapes in one."""
    return alt.Legend(title=None, orient="top", values=_in_order(models), columns=alt.ExprRef(_COLUMNS))


def _in_order(models: Sequence[str]) -> list[str]:
    return [name for name in MODEL_NAMES if name in models]
