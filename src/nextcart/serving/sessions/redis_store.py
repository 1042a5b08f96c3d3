"""Sessions in Redis, shared by all workers and hosts: one round trip a request, none while Redis is left alone."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

from msgspec import MsgspecError

from nextcart.config import SessionsConfig
from nextcart.errors import SessionsUnavailable
from nextcart.serving.schemas import Event
from nextcart.serving.sessions.breaker import Breaker
from nextcart.serving.sessions.commands import Commands, Part, RedisRefused
from nextcart.serving.sessions.packing import pack, pack_shown, unpack, unpack_shown
from nextcart.serving.sessions.store import SessionState, Shown, State
from nextcart.types import Id

OnCall = Callable[[float, bool], None]
"""Told of each call that was made to Redis: seconds it took, and whether it ended well."""

APPEND = (files("nextcart.serving.sessions") / "append.lua").read_text(encoding="utf-8")
_APPEND_SHA = hashlib.sha1(APPEND.encode(), usedforsecurity=False).hexdigest()


def ignore(seconds: float, ok: bool) -> None:
    """An `OnCall` that does nothing."""


class RedisSessions:
    """Keeps each session as two keys, a list of packed events and what it was last shown.

    Every failure, a refusal by Redis too, is a `SessionsUnavailable`; after several in a row the circuit breaker lets
    calls fail at once for a while.

    Args:
        config: how many events are kept and how long, the keys' prefix, and when the breaker opens.
        commands: the way to Redis; closed with this store.
        on_call: told of each call that was made. Calls that the breaker stopped were not made: see `state`.

    Attributes:
        commands: for others that keep something in the same Redis; they go out with the sessions' own.
    """

    def __init__(self, config: SessionsConfig, commands: Commands, on_call: OnCall = ignore) -> None:
        self._prefix = config.key_prefix
        self._keep = config.events
        self._ttl_ms = config.ttl_seconds * 1000
        self.commands = commands
        self._breaker = Breaker(config.breaker_failures, config.breaker_seconds)
        self._on_call = on_call

    @property
    def state(self) -> State:
        """Of the circuit breaker."""
        return self._breaker.state

    async def append(self, session_id: Id, events: Sequence[Event], *, with_shown: bool = False) -> SessionState:
        """See `SessionStore.append`."""
        keys = self._keys(session_id)
        arguments: tuple[Part, ...] = (2, *keys, self._keep, self._ttl_ms, int(with_shown), *map(pack, events))
        try:
            count, packed, shown = await self._call("EVALSHA", _APPEND_SHA, *arguments)
        except RedisRefused as error:
            if error.code != "NOSCRIPT":
                raise
            count, packed, shown = await self._call("EVAL", APPEND, *arguments)
        try:
            return SessionState(unpack(count, packed), unpack_shown(shown) if shown else None)
        except MsgspecError:
            raise SessionsUnavailable(
                f"Redis holds at {keys[0].decode()!r} what nextcart did not write; choose another sessions.key_prefix"
            ) from None

    def show(self, session_id: Id, shown: Shown) -> None:
        """See `SessionStore.show`."""
        if self._breaker.state == "closed":
            self.commands.send("SET", self._keys(session_id)[1], pack_shown(shown), "PX", self._ttl_ms)

    async def erase(self, session_id: Id) -> bool:
        """See `SessionStore.erase`."""
        return bool(await self._call("UNLINK", *self._keys(session_id)))

    async def ping(self) -> None:
        """See `SessionStore.ping`."""
        await self._call("PING")

    async def close(self) -> None:
        """See `SessionStore.close`."""
        await self.commands.close()

    def _keys(self, session_id: Id) -> tuple[bytes, bytes]:
        """The session's keys, of one slot in a Cluster: what stands in the first pair of braces is the same in both."""
        tag = f"{self._prefix}:{{{'i' if isinstance(session_id, int) else 's'}{session_id}}}".encode()
        return tag + b":events", tag + b":shown"

    async def _call(self, *command: Part) -> Any:
        breaker = self._breaker
        if not breaker.lets_through():
            raise SessionsUnavailable("Redis failed several times in a row and is left alone for a moment")
        began = time.perf_counter()
        try:
            said = await self.commands.ask(*command)
        except SessionsUnavailable as error:
            # Redis is well where it only lacks the script.
            ok = isinstance(error, RedisRefused) and error.code == "NOSCRIPT"
            self._ended(began, ok=ok)
            raise
        except BaseException:
            breaker.abandoned()
            raise
        self._ended(began, ok=True)
        return said

    def _ended(self, began: float, *, ok: bool) -> None:
        if ok:
            self._breaker.succeeded()
        else:
            self._breaker.failed()
        self._on_call(time.perf_counter() - began, ok)
