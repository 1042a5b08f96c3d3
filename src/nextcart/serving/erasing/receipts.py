"""What an erasure answers: where the sessions were found, and when each place will have nothing of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from secrets import token_hex
from typing import Annotated

from msgspec import Meta, Struct

from nextcart.types import Id

NOW = "now"
WITH_PENDING = "with the next 'nextcart erase --pending'"
WITH_TRAINING = "with the next training and promotion"

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")


class LogFound(Struct, frozen=True):
    """Lines removed from the segments of a log."""

    segments: int
    lines: int


class StoreFound(Struct, frozen=True):
    """Events removed from the event store."""

    sessions: int
    events: int
    splits: Annotated[Mapping[str, int], Meta(description="Events by split.")]
    rejects: Annotated[int, Meta(description="Rejected records that named a session.")]


class Found(Struct, frozen=True):
    """Where the sessions were found; null where nobody has looked yet."""

    session_store: Annotated[int | None, Meta(description="Sessions that it held.")]
    event_log: LogFound | None
    exposures: Annotated[LogFound | None, Meta(description="What the sessions were shown.")]
    event_store: StoreFound | None
    models: Annotated[
        list[str] | None,
        Meta(description="Published versions whose counts hold events of the sessions' time, perhaps theirs."),
    ]


class Gone(Struct, frozen=True):
    """When each place has nothing of the sessions any more: `now`, or what it waits for."""

    session_store: str
    event_log: str
    event_store: str
    models: str


class Receipt(Struct, frozen=True):
    """What became of a wish to be forgotten; names no session."""

    receipt_id: str
    asked_at: Annotated[str, Meta(description="ISO 8601, UTC.")]
    sessions: Annotated[int, Meta(description="Sessions that were asked for.")]
    found: Found
    gone: Gone


def receipt(sessions: int, found: Found, gone: Gone) -> Receipt:
    """A receipt of now."""
    return Receipt(token_hex(16), datetime.now(UTC).isoformat(timespec="seconds"), sessions, found, gone)


def log_found(removed: Mapping[str, int]) -> LogFound:
    """The sum of lines removed by segment."""
    return LogFound(len(removed), sum(removed.values()))


def id_forms(texts: Iterable[str]) -> list[Id]:
    """Every id that a text may stand for: "12" is that text and the integer, which are two sessions elsewhere."""
    forms: list[Id] = []
    for text in texts:
        forms.append(text)
        if _INTEGER.fullmatch(text):
            forms.append(int(text))
    return forms
