"""What stands on a line of the event log: OTTO JSONL of one event, with what else is known of it behind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from nextcart.types import Id

_AT_ONCE = 256
"""One call encodes so many lines: it holds the interpreter for about 0.2 ms, which the event loop waits for."""

_encoder = msgspec.json.Encoder()


class LoggedEvent(msgspec.Struct, frozen=True, gc=False):
    """An accepted event.

    Attributes:
        session: the session's id; 12 and "12" are two sessions.
        aid: the item's id.
        ts: Unix milliseconds, UTC.
        type: clicks, carts or orders.
        event_id: the sender's own name of the event; a second event of that name adds nothing.
        request_id: of the recommendations that led to it.
    """

    session: Id
    aid: Id
    ts: int
    type: str
    event_id: str | None = None
    request_id: str | None = None


class Exposure(msgspec.Struct, frozen=True):
    """What a session was shown.

    Attributes:
        session: the session's id.
        request_id: of the answer.
        ts: Unix milliseconds, UTC, when it was answered.
        version: the version of the models.
        objective: what the items should lead to.
        aids: the items, best first.
    """

    # The session stands first on the line: `erasing` finds it there.
    session: Id
    request_id: str
    ts: int
    version: str
    objective: str
    aids: Sequence[Id]


class _Event(msgspec.Struct, frozen=True, gc=False):
    aid: Id
    ts: int
    type: str


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    session: Id
    events: tuple[_Event]
    event_id: str | None = None
    request_id: str | None = None
    received_ts: int = 0


class _Named(msgspec.Struct, frozen=True, gc=False):
    event_id: str | None = None


_named = msgspec.json.Decoder(_Named)


def event_line(event: LoggedEvent, received_ms: int) -> bytes:
    """An event as a line of the log, ended by a newline; ``received_ms``: Unix milliseconds, UTC.

    Raises:
        UnicodeEncodeError: an id is no text, but half of a surrogate pair.
    """
    line = _Line(
        event.session, (_Event(event.aid, event.ts, event.type),), event.event_id, event.request_id, received_ms
    )
    return _encoder.encode(line) + b"\n"


def exposure_lines(exposures: Sequence[Exposure]) -> bytes:
    """Exposures as lines of their log, each ended by a newline."""
    firsts = range(0, len(exposures), _AT_ONCE)
    return b"".join(_encoder.encode_lines(exposures[first : first + _AT_ONCE]) for first in firsts)


def event_ids(data: bytes) -> list[str | None]:
    """The ``event_id`` of each line, None where it has none; lines that are damaged are passed over."""
    try:
        return [line.event_id for line in _named.decode_lines(data)]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return list(_one_by_one(data.splitlines()))


def _one_by_one(lines: Iterable[bytes]) -> Iterable[str | None]:
    for line in lines:
        try:
            yield _named.decode(line).event_id
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue


def starts(session_ids: Iterable[Id]) -> list[bytes]:
    """What the lines of these sessions begin with; the lines of no other session do."""
    return [b'{"session":' + _encoder.encode(session) + b',"' for session in session_ids]
