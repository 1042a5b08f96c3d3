"""The way to a Redis Cluster: redis-py's own client, which knows the slots and follows them when they move.

It costs several times the CPU of a `Link`, which pipelines to one server: shops that one Redis is enough for, with
Sentinel where it must not fail, do better without a Cluster.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError

from nextcart.errors import SessionsUnavailable
from nextcart.serving.sessions.address import Address
from nextcart.serving.sessions.commands import Part, RedisRefused

_MOST_UNHEARD = 1000
"""The most commands at one time that nobody waits for; further ones are dropped."""
_FINDING_SECONDS = 5.0
"""What finding all nodes and their slots may take, which is more than a call has."""
_REDIRECTS = 2
"""How often a command is sent elsewhere, or again over a new connection, within its time."""


class ClusterCommands:
    """`Commands` over a Cluster.

    Args:
        address: some of its nodes, the others are found by them; its database is 0.
        timeout: seconds that a reply may take, redirections and new connections among them.
    """

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self._timeout = timeout
        self._client: RedisCluster | None = None
        self._finding: asyncio.Task[None] | None = None
        self._unheard: set[asyncio.Task[None]] = set()
        self._closed = False

    async def ask(self, *command: Part) -> Any:
        """See `Commands.ask`."""
        if self._closed:
            raise SessionsUnavailable("the session store is closed; the server is stopping")
        try:
            async with asyncio.timeout(self._timeout):
                return await self._connected().execute_command(*command)
        except NoScriptError as error:
            raise RedisRefused(self._address, f"NOSCRIPT {error}") from None
        except TimeoutError:
            self._find_nodes()
            late = f"Redis at {self._address} did not answer within {self._timeout * 1000:.0f} ms"
            raise SessionsUnavailable(late) from None
        except ResponseError as error:
            raise RedisRefused(self._address, str(error)) from None
        except (RedisError, RedisClusterException, OSError) as error:
            raise SessionsUnavailable(f"Redis at {self._address} does not answer: {error}") from None

    def send(self, *command: Part) -> None:
        """See `Commands.send`."""
        if len(self._unheard) < _MOST_UNHEARD and not self._closed:
            task = asyncio.get_running_loop().create_task(self._unheard_of(command))
            self._unheard.add(task)
            task.add_done_callback(self._unheard.discard)

    async def close(self) -> None:
        """See `Commands.close`."""
        await asyncio.gather(*self._unheard)
        self._closed = True
        if self._finding is not None:
            self._finding.cancel()
            await asyncio.gather(self._finding, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    async def _unheard_of(self, command: tuple[Part, ...]) -> None:
        try:
            await self.ask(*command)
        except SessionsUnavailable:
            return

    def _find_nodes(self) -> None:
        """Find the nodes in the background: a call that runs out of time ends its own search for them."""
        if self._finding is None or self._finding.done():
            self._finding = asyncio.get_running_loop().create_task(self._found())

    async def _found(self) -> None:
        try:
            async with asyncio.timeout(_FINDING_SECONDS):
                await self._connected().initialize()
        except (RedisError, RedisClusterException, OSError):
            return

    def _connected(self) -> RedisCluster:
        """The client, made with the first command because it belongs to the loop; it connects by itself."""
        if self._client is None:
            self._client = RedisCluster(
                startup_nodes=[ClusterNode(host, port) for host, port in self._address.hosts],
                username=self._address.username,
                password=self._address.password,
                ssl=self._address.tls,
                retry=Retry(NoBackoff(), _REDIRECTS),
            )
        return self._client
