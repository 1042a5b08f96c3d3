"""What is sent to the service, as frozen structs; what is left at its default is not sent."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from nextcart.types import Id, Mode, Objective


class Event(Struct, frozen=True):
    """What a visitor did with an item.

    Attributes:
        aid: the item's id in the shop's own form.
        ts: Unix milliseconds, UTC.
        type: clicks, carts or orders.
    """

    aid: Id
    ts: int
    type: Objective


class SessionEvent(Struct, frozen=True, omit_defaults=True):
    """An event that is to be kept.

    Attributes:
        session_id: the session's id.
        aid: the item's id.
        ts: Unix milliseconds, UTC.
        type: clicks, carts or orders.
        event_id: the shop's own id of the event, sent twice it is kept once; None: the client makes one a call.
        request_id: of the recommendations that showed the item, where it is known.
    """

    session_id: Id
    aid: Id
    ts: int
    type: Objective
    event_id: str | None = None
    request_id: str | None = None


class RecommendRequest(Struct, frozen=True, omit_defaults=True):
    """A session, and what is wanted for it.

    Attributes:
        events: the session so far, or with ``session_id`` its newest events; sorted by ``ts`` by the service.
        session_id: adds the events to what the service knows of this session, and asks with all of them.
        limit: how many items.
        objective: the kind of event that they should lead to.
        mode: ``next`` may bring items that the session holds already, ``discover`` never does.
        exclude: items that must not come.
        allow: items that alone may come; None allows all.
        explain: whether each item says what brought it.
        model: a model of the version; None: the version's default model.
        min_score: items of a lower score do not come.
        max_per_neighbourhood: at most so many items that are alike.
    """

    events: Sequence[Event] = ()
    session_id: Id | None = None
    limit: int = 20
    objective: Objective = "clicks"
    mode: Mode = "next"
    exclude: Sequence[Id] = ()
    allow: Sequence[Id] | None = None
    explain: bool = False
    model: str | None = None
    min_score: float | None = None
    max_per_neighbourhood: int | None = None


class Pin(Struct, frozen=True):
    """An item that comes at a position, from 1, of every list."""

    aid: Id
    position: int


class Boost(Struct, frozen=True):
    """An item whose score counts so many times; above 0."""

    aid: Id
    factor: float


class Rules(Struct, frozen=True):
    """The shop's rules.

    Attributes:
        version: of the rules as they were read; the service refuses to replace rules that others changed meanwhile.
        block: items that never come.
        pin: items with a place of their own.
        boost: items that count more, or less.
    """

    version: int
    block: Sequence[Id] = ()
    pin: Sequence[Pin] = ()
    boost: Sequence[Boost] = ()
