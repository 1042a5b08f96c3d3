"""A session unfolded event by event: what would have been recommended, and what came next."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from nextcart.errors import InputError
from nextcart.events.schema import Event, Session
from nextcart.events.store import Store
from nextcart.models.received import session_batch
from nextcart.models.recommender import FALLBACKS, Recommender
from nextcart.types import TYPE_NAMES, Id, Mode, Objective, SessionBatch, Source

_INTEGER = re.compile("[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Shown:
    """One recommended item of a step."""

    aid: Id
    score: float
    sources: list[str]
    seen: bool
    target: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One moment of a session: what had happened, what was recommended, and what came next.

    Attributes:
        history: the events so far, oldest first.
        target: the event that came next.
        shown: the recommended items, best first.
        rank: the target's place among them, from 1; None where it is not there.
        fallback: why the list is top sellers only, or None.
    """

    history: list[Event]
    target: Event
    shown: list[Shown]
    rank: int | None
    fallback: str | None


def unfold(
    recommender: Recommender,
    events: list[Event],
    *,
    limit: int = 20,
    model: str | None = None,
    objective: Objective = "clicks",
    mode: Mode = "next",
    last: int | None = None,
) -> list[Step]:
    """One step for each event but the first: all prefixes are answered in one batch.

    Args:
        recommender: the version to ask.
        events: of one session; they are put in the order of their times.
        limit: items a step.
        model: None takes the version's default model.
        objective: what the items are for.
        mode: "next" or "discover".
        last: only so many steps, the last ones; None takes all, which needs memory by the square of the events.

    Raises:
        InputError: the session has fewer than two events, so nothing comes next.
    """
    if len(events) < 2:
        how_many = "1 event" if events else "no events"
        raise InputError(f"the session has {how_many}, so nothing comes next; pick a longer one")
    events = sorted(events, key=lambda event: event.ts)
    first = 1 if last is None else max(1, len(events) - last)
    prefixes = _prefixes(session_batch(recommender.vocabulary, [Session(0, events)]), first)
    answer = recommender.recommend(prefixes, limit, model=model, objective=objective, mode=mode)
    steps = []
    for position, items, scores, sources, fallback in zip(
        range(first, len(events)),
        answer.ranked.items,
        answer.ranked.scores,
        answer.ranked.sources,
        answer.fallback,
        strict=True,
    ):
        history, target = events[:position], events[position]
        seen = {event.aid for event in history}
        found = items >= 0
        aids = recommender.vocabulary.ids(items[found])
        shown = [
            Shown(aid, float(score), Source.names(int(bits)), aid in seen, aid == target.aid)
            for aid, score, bits in zip(aids, scores[found], sources[found], strict=True)
        ]
        rank = next((place for place, item in enumerate(shown, 1) if item.target), None)
        steps.append(Step(history, target, shown, rank, FALLBACKS[fallback]))
    return steps


def stored_session(store: Store, session: str) -> list[Event]:
    """The events of a session of the store, by its id as text.

    Raises:
        InputError: there is no such session.
    """
    wanted: Id = session
    if store.manifest.session_type == "int64":
        if not (_INTEGER.fullmatch(session) and int(session) < 2**63):
            raise InputError(f"session '{session}': this shop's session ids are integers of 64 bits; give one")
        wanted = int(session)
    table = store.session_events(wanted)
    if not len(table):
        raise InputError(f"session '{session}' is not in {store.root}; give one that was ingested there")
    columns = (table.column(name).to_pylist() for name in ("aid", "ts", "type"))
    return [Event(aid, ts, TYPE_NAMES[kind]) for aid, ts, kind in zip(*columns, strict=True)]


def _prefixes(session: SessionBatch, first: int) -> SessionBatch:
    """The prefixes of `first` to n - 1 events of the only session of a batch."""
    lengths = np.arange(first, session.n_events)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    events = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    return SessionBatch(offsets, session.items[events], session.ts[events], session.types[events])
