"""What a shop's rules and wishes make of a list, in plain Python; and which event of a session explains an item."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from tests.naive import CARTS, ORDERS, Neighbours, Session

PINNED = 64


class Entry(NamedTuple):
    item: int
    score: float
    sources: int


def boosted(whole: Sequence[Entry], reach: int, factors: Mapping[int, float]) -> list[Entry]:
    """The first ``reach`` entries ordered by place / factor, ties as they were; scores stay in their places."""
    head = list(enumerate(whole[:reach], 1))
    order = sorted(head, key=lambda pair: (pair[0] / factors.get(pair[1].item, 1.0), pair[0]))
    moved = [Entry(entry.item, place.score, entry.sources) for (_, entry), place in zip(order, whole, strict=False)]
    return moved + list(whole[reach:])


def thinned(whole: Sequence[Entry], k: int, most: int, near: Mapping[int, Collection[int]]) -> list[Entry]:
    """At most ``most`` of a neighbourhood: an item is of the first leader before it that is near it, else it leads."""
    members: dict[int, int] = {}
    kept: list[Entry] = []
    for entry in whole:
        if len(kept) == k:
            break
        leader = next((lead for lead in members if entry.item in near.get(lead, ())), entry.item)
        if members.setdefault(leader, 0) < most:
            members[leader] += 1
            kept.append(entry)
    return kept


def with_pins(others: Sequence[Entry], pins: Mapping[int, int], k: int) -> list[Entry]:
    """Items at positions (from 1), the others around them; where those are too few, the rest of the pins at the end."""
    left, waiting = list(others), dict(sorted(pins.items()))
    out: list[Entry] = []
    while len(out) < k and (left or waiting):
        if len(out) + 1 in waiting or not left:
            item = waiting.pop(len(out) + 1 if len(out) + 1 in waiting else min(waiting))
            score = left[0].score if left else out[-1].score if out else 0.0
            out.append(Entry(item, score, PINNED))
        else:
            out.append(left.pop(0))
    return out


def arranged(
    whole: Sequence[Entry],
    k: int,
    *,
    pins: Mapping[int, int],
    factors: Mapping[int, float],
    min_score: float | None,
    most: int | None,
    near: Mapping[int, Collection[int]],
) -> list[Entry]:
    """A list with all that can come, by all wishes; ``pins`` are items by position, those that may stand."""
    entries = [entry for entry in whole if min_score is None or entry.score >= min_score]
    entries = boosted(entries, 2 * k, factors)
    pins = {position: item for position, item in pins.items() if position <= k}
    entries = [entry for entry in entries if entry.item not in pins.values()]
    if most is not None:
        entries = thinned(entries, k, most, near)
    return with_pins(entries, pins, k)


# Why an item came.


def by_lists(
    session: Session, item: int, lists: Neighbours, events: int, decay: float, type_weights: Sequence[float]
) -> int:
    """The event whose neighbours hold the item with the greatest weight * decay ** i * type weight; -1 for none."""
    shares = {
        e: dict(lists.get(event.item, ())).get(item, 0.0) * decay ** (len(session) - 1 - e) * type_weights[event.type]
        for e, event in enumerate(session)
        if e >= len(session) - events
    }
    return largest(shares)


def by_shared_sessions(
    session: Session, item: int, holding: Mapping[int, Collection[int]], idf: Sequence[float], events: int, decay: float
) -> int:
    """The event with the most recent sessions that hold its item and this one, by idf and position."""
    newest: dict[int, int] = {}
    for e in reversed(range(len(session))):
        if session[e].item >= 0:
            newest.setdefault(session[e].item, e)
    shares = {
        e: math.exp(-i / decay) * idf[other] * len(set(holding.get(other, ())) & set(holding.get(item, ())))
        for i, (other, e) in enumerate(list(newest.items())[:events])
    }
    return largest(shares)


def by_basket(session: Session, item: int, lists: Neighbours, query_events: int) -> int:
    """Of the last carts and orders, or the last event where there are none, the one that the item goes with best."""
    known = [e for e, event in enumerate(session) if event.item >= 0]
    asked = [e for e in known if session[e].type in (CARTS, ORDERS)][-query_events:] or known[-1:]
    weights = [dict(lists.get(session[e].item, ())) for e in asked]
    return largest({e: weight.get(item, 0.0) for e, weight in zip(asked, weights, strict=True)})


def largest(shares: Mapping[int, float]) -> int:
    """The event with the largest share above 0, the newest of equals; -1 for none."""
    held = {e: share for e, share in shares.items() if share > 0}
    return max(held, key=lambda e: (held[e], e)) if held else -1
