"""What the service answers, as frozen structs; a field that this client does not know is passed over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from nextcart.client.bodies import Event
from nextcart.types import Id


class Recommendation(Struct, frozen=True):
    """An item, best first.

    Attributes:
        aid: the item's id in the shop's own form.
        score: never rises within a list, and means nothing outside it.
        sources: the models that brought it; only with ``explain``.
        because: the session's event that spoke for it most; only with ``explain``, None where none did.
    """

    aid: Id
    score: float
    sources: tuple[str, ...] = ()
    because: Event | None = None


class ItemList(Struct, frozen=True):
    """Items for an item, a basket or anybody.

    Attributes:
        model_version: the version that answered.
        items: best first.
        fallback: why the items are top sellers only: empty_session, unknown_items or no_candidates; None: they are not.
    """

    model_version: str
    items: tuple[Recommendation, ...] = field(name="recommendations")
    fallback: str | None = None

    @property
    def aids(self) -> list[Id]:
        """The items' ids alone."""
        return [item.aid for item in self.items]


class Recommendations(ItemList, frozen=True, kw_only=True):
    """The recommendations for one session.

    Attributes:
        request_id: of the answer: give it with the events that it leads to.
        session_id: as it was given.
        took_ms: time in the service, milliseconds; in a batch, that of the whole batch.
    """

    request_id: str
    session_id: Id | None
    took_ms: float


class Batch(Struct, frozen=True):
    """Answers in the order of the requests."""

    responses: list[Recommendations]


class Rejected(Struct, frozen=True):
    """An event that was not taken.

    Attributes:
        place: in the list that was sent, from 0.
        field: the field that is wrong.
        message: what is wrong with it.
    """

    place: int
    field: str
    message: str


class Accepted(Struct, frozen=True):
    """What became of events.

    Attributes:
        accepted: events that are on the service's disk now.
        duplicates: events that were there already, by their ``event_id``.
        rejected: events that are not valid.
    """

    accepted: int
    duplicates: int
    rejected: tuple[Rejected, ...]


class Receipt(Struct, frozen=True):
    """What became of a session that is to be forgotten.

    Attributes:
        receipt_id: names the receipt in the service's records.
        asked_at: ISO 8601, UTC.
        sessions: sessions that were asked for.
        found: place -> what was found there; None where nobody has looked yet.
        gone: place -> ``now``, or what it waits for.
    """

    receipt_id: str
    asked_at: str
    sessions: int
    found: Mapping[str, Any]
    gone: Mapping[str, str]


class Refused(Struct, frozen=True):
    """A version, or the shop's rules, that would not go live."""

    what: str
    reason: str


class Health(Struct, frozen=True):
    """The state of the service.

    Attributes:
        status: ``ready``.
        model_version: the version that answers.
        candidate_version: the version that answers a share of the sessions; None where none does.
        refused: what was promoted or set, but would not go live.
    """

    status: str
    model_version: str | None = None
    candidate_version: str | None = None
    refused: tuple[Refused, ...] = ()


class FieldError(Struct, frozen=True):
    """One thing that is wrong with a request, such as of ``events[3].ts``."""

    field: str
    message: str


class Problem(Struct, frozen=True):
    """A problem document, as far as it is read."""

    type: str = ""
    title: str = ""
    detail: str = ""
    errors: tuple[FieldError, ...] = ()
