"""Sessions in the memory of one process: the newest, for a while, and no more than so many."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from msgspec import Struct

from nextcart.config import SessionsConfig
from nextcart.errors import SessionsUnavailable
from nextcart.serving.schemas import Event
from nextcart.serving.sessions.packing import pack, pack_shown, unpack, unpack_shown
from nextcart.serving.sessions.store import SessionState, Shown, State
from nextcart.types import Id

_FORGOTTEN_A_CALL = 2
"""So many sessions whose time is over go with each call: faster than new ones come, and never many at once."""
_USUAL_BYTES = 4096
"""So much of each of ``max_sessions`` may be held on the whole: ids may be long, and a visitor can make them so."""


class _Held(Struct, frozen=True, gc=False):
    """One session: plain values only, so the garbage collector need not walk it."""

    until: float = 0.0
    count: int = 0
    events: bytes = b""
    shown_until: float = 0.0
    shown: bytes = b""

    def size(self) -> int:
        """Bytes of what it holds."""
        return len(self.events) + len(self.shown)


_NOTHING = _Held()


class MemorySessions:
    """Keeps sessions as packed bytes; past ``max_sessions``, or 4 KiB for each of them, the one quiet longest goes.

    Args:
        config: how many events and sessions are kept, and how long.
        clock: seconds that never jump back.
    """

    def __init__(self, config: SessionsConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._keep = config.events
        self._ttl = config.ttl_seconds
        self._most = config.max_sessions
        self._clock = clock
        # Least recently touched first; as every touch grants the same time, also the one that ends first.
        self._sessions: OrderedDict[Id, _Held] = OrderedDict()
        self._bytes = 0
        self._closed = False

    @property
    def state(self) -> State:
        """Nothing can break here."""
        return "closed"

    def __len__(self) -> int:
        """Sessions that take memory, some of which may be over."""
        return len(self._sessions)

    async def append(self, session_id: Id, events: Sequence[Event], *, with_shown: bool = False) -> SessionState:
        """See `SessionStore.append`."""
        self._check()
        now = self._clock()
        held = self._alive(session_id, now)
        found = unpack(held.count, held.events) if held.count else []
        count, packed = self._add(held, found, events) if events else (held.count, held.events)
        if count or held.shown:
            until = now + self._ttl
            self._keep_session(session_id, _Held(until, count, packed, until, held.shown), now)
        shown = unpack_shown(held.shown) if with_shown and held.shown else None
        return SessionState(found, shown)

    def show(self, session_id: Id, shown: Shown) -> None:
        """See `SessionStore.show`."""
        if not self._closed:
            now = self._clock()
            held = self._alive(session_id, now)
            until = now + self._ttl
            renewed = _Held(held.until, held.count, held.events, until, pack_shown(shown))
            self._keep_session(session_id, renewed, now)

    async def erase(self, session_id: Id) -> bool:
        """See `SessionStore.erase`."""
        self._check()
        held = self._alive(session_id, self._clock())
        self._bytes -= self._sessions.pop(session_id, _NOTHING).size()
        return held is not _NOTHING

    async def ping(self) -> None:
        """See `SessionStore.ping`."""
        self._check()

    async def close(self) -> None:
        """See `SessionStore.close`."""
        self._closed = True
        self._sessions.clear()
        self._bytes = 0

    def _check(self) -> None:
        if self._closed:
            raise SessionsUnavailable("the session store is closed; the server is stopping")

    def _alive(self, session_id: Id, now: float) -> _Held:
        """What the session holds whose time is not over."""
        held = self._sessions.get(session_id, _NOTHING)
        if held.until > now and held.shown_until > now:
            return held
        if held.until > now:
            return _Held(held.until, held.count, held.events)
        return _Held(shown_until=held.shown_until, shown=held.shown) if held.shown_until > now else _NOTHING

    def _add(self, held: _Held, found: list[Event], events: Sequence[Event]) -> tuple[int, bytes]:
        """Add to `found` what it lacks, and trim it; its count and bytes."""
        known = set(found)
        added = []
        for each in events:
            # An event with more to it than these three, such as one for the log, equals none that is held.
            event = each if type(each) is Event else Event(each.aid, each.ts, each.type)
            if event not in known:
                known.add(event)
                added.append(event)
        found += added
        packed = held.events + b"".join(map(pack, added))
        gone = found[: -self._keep]
        del found[: len(gone)]
        # Equal events are equal bytes: those that go tell where the others begin, which need no packing again.
        return len(found), packed[sum(len(pack(event)) for event in gone) :]

    def _keep_session(self, session_id: Id, held: _Held, now: float) -> None:
        sessions = self._sessions
        self._bytes += held.size() - sessions.get(session_id, _NOTHING).size()
        sessions[session_id] = held
        sessions.move_to_end(session_id)
        for _ in range(_FORGOTTEN_A_CALL):
            oldest = next(iter(sessions))
            ends = max(sessions[oldest].until, sessions[oldest].shown_until)
            if len(sessions) > self._most or ends <= now:
                self._bytes -= sessions.pop(oldest).size()
        while self._bytes > self._most * _USUAL_BYTES and len(sessions) > 1:
            self._bytes -= sessions.popitem(last=False)[1].size()
