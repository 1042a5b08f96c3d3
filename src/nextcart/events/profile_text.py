"""How a profile's figures are written: for the terminal, and for the page."""

from __future__ import annotations

from datetime import UTC, datetime

from nextcart.events.profile import Distribution, Profile
from nextcart.types import TYPE_NAMES


def number_text(number: float) -> str:
    """A count as people read it: 9,876 · 386,993 · 1.46 M · 217 M · 1.20 G."""
    for limit, unit in ((1e9, "G"), (1e6, "M")):
        # Past 999.5 of a unit, three digits would round to 1,000 of it.
        if number >= limit * 0.9995:
            return f"{three_digits(number / limit)} {unit}"
    return f"{round(number):,}"


def three_digits(number: float) -> str:
    """A number with three significant digits, more where it has more before the point: 1.46 · 16.7 · 217 · 4,503."""
    if number >= 99.95:
        return f"{round(number):,}"
    return f"{number:.1f}" if number >= 9.995 else f"{number:.2f}"


def share_text(part: float, whole: float) -> str:
    """A share in per cent, a dash of nothing: 89.9 % · < 0.1 % · –."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    # What is not everything is not shown as 100 %.
    return f"{min(percent, 99.9) if part < whole else percent:.1f} %"


def time_text(ts: int | None) -> str:
    """A time in minutes, UTC."""
    return "–" if ts is None else datetime.fromtimestamp(ts / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")


def distribution_text(distribution: Distribution) -> str:
    """Mean, quantiles and maximum on one line."""
    return " · ".join(f"{name} {value}" for name, value in distribution_rows(distribution))


def distribution_rows(distribution: Distribution) -> list[tuple[str, str]]:
    """Mean, quantiles and maximum."""
    quantiles = {"p50": distribution.p50, "p90": distribution.p90, "p99": distribution.p99, "max": distribution.max}
    return [("mean", three_digits(distribution.mean)), *((name, number_text(n)) for name, n in quantiles.items())]


def counted(number: int, whole: int) -> str:
    """A count and its share of the whole."""
    return f"{number_text(number)} ({share_text(number, whole)})"


def summary_rows(profile: Profile) -> list[tuple[str, str]]:
    """The figures as (name, value), in reading order."""
    rare = profile.items_seen_once + profile.items_seen_twice
    rows = [
        ("split", profile.split),
        ("events", number_text(profile.events)),
        ("sessions", number_text(profile.sessions)),
        ("items", number_text(profile.items)),
        ("first event (UTC)", time_text(profile.first_ts)),
        ("last event (UTC)", time_text(profile.last_ts)),
        ("days", number_text(profile.days)),
    ]
    rows += [(f"events: {name}", counted(profile.events_by_type[name], profile.events)) for name in TYPE_NAMES]
    rows += [
        ("events per session", distribution_text(profile.session_events)),
        ("distinct items per session", distribution_text(profile.session_items)),
        ("events per item", distribution_text(profile.item_events)),
        ("items seen once", counted(profile.items_seen_once, profile.items)),
        ("items seen once or twice", counted(rare, profile.items)),
        ("events of the top 1 % of items", share_text(profile.top_1_percent_share, 1)),
        ("events of the top 10 % of items", share_text(profile.top_10_percent_share, 1)),
    ]
    rows += [(f"items with {name}", counted(profile.items_by_type[name], profile.items)) for name in TYPE_NAMES]
    rows.append(("items without cart or order", counted(profile.items_without_cart_or_order, profile.items)))
    rows += [(f"sessions with {_and(step)}", counted(n, profile.sessions)) for step, n in profile.funnel]
    rows += [
        (f"sessions with {_and(path.types)} only", counted(path.sessions, profile.sessions)) for path in profile.paths
    ]
    return rows


def _and(types: tuple[str, ...]) -> str:
    return " + ".join(types)
