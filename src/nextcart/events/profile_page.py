"""A profile as one HTML page that needs nothing else: charts, figures and the code that draws them are inside."""

from __future__ import annotations

from html import escape
from pathlib import Path

from nextcart.events import profile_charts as charts
from nextcart.events.page import Card, Rows, card_html, page, write_whole
from nextcart.events.profile import Profile
from nextcart.events.profile_text import (
    counted,
    distribution_rows,
    number_text,
    share_text,
    summary_rows,
    time_text,
)
from nextcart.types import TYPE_NAMES

SOURCES_SHOWN = 3

FOOTER = (
    "Made by <code>nextcart profile</code>. Times and days are UTC. A quantile is the smallest value that covers the "
    "share: p90 is what 90 % do not exceed. Every figure is exact."
)


def write_page(profile: Profile, path: Path) -> None:
    """Write the page of `profile` to `path`, whole or not at all.

    Raises:
        InputError: `path` is a directory.
        RunFailed: the file cannot be written.
    """
    write_whole(render_page(profile), path)


def render_page(profile: Profile) -> str:
    """The page of `profile` as HTML."""
    shown = cards(profile)
    drawn = "\n".join(card_html(card, number) for number, card in enumerate(shown))
    rows = "\n".join(f"<tr><th scope=row>{escape(n)}</th><td>{escape(v)}</td></tr>" for n, v in summary_rows(profile))
    return page(
        title=f"Event profile: {profile.split}",
        subtitle=_subtitle(profile),
        tiles=_tiles(profile),
        body=f'<div class="cards">\n{drawn}\n</div>\n<details><summary>All figures as a table</summary>'
        f'<table class="pairs">\n{rows}\n</table></details>',
        specs=[card.spec for card in shown],
        footer=FOOTER,
    )


def cards(profile: Profile) -> list[Card]:
    """The charts of the page, in order."""
    return [*_who_and_when(profile), *_sessions(profile), *_items(profile)] if profile.events else []


def _who_and_when(profile: Profile) -> list[Card]:
    busiest = max(profile.daily, key=lambda day: day.events)
    return [
        Card(
            "Events by day",
            [
                ("days", number_text(profile.days)),
                ("mean a day", number_text(profile.events / profile.days)),
                ("busiest day", f"{busiest.date} ({number_text(busiest.events)})"),
            ],
            "The line is the average of a day and the six before it. Look for gaps, steps and a last day cut short: "
            "models weigh recent events most.",
            charts.daily_chart(profile),
            width="full",
        ),
        Card(
            "Hours of the week",
            [("busiest hour", _busiest_hour(profile))],
            "Mean events of each hour, in UTC. A pattern shifted against the shop's day tells of a wrong time zone.",
            charts.weekly_chart(profile),
            width="two-thirds",
        ),
        Card(
            "Types of event",
            [(name, share_text(profile.events_by_type[name], profile.events)) for name in TYPE_NAMES],
            "Carts and orders are rare and weigh more: a click counts 1, a cart 3, an order 5 in most models.",
            charts.types_chart(profile),
            width="third",
        ),
    ]


def _sessions(profile: Profile) -> list[Card]:
    last_step, reached = profile.funnel[-1]
    return [
        Card(
            "Session length",
            distribution_rows(profile.session_events),
            "Events of a session. Half of the sessions have no more than the p50: so little has to be enough for a "
            "good recommendation. Bars to the far right may be bots.",
            charts.histogram_chart(profile.session_events, "events of the session", "sessions"),
        ),
        Card(
            "Distinct items per session",
            distribution_rows(profile.session_items),
            "The further left of session length this lies, the more people come back to items they have seen.",
            charts.histogram_chart(profile.session_items, "distinct items of the session", "sessions"),
        ),
        Card(
            "Funnel",
            [(f"with {' + '.join(last_step)}", share_text(reached, profile.sessions))],
            "Sessions that hold the first type, the first and the next, and so on, in whatever order they came.",
            charts.funnel_chart(profile),
        ),
        Card(
            "What sessions consist of",
            [("kinds of session", str(len(profile.paths)))],
            "Each session counts once. Orders without a click or a cart tell of events that were not recorded.",
            charts.paths_chart(profile),
        ),
    ]


def _items(profile: Profile) -> list[Card]:
    rare = profile.items_seen_once + profile.items_seen_twice
    return [
        Card(
            "Item frequency",
            [
                *distribution_rows(profile.item_events),
                ("seen once", share_text(profile.items_seen_once, profile.items)),
                ("once or twice", share_text(rare, profile.items)),
            ],
            "Events of an item. Items on the left are too rare to learn much from: item2vec, unless told otherwise, "
            "gives a vector from 5 events on.",
            charts.histogram_chart(profile.item_events, "events of the item", "items"),
        ),
        Card(
            "Long tail",
            [
                ("top 1 % of items", f"{share_text(profile.top_1_percent_share, 1)} of events"),
                ("top 10 % of items", f"{share_text(profile.top_10_percent_share, 1)} of events"),
            ],
            "The earlier the curve rises, the better plain top sellers do, and the more a model must do for the rest.",
            charts.long_tail_chart(profile),
        ),
        Card(
            "Distinct items by type",
            [("never in a cart or order", counted(profile.items_without_cart_or_order, profile.items))],
            "Items without a cart or an order cannot be learned as bought together; clicks are all they have.",
            charts.items_by_type_chart(profile),
            width="full",
        ),
    ]


def _tiles(profile: Profile) -> Rows:
    rare = profile.items_seen_once + profile.items_seen_twice
    buying = sum(path.sessions for path in profile.paths if "orders" in path.types)
    return [
        ("events", number_text(profile.events)),
        ("sessions", number_text(profile.sessions)),
        ("items", number_text(profile.items)),
        ("days", number_text(profile.days)),
        ("events a session, p50", number_text(profile.session_events.p50)),
        ("sessions with an order", share_text(buying, profile.sessions)),
        ("items seen once or twice", share_text(rare, profile.items)),
        ("events of the top 10 % of items", share_text(profile.top_10_percent_share, 1)),
    ]


def _subtitle(profile: Profile) -> str:
    named = ", ".join(profile.sources[:SOURCES_SHOWN])
    more = len(profile.sources) - SOURCES_SHOWN
    origin = f"{named} and {more} more" if more > 0 else named
    span = f"{time_text(profile.first_ts)} to {time_text(profile.last_ts)} UTC" if profile.events else "no events"
    return f"{span} · from {origin}" if origin else span


def _busiest_hour(profile: Profile) -> str:
    _, day, hour = max(
        (events, -day, -hour)
        for day, hours in enumerate(profile.weekly)
        for hour, events in enumerate(hours)
        if events is not None
    )
    return f"{charts.WEEKDAYS[-day]} {-hour:02d}:00–{(1 - hour) % 24:02d}:00"
