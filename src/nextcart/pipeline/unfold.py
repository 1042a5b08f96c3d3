"""A session unfolded event by event: what would have been recommended, and what came next."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from nextcart.errors import InputError
from nextcart.events.schema import Event, Session, SplitName
from nextcart.events.store import Store
from nextcart.models.received import session_batch
from nextcart.models.recommender import FALLBACKS, Recommender
from nextcart.pipeline.kinds import same_events
from nextcart.repository.manifest import Manifest
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
    table = store.session_events(_session_id(store, session))
    if not len(table):
        raise InputError(f"session '{session}' is not in {store.root}; give one that was ingested there")
    columns = (table.column(name).to_pylist() for name in ("aid", "ts", "type"))
    return [Event(aid, ts, TYPE_NAMES[kind]) for aid, ts, kind in zip(*columns, strict=True)]


def typical_session(store: Store, split: SplitName) -> str | None:
    """The id of the split's session of two events or more whose length is nearest the median; None: there is none."""
    found = store.run("typical_session", split=split, least=2).column("session")
    return str(found[0].as_py()) if len(found) else None


def learned_from(store: Store, manifest: Manifest, session: str) -> bool | None:
    """Whether a version was trained on events of a session of the store, so that its lists know what comes next.

    Returns:
        None where it may have been: the store's split is no longer as it was when the version was trained.

    Raises:
        InputError: the id is none of this shop's.
    """
    table = store.run("session_splits", session=_session_id(store, session))
    first_ts = dict(zip(table.column("split").to_pylist(), table.column("first_ts").to_pylist(), strict=True))
    if same_events(store, manifest):
        return manifest.data.split in first_ts
    # Of an earlier split, any session that was there by then may have been in it.
    return None if first_ts.get("train", manifest.data.last_ts + 1) <= manifest.data.last_ts else False


def _session_id(store: Store, session: str) -> Id:
    """A session's id as the store has it, of its text."""
    if store.manifest.session_type == "string":
        return session
    if not (_INTEGER.fullmatch(session) and int(session) < 2**63):
        raise InputError(f"session '{session}': this shop's session ids are integers of 64 bits; give one")
    return int(session)


def _prefixes(session: SessionBatch, first: int) -> SessionBatch:
    """The prefixes of `first` to n - 1 events of the only session of a batch."""
    lengths = np.arange(first, session.n_events)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    events = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    return SessionBatch(offsets, session.items[events], session.ts[events], session.types[events])
