"""Take events: on disk before they are acknowledged, then added to what is known of their sessions."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence

import msgspec

from nextcart.errors import LogBusy, LogUnavailable
from nextcart.events.schema import MAX_ID_BYTES
from nextcart.serving.bodies import count_errors, decode, field_error, read_body
from nextcart.serving.event_log import LoggedEvent
from nextcart.serving.lane import Answer, Call, answer
from nextcart.serving.problems import Problem, invalid
from nextcart.serving.schemas import (
    INT64_MAX,
    EventsRequest,
    EventsResponse,
    FieldError,
    LoggedEventBody,
    RejectedEvent,
)
from nextcart.serving.services import Services
from nextcart.types import DAY_MS, Id, IdType

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class _RawEvents(msgspec.Struct):
    events: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


class _RawEventsAlone(msgspec.Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]


class EventRoutes:
    """The handler of the events."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._config = services.settings.serving
        self._latest_ms = services.settings.ingest.max_future_days * DAY_MS
        self._all = msgspec.json.Decoder(EventsRequest)
        self._one = msgspec.json.Decoder(LoggedEventBody)
        self._raw = msgspec.json.Decoder(_RawEvents)
        self._raw_alone = msgspec.json.Decoder(_RawEventsAlone)

    async def post_events(self, call: Call) -> Answer:
        """Keep events as they happen: one, or a list of them.

        202 says that the accepted ones are on disk, and are part of their sessions from now on. An event that is not
        valid is named in `rejected`, and the others are taken; 422 only where none is valid. With an `event_id` an
        event may be sent again: it is kept once.
        """
        body = await read_body(call, self._config.max_body_bytes)
        events, rejected = self._sift(self._parsed(body))
        if rejected and not events:
            raise invalid(*(FieldError(_field(each), each.message) for each in rejected))
        is_new = await self._keep(events)
        fresh = [event for event, new in zip(events, is_new, strict=True) if new]
        await self._services.following.happened(fresh)
        self._count(events, is_new, rejected)
        return answer(EventsResponse(len(fresh), len(events) - len(fresh), rejected), 202)

    async def _keep(self, events: Sequence[LoggedEventBody]) -> list[bool]:
        lines = [LoggedEvent(e.session_id, e.aid, e.ts, e.type, e.event_id, e.request_id) for e in events]
        try:
            return await self._services.event_log.append(lines) if lines else []
        except LogUnavailable as error:
            kind, wait = ("log-busy", "1") if isinstance(error, LogBusy) else ("log-full", "30")
            title = "Events are not taken now"
            raise Problem(503, kind, title, str(error), headers={"retry-after": wait}) from None

    def _count(
        self, events: Sequence[LoggedEventBody], is_new: Sequence[bool], rejected: Sequence[RejectedEvent]
    ) -> None:
        metrics = self._services.metrics
        counts = Counter((e.type, "accepted" if new else "duplicate") for e, new in zip(events, is_new, strict=True))
        for (event_type, outcome), n in counts.items():
            metrics.events(event_type, outcome, n)
        if rejected:
            metrics.events("other", "rejected", len(rejected))

    def _sift(self, found: Sequence[LoggedEventBody | FieldError]) -> tuple[list[LoggedEventBody], list[RejectedEvent]]:
        """The valid events, and what is wrong with the others."""
        latest = int(time.time() * 1000 + self._latest_ms)
        session_type, aid_type = self._services.id_types()
        events, rejected = [], []
        for place, each in enumerate(found):
            wrong = each if isinstance(each, FieldError) else _fault(each, latest, session_type, aid_type)
            if wrong is not None:
                rejected.append(RejectedEvent(place, wrong.field, wrong.message))
            elif isinstance(each, LoggedEventBody):
                events.append(each)
        return events, rejected

    def _parsed(self, body: bytes) -> Sequence[LoggedEventBody | FieldError]:
        """Each event that was sent, or what is wrong with it.

        Raises:
            Problem: 400 or 422, something beside the events of a list is wrong, or they are too many.
        """
        try:
            found: Sequence[LoggedEventBody | FieldError] = self._all.decode(body).events
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = self._one_by_one(body)
        if errors := count_errors("events", len(found), self._config.max_events):
            raise invalid(*errors)
        return found

    def _one_by_one(self, body: bytes) -> Sequence[LoggedEventBody | FieldError]:
        if isinstance(decode(body, self._raw).events, msgspec.UnsetType):
            return [decode(body, self._one)]
        # Nothing may stand beside the list.
        return [self._event(part) for part in decode(body, self._raw_alone).events]

    def _event(self, part: msgspec.Raw) -> LoggedEventBody | FieldError:
        try:
            return self._one.decode(part)
        except msgspec.ValidationError as error:
            return field_error(str(error), LoggedEventBody)


def _fault(
    event: LoggedEventBody, latest: int, session_type: IdType | None, aid_type: IdType | None
) -> FieldError | None:
    """What is wrong with an event that its struct cannot know: ingest would reject it later."""
    if event.ts > latest:
        return FieldError("ts", f"lies in the future ({event.ts}); give Unix milliseconds, UTC")
    return _id_fault("session_id", event.session_id, session_type) or _id_fault("aid", event.aid, aid_type)


def _id_fault(field: str, value: Id, id_type: IdType | None) -> FieldError | None:
    if isinstance(value, str):
        if reason := _text_fault(value):
            return FieldError(field, reason)
    elif value < 0:
        return FieldError(field, "is below zero; ids count from 0")
    elif value > INT64_MAX:
        return FieldError(field, "does not fit 64 bits; send it as a string, or send a smaller one")
    if id_type is not None and isinstance(value, int) != (id_type == "int64"):
        word = "an integer" if id_type == "int64" else "a string"
        return FieldError(field, f"must be {word}, as all of this shop are")
    return None


def _text_fault(value: str) -> str | None:
    if not value:
        return "is empty; give the event an id, or leave the event out"
    if len(value.encode()) > MAX_ID_BYTES:
        return f"has more than {MAX_ID_BYTES} bytes in UTF-8; send a shorter one"
    return "holds a line break or another control character" if _CONTROL.search(value) else None


def _field(rejected: RejectedEvent) -> str:
    return f"events[{rejected.place}].{rejected.field}".rstrip(".")
