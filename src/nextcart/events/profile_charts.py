"""The charts of a profile as Vega-Lite specifications, made with Altair.

A chart holds no colours, fonts or sizes of its own but for what carries meaning: the page gives them, one set for light
and one for dark. Every chart has at most some 3,000 points, whatever the size of the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import altair as alt

from nextcart.events.page import Spec, drawable
from nextcart.events.profile import Day, Distribution, Profile
from nextcart.events.profile_text import counted, number_text, share_text
from nextcart.types import DAY_MS, TYPE_NAMES

Rows = list[dict[str, object]]
AnyChart = alt.Chart | alt.LayerChart | alt.FacetChart

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MAX_DAYS, LONG_DAYS = 700, 200
"""A longer range is drawn in bins of several days; one of that length has months on its axis, not days."""
CHART_HEIGHT, HEATMAP_STEP = 240, 30
"""Pixels: of a chart with two axes, and of a row of the heatmap."""
BARS_HEIGHT, BAR_MAX, BAR_MIN, LABEL_WIDTH = 200, 64, 34, 130
"""Pixels: what horizontal bars share, the limits of one with its gap, and what stays free for the label beside it."""

_TYPE_COLOR = alt.Color("type:N", scale=alt.Scale(domain=list(TYPE_NAMES)), legend=None)


def types_chart(profile: Profile) -> Spec:
    """Events by type."""
    numbers = profile.events_by_type
    rows: Rows = [
        {"name": name, "number": numbers[name], "text": number_text(numbers[name]), "type": name} for name in TYPE_NAMES
    ]
    return drawable(_labelled_bars(rows, color=_TYPE_COLOR), "Bars: events by type.")


def items_by_type_chart(profile: Profile) -> Spec:
    """Distinct items by type, and the items that never see a cart or an order."""
    rows = [_row(name, profile.items_by_type[name], profile.items, type=name) for name in TYPE_NAMES]
    rows.append(_row("no cart, no order", profile.items_without_cart_or_order, profile.items, type="none"))
    color = alt.Color("type:N", scale=alt.Scale(domain=[*TYPE_NAMES, "none"]), legend=None)
    return drawable(_labelled_bars(rows, color=color), "Bars: distinct items by type of event.")


def funnel_chart(profile: Profile) -> Spec:
    """Sessions that have the first type, the first and the second, all."""
    rows = [_row(" + ".join(step), number, profile.sessions, type=step[-1]) for step, number in profile.funnel]
    return drawable(_labelled_bars(rows, color=_TYPE_COLOR), "Bars: sessions that reach each step of the funnel.")


def paths_chart(profile: Profile) -> Spec:
    """Sessions by the set of types they hold."""
    rows = [_row(_only(path.types), path.sessions, profile.sessions) for path in profile.paths]
    return drawable(_labelled_bars(rows), "Bars: sessions by the types of event they hold.")


def histogram_chart(distribution: Distribution, value: str, counted_things: str) -> Spec:
    """A distribution over bins that double in width.

    Args:
        distribution: what to draw.
        value: name of the counted value, for the axis, such as "events of the session".
        counted_things: what has that value, such as "sessions".
    """
    total = sum(number for _, _, number in distribution.histogram)
    rows = [
        {
            "bin": _short(low) if low == high else f"{_short(low)}–{_short(high)}",
            "range": f"{low:,}" if low == high else f"{low:,} to {high:,}",
            "share": number / total,
            "number": number,
            "text": counted(number, total),
        }
        for low, high, number in distribution.histogram
    ]
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            x=alt.X("bin:N", sort=None, title=value, axis=alt.Axis(labelAngle=-40, labelOverlap=False)),
            y=alt.Y("share:Q", title=f"share of {counted_things}", axis=alt.Axis(format=".0%")),
            tooltip=[alt.Tooltip("range:N", title=value), alt.Tooltip("text:N", title=counted_things)],
        )
        .properties(height=CHART_HEIGHT)
    )
    return drawable(chart, f"Histogram: {counted_things} by {value}.")


def long_tail_chart(profile: Profile) -> Spec:
    """Cumulative share of events over the rank of items, with 10 % of the items marked."""
    rows = [
        {"rank": rank, "share": share, "items": counted(rank, profile.items), "events": share_text(share, 1)}
        for rank, share in profile.long_tail
    ]
    x = alt.X("rank:Q", scale=alt.Scale(type="log", nice=False), title="items, most frequent first (log scale)")
    curve = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_area(line=True, point={"opacity": 0, "size": 60})
        .encode(
            x=x.axis(format="~s", labelOverlap=True, tickCount=6),
            y=alt.Y(
                "share:Q", title="share of all events", axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])
            ),
            tooltip=[alt.Tooltip("items:N"), alt.Tooltip("events:N", title="their events")],
        )
    )
    tenth = [{"rank": -(-profile.items // 10), "share": profile.top_10_percent_share}]
    marked = alt.Chart(alt.InlineData(values=tenth)).encode(x=x)
    rule = marked.mark_rule(strokeDash=[4, 4])
    label = marked.mark_text(align="right", baseline="bottom", dx=-6, dy=-4).encode(
        y="share:Q", text=alt.value(f"10 % of items: {share_text(profile.top_10_percent_share, 1)} of events")
    )
    chart = alt.layer(curve, rule, label).properties(height=CHART_HEIGHT)
    return drawable(chart, "Curve: share of all events that the most frequent items have, over their number.")


def daily_chart(profile: Profile) -> Spec:
    """Events a day by type, with the 7-day average."""
    step = -(-len(profile.daily) // MAX_DAYS)
    bins = [profile.daily[start : start + step] for start in range(0, len(profile.daily), max(step, 1))]
    rows = [row for days in bins for row in _day_rows(days)]
    lines = [
        {
            "start": _milliseconds(days[0].date, len(days) / 2),
            "average": days[-1].average,
            "text": number_text(days[-1].average),
        }
        for days in bins
    ]
    ticks = {"interval": "day", "step": 1} if len(bins) < 8 else 8
    x = alt.X("start:T", scale=alt.Scale(type="utc"), title=None)
    bars = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(orient="vertical", cornerRadiusEnd=0)
        .encode(
            x=x.axis(labelOverlap=True, tickCount=ticks, format="%b %d" if len(profile.daily) < LONG_DAYS else "%b %Y"),
            x2="end:T",
            y=alt.Y("from:Q", title="events a day", axis=alt.Axis(format="~s", labelExpr=_PLAIN_ZERO)),
            y2="to:Q",
            color=alt.Color("type:N", scale=alt.Scale(domain=list(TYPE_NAMES)), legend=_TOP_LEGEND),
            tooltip=[alt.Tooltip("day:N"), alt.Tooltip("type:N"), alt.Tooltip("text:N", title="events a day")],
        )
    )
    average = (
        alt.Chart(alt.InlineData(values=lines))
        .mark_line(interpolate="monotone", point={"opacity": 0, "size": 60})
        .encode(x=x, y="average:Q", tooltip=[alt.Tooltip("text:N", title="7-day average")])
    )
    chart = alt.layer(bars, average).properties(height=CHART_HEIGHT)
    return drawable(chart, "Bars: events of each day by type; line: average of the last seven days.")


def weekly_chart(profile: Profile) -> Spec:
    """Events of a mean hour, weekday by hour."""
    rows = [
        {"day": WEEKDAYS[day], "hour": hour, "events": events, "text": number_text(events)}
        for day, hours in enumerate(profile.weekly)
        for hour, events in enumerate(hours)
        if events is not None
    ]
    height = HEATMAP_STEP * max(1, len({row["day"] for row in rows}))
    gradient = max(height - 20, HEATMAP_STEP)
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_rect()
        .encode(
            x=alt.X("hour:O", title="hour (UTC)", axis=alt.Axis(labelAngle=0, values=list(range(0, 24, 3)))),
            y=alt.Y("day:O", sort=list(WEEKDAYS), title=None),
            color=alt.Color(
                "events:Q", legend=alt.Legend(title=None, format=".2~s", orient="right", gradientLength=gradient)
            ),
            tooltip=[alt.Tooltip("day:N"), alt.Tooltip("hour:O"), alt.Tooltip("text:N", title="events an hour")],
        )
        .properties(height=height)
    )
    return drawable(chart, "Heatmap: mean events of each hour of the week.")


_PLAIN_ZERO = "datum.value ? datum.label : 0"
"""Else an axis in thousands starts at 0k."""
_TOP_LEGEND = alt.Legend(title=None, orient="top")


def _day_rows(days: Sequence[Day]) -> Rows:
    """The bars of one bin of days, a type each, as a mean day."""
    start, end = _milliseconds(days[0].date), _milliseconds(days[0].date, len(days) - 0.12)
    name = days[0].date if len(days) == 1 else f"{days[0].date} to {days[-1].date}"
    clicks, carts, orders = (sum(getattr(day, kind) for day in days) / len(days) for kind in TYPE_NAMES)
    ends = [0.0, clicks, clicks + carts, clicks + carts + orders]
    return [
        {
            "start": start,
            "end": end,
            "day": name,
            "type": kind,
            "from": low,
            "to": high,
            "text": number_text(high - low),
        }
        for kind, (low, high) in zip(TYPE_NAMES, pairwise(ends), strict=True)
        if high > low
    ]


def _milliseconds(day: str, later_days: float = 0) -> float:
    """A time some days after the start of a day, in Unix milliseconds."""
    return 1000 * datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() + DAY_MS * later_days


def _short(number: int) -> str:
    """A bound of a bin, short enough for an axis: 512 · 1k · 2k · 1M."""
    for limit, unit in ((10**6, "M"), (10**3, "k")):
        if number >= limit:
            return f"{number // limit}{unit}"
    return str(number)


def _row(name: str, number: int, whole: int, **more: str) -> dict[str, object]:
    return {"name": name, "number": number, "text": counted(number, whole), **more}


def _only(types: Sequence[str]) -> str:
    return f"only {types[0]}" if len(types) == 1 else " + ".join(types)


def _labelled_bars(rows: Rows, color: alt.Color | None = None) -> AnyChart:
    """Horizontal bars in the given order, each with its count and share beside it."""
    longest = max((int(str(row["number"])) for row in rows), default=0)
    widest = f"{max(longest, 1)} * width / max(width - {LABEL_WIDTH}, 40)"
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X("number:Q", axis=None, scale=alt.Scale(domainMin=0, domainMax=alt.ExprRef(widest), nice=False)),
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=170)),
        tooltip=[alt.Tooltip("name:N", title=" "), alt.Tooltip("text:N", title="number")],
    )
    bars = base.mark_bar() if color is None else base.mark_bar().encode(color=color)
    labels = base.mark_text(align="left", dx=6).encode(text="text:N")
    # In pixels: Vega-Lite warns of a height by the step beside a width that fits its container.
    count = max(len(rows), 1)
    return alt.layer(bars, labels).properties(height=count * min(max(BARS_HEIGHT // count, BAR_MIN), BAR_MAX))
