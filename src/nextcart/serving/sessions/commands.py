"""How the session store talks to Redis: the seam between what is asked and the way it goes."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from nextcart.errors import SessionsUnavailable

Part = str | bytes | int
"""One word of a command."""


class RedisRefused(SessionsUnavailable):
    """Redis answered a command with an error; ``code`` is the error's first word, such as ``NOSCRIPT``."""

    def __init__(self, where: object, said: str) -> None:
        self.code = said.partition(" ")[0]
        super().__init__(f"Redis at {where} refused: {said}{_remedy(self.code, said)}")


class Commands(Protocol):
    """Takes commands and gives their replies in RESP2, each within the time that the settings allow."""

    def ask(self, *command: Part) -> Awaitable[Any]:
        """The reply. The call may be cancelled; Redis carries the command out all the same.

        Raises:
            RedisRefused: the reply is an error.
            SessionsUnavailable: there is no reply: no connection, or none in time.
        """
        ...

    def send(self, *command: Part) -> None:
        """Have a command carried out soon, or not at all; nobody hears of it."""
        ...

    async def close(self) -> None:
        """Let commands that were sent be answered, within their time, and disconnect."""
        ...


_PASSWORD_CODES = ("WRONGPASS", "NOAUTH", "NOPERM")
_REMEDIES = {
    "OOM": "raise its maxmemory, or choose a maxmemory-policy that evicts",
    "READONLY": "it is a replica; point sessions.redis_url at the master, or use Sentinel",
    "WRONGTYPE": "something else writes such keys; choose another sessions.key_prefix",
    "CROSSSLOT": "set sessions.redis_cluster",
    "MOVED": "it is a node of a Cluster; set sessions.redis_cluster",
}


def _remedy(code: str, said: str) -> str:
    if code in _PASSWORD_CODES or "AUTH" in said:
        return "; check NEXTCART_REDIS_PASSWORD and NEXTCART_REDIS_USERNAME"
    return f"; {_REMEDIES[code]}" if code in _REMEDIES else ""
