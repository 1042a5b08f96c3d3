"""One connection's pipeline, over a transport that only notes what is written."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hiredis import pack_command

from nextcart.errors import SessionsUnavailable
from nextcart.serving.sessions.commands import RedisRefused
from nextcart.serving.sessions.wire import Wire


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True


class Wired:
    """A wire in a loop of its own; made once the loop runs."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.reasons: list[str] = []
        self.wire = Wire("redis://shop:6379/0", 30.0, self.reasons.append)
        self.wire.connection_made(self.transport)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


async def turn() -> None:
    """Let the loop run what is due."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_commands_of_one_turn_are_one_write_and_replies_come_in_order(runner: asyncio.Runner) -> None:
    async def use() -> None:
        wired = Wired()
        replies = [wired.wire.ask("GET", n) for n in range(3)]
        assert wired.transport.written == []
        await turn()
        assert len(wired.transport.written) == 1
        for byte in b"$1\r\na\r\n:7\r\n*2\r\n$-1\r\n+x\r\n":
            wired.wire.data_received(bytes([byte]))
        assert await asyncio.gather(*replies) == [b"a", 7, [None, b"x"]]
        wired.wire.drop("done")

    runner.run(use())


def test_what_nobody_waits_for_goes_with_the_next_command_and_its_reply_is_nobodys(runner: asyncio.Runner) -> None:
    async def use() -> None:
        wired = Wired()
        wired.wire.send("SET", "k", "v")
        await turn()
        assert wired.transport.written == []
        reply = wired.wire.ask("GET", "k")
        await turn()
        assert [text.count(b"*") for text in wired.transport.written] == [2]
        wired.wire.data_received(b"-OOM full\r\n$1\r\nv\r\n")
        assert await reply == b"v"
        wired.wire.drop("done")

    runner.run(use())


def test_what_nobody_waits_for_goes_alone_after_a_moment(runner: asyncio.Runner) -> None:
    async def use() -> None:
        wired = Wired()
        wired.wire.send("SET", "k", "v")
        async with asyncio.timeout(10):
            while not wired.transport.written:
                await asyncio.sleep(0.001)
        assert b"".join(wired.transport.written) == pack_command(("SET", "k", "v"))
        wired.wire.drop("done")

    runner.run(use())


@pytest.mark.parametrize("said", ["LOADING Redis is loading the dataset", "READONLY it is a replica", "NOAUTH who?"])
def test_after_some_errors_the_connection_is_left(runner: asyncio.Runner, said: str) -> None:
    async def use() -> None:
        wired = Wired()
        first, second = wired.wire.ask("PING"), wired.wire.ask("PING")
        wired.wire.data_received(f"-{said}\r\n".encode())
        with pytest.raises(RedisRefused, match=said.split()[0]):
            await first
        with pytest.raises(SessionsUnavailable, match=said.split()[0]):
            await second
        assert wired.transport.aborted
        assert len(wired.reasons) == 1

    runner.run(use())


@pytest.mark.parametrize("said", [b"+OK\r\n+OK\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_a_reply_too_many_or_none_of_redis_ends_the_connection(runner: asyncio.Runner, said: bytes) -> None:
    async def use() -> None:
        wired = Wired()
        reply = wired.wire.ask("PING")
        wired.wire.data_received(said)
        await asyncio.gather(reply, return_exceptions=True)
        assert wired.transport.aborted
        assert "does not speak as Redis does" in wired.reasons[0]

    runner.run(use())


def test_a_lost_connection_fails_all_who_wait_once_and_all_who_ask_later(runner: asyncio.Runner) -> None:
    async def use() -> None:
        wired = Wired()
        replies = [wired.wire.ask("PING") for _ in range(3)]
        replies[1].cancel()
        wired.wire.connection_lost(ConnectionResetError("reset"))
        wired.wire.connection_lost(None)
        wired.wire.send("SET", "k", "v")
        replies.append(wired.wire.ask("PING"))
        found = await asyncio.gather(*replies, return_exceptions=True)
        kinds = [type(each) for each in found]
        assert kinds == [SessionsUnavailable, asyncio.CancelledError, SessionsUnavailable, SessionsUnavailable]
        assert wired.reasons == ["Redis at redis://shop:6379/0 closed the connection (reset)"]
        assert wired.transport.written == []

    runner.run(use())
