"""What remembers sessions between requests: the contract of every store, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from nextcart.serving.schemas import Event
from nextcart.types import Id

State = Literal["closed", "open", "half_open"]
"""A circuit breaker's: ``closed`` lets every call through, ``open`` none, ``half_open`` one to try."""


class Shown(Struct, frozen=True):
    """What a session was last shown: the answer's request id, version and objective, and its items, best first."""

    request_id: str
    version: str
    objective: str
    aids: list[Id]


class SessionState(Struct, frozen=True):
    """What a session holds: its newest events in the order they arrived, and what it was last shown where asked for."""

    events: list[Event]
    shown: Shown | None = None


class SessionStore(Protocol):
    """Remembers the newest events of each session for a while; 12 and ``"12"`` are two sessions."""

    @property
    def state(self) -> State:
        """Of the circuit breaker; ``closed`` where nothing can break."""
        ...

    async def append(self, session_id: Id, events: Sequence[Event], *, with_shown: bool = False) -> SessionState:
        """Add those events that the session does not hold, keep the newest, renew its time, give back what it holds.

        Equal item, time and type are one event. Without events this only reads; a session that is not there stays so.

        Raises:
            SessionsUnavailable: the store does not answer now.
        """
        ...

    def show(self, session_id: Id, shown: Shown) -> None:
        """Remember what the session is shown, as long as events are; returns at once and never fails."""
        ...

    async def erase(self, session_id: Id) -> bool:
        """Forget the session; whether anything of it was held.

        Raises:
            SessionsUnavailable: the store does not answer now; the session may still be there.
        """
        ...

    async def ping(self) -> None:
        """Hear from the store.

        Raises:
            SessionsUnavailable: the store does not answer now.
        """
        ...

    async def close(self) -> None:
        """Let calls in flight end, then let go of what is held; every later call fails."""
        ...
