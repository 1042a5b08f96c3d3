"""What the protocols ask, in plain Python: the slow and obvious way, to hold the columns against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tests.naive import CARTS, CLICKS, DAY_MS, Event, Session


class Asked(NamedTuple):
    """A question: its session, what is shown, what is to be found, and which of that stood before."""

    session: int
    history: list[Event]
    targets: list[int]
    repeats: list[bool]
    before: int


def known(sessions: Sequence[Session]) -> list[list[Event]]:
    return [[event for event in session if event.item >= 0] for session in sessions]


def next_clicks(sessions: Sequence[Session], last_positions: int, most: int) -> list[Asked]:
    """Each click but a session's first event, the last so many of a session."""
    asked = []
    for number, session in enumerate(sessions):
        places = [place for place, event in enumerate(session) if place > 0 and event.type == CLICKS]
        for place in places[-last_positions:]:
            before = session[:place]
            target = session[place].item
            seen = target in [event.item for event in before]
            asked.append(Asked(number, list(before[-most:]), [target], [seen], place))
    return asked


def later_labels(sessions: Sequence[Session], cuts: Sequence[int], kind: int, most: int) -> list[Asked]:
    """After each cut the next click, or each later item of the type once, in the order in which they came."""
    asked = []
    for number, (session, cut) in enumerate(zip(sessions, cuts, strict=True)):
        later = list(dict.fromkeys(event.item for event in session[cut:] if event.type == kind))
        targets = later[:1] if kind == CLICKS else later
        if cut and targets:
            before = session[:cut]
            seen = {event.item for event in before}
            asked.append(Asked(number, list(before[-most:]), targets, [item in seen for item in targets], cut))
    return asked


def completions(sessions: Sequence[Session], draws: Sequence[float]) -> list[tuple[int, int, list[int]]]:
    """Session, given item and other items of baskets of two or more distinct items."""
    asked = []
    for number, (session, draw) in enumerate(zip(sessions, draws, strict=True)):
        basket = list(dict.fromkeys(event.item for event in session if event.type >= CARTS))
        if len(basket) >= 2:
            given = basket[int(draw * len(basket))]
            asked.append((number, given, [item for item in basket if item != given]))
    return asked


def held(sessions: Sequence[Session], top: Sequence[int], kind: int, days: int, end_ts: int) -> list[tuple[int, int]]:
    """By session: events of a type in the days after the end whose items are among the top ones, and all of them."""
    found = []
    for session in sessions:
        events = [e for e in session if e.type == kind and end_ts < e.ts <= end_ts + days * DAY_MS]
        found.append((sum(event.item in top for event in events), len(events)))
    return found
