"""Requests over a socket: the short way answers as ASGI does, byte for byte but for ids and times."""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
import uvicorn
from uvicorn.server import ServerState

from nextcart.serving.processes.direct import MAX_BODY_BYTES, DefaultHeaders, DirectProtocol
from tests.unit.serving.fakes import Shop, clicks, make_shop

BODY = json.dumps({"events": clicks(100, 101), "limit": 3}).encode()
_OWN = re.compile(rb'(content-length: |x-request-id: |"request_id":"|"took_ms":)[0-9a-f.]+')


def post(body: bytes, *headers: bytes, path: bytes = b"/v1/recommend", version: bytes = b"1.1") -> bytes:
    lines = (b"Host: shop.test", b"content-length: %d" % len(body), *headers)
    return b"POST %b HTTP/%b\r\n%b\r\n\r\n%b" % (path, version, b"\r\n".join(lines), body)


def get(path: bytes, *headers: bytes, method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\n%b\r\n\r\n" % (method, path, b"\r\n".join((b"Host: shop.test", *headers)))


class Counted(DirectProtocol):
    """Counts the requests that went the short way."""

    short: int = 0
    open: ClassVar[set[asyncio.Protocol]] = set()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        Counted.open = self.connections

    def _send(self, *given: Any) -> None:
        Counted.short += 1
        super()._send(*given)


def say(shop: Shop, pieces: Sequence[bytes], *, direct: bool = True, keep_alive: float = 5.0) -> bytes:
    """All that comes back until the server closes, or nothing more comes."""
    Counted.short = 0
    return asyncio.run(_say(shop, pieces, direct, keep_alive))


async def _say(shop: Shop, pieces: Sequence[bytes], direct: bool, keep_alive: float) -> bytes:
    async with listening(shop, direct=direct, keep_alive=keep_alive) as address:
        reader, writer = await asyncio.open_connection(*address)
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0.002)
        got = b""
        try:
            while piece := await asyncio.wait_for(reader.read(65536), 0.06):
                got += piece
        except TimeoutError:
            got += b"<open>"
        writer.close()
        await writer.wait_closed()
    return got


@asynccontextmanager
async def listening(shop: Shop, *, direct: bool, keep_alive: float) -> AsyncIterator[tuple[str, int]]:
    """The address of a server in this process."""
    app = shop.client.app
    config = uvicorn.Config(app, ws="none", timeout_keep_alive=keep_alive, log_config=None)  # type: ignore[arg-type]
    config.load()
    state = ServerState()
    state.default_headers = [(b"x-always", b"1")]
    make: Callable[[], asyncio.Protocol] = functools.partial(
        Counted,
        lane=app.lane if direct else None,
        defaults=DefaultHeaders(),
        header_seconds=1.0,
        body_seconds=1.0,
        max_connections=10,
        config=config,
        server_state=state,
        app_state={},
    )
    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()


def told(answer: bytes) -> bytes:
    """What an answer says, but for what is different each time, as the digits of its time are."""
    return _OWN.sub(rb"\1-", answer)


@pytest.mark.parametrize(
    "request_",
    [
        post(BODY),
        post(BODY, b"X-Request-ID: shop-1"),
        post(BODY, b"Connection: close"),
        post(BODY, version=b"1.0"),
        post(b"{}", path=b"/recommend"),
        post(b"{", path=b"/v1/recommend?a=b"),
        post(json.dumps({"limit": 0}).encode()),
        post(b" " * 5000),
        post(json.dumps({"requests": [{}, {"limit": 2}]}).encode(), path=b"/v1/recommend/batch"),
        get(b"/health/live"),
        get(b"/health/live", method=b"HEAD"),
        get(b"/v1/top-sellers?limit=2"),
        get(b"/v1/items/101/similar?limit=2"),
        get(b"/v1/items/101/similar?limit=two"),
        post(b"{}", path=b"/v1/events"),
    ],
)
def test_the_short_way_answers_as_asgi_does(request_: bytes) -> None:
    shop = make_shop()
    short = say(shop, [request_])
    assert Counted.short == 1
    head, _, body = short.removesuffix(b"<open>").partition(b"\r\n\r\n")
    assert request_.startswith(b"HEAD") or b"content-length: %d" % len(body) in head
    assert told(short) == told(say(shop, [request_], direct=False))
    assert Counted.short == 0


@pytest.mark.parametrize(
    "request_",
    [
        get(b"/nothing"),
        get(b"/v1/items/%31/similar"),
        get(b"http://shop.test/health/live"),
        get(b"/health/live", method=b"DELETE"),
        post(BODY, b"Expect: 100-continue"),
        post(b"").replace(b"content-length: 0", b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n\r\n",
        post(b" " * (MAX_BODY_BYTES + 1)),
    ],
)
def test_what_is_unusual_goes_by_asgi(request_: bytes) -> None:
    shop = make_shop()
    answer = say(shop, [request_])
    assert answer.startswith(b"HTTP/1.1 ")
    assert Counted.short == 0
    assert told(answer) == told(say(shop, [request_], direct=False))


def test_a_request_in_pieces_and_the_next_on_the_same_connection() -> None:
    first = post(BODY)
    answers = say(make_shop(), [first[:30], first[30:-20], first[-20:-5], first[-5:], get(b"/health/live")])
    assert Counted.short == 2
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.endswith(b'{"status":"live"}<open>')


@pytest.mark.parametrize("others", [[get(b"/nothing")], [post(BODY), get(b"/nothing"), post(BODY)], [post(b"{")] * 3])
def test_requests_sent_at_once_are_answered_in_their_order(others: list[bytes]) -> None:
    shop, sent = make_shop(), b"".join([post(BODY), *others, get(b"/health/live")])
    answers = say(shop, [sent])
    assert Counted.short >= 1
    assert told(answers) == told(say(shop, [sent], direct=False))
    assert answers.endswith(b'{"status":"live"}<open>')


def test_a_connection_that_rests_is_closed() -> None:
    shop = make_shop()
    asked = [get(b"/health/live"), get(b"/nothing"), get(b"/health/live")]
    assert say(shop, asked, keep_alive=0.04).endswith(b'{"status":"live"}')
    assert say(shop, asked[:1], keep_alive=0.04).endswith(b'{"status":"live"}')


def test_defaults_are_joined_anew_for_another_list() -> None:
    defaults, first = DefaultHeaders(), [(b"date", b"1")]
    assert defaults.joined(first) == b"date: 1\r\n"
    assert defaults.joined([(b"date", b"2"), (b"a", b"b")]) == b"date: 2\r\na: b\r\n"
    assert defaults.joined(first) == b"date: 1\r\n"


def test_a_bug_is_a_500_that_is_logged_and_the_connection_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*given: object) -> None:
        raise RuntimeError("visitor 12's secret")

    monkeypatch.setattr("nextcart.serving.rounds.score", broken)
    answers = say(make_shop(), [post(BODY), get(b"/health/live")])
    assert answers.startswith(b"HTTP/1.1 500")
    assert answers.endswith(b'{"status":"live"}<open>')
    assert b"secret" not in answers
    assert "RuntimeError" in caplog.text


def test_a_session_s_id_is_heeded_however_its_key_is_written() -> None:
    written = [json.dumps({"session_id": 5, "events": clicks(100)}).encode()]
    written.append(written[0].replace(b"session_id", b"session\\u005fid"))
    for body in written:
        shop = make_shop()
        known = post(json.dumps({"session_id": 5, "limit": 1}).encode())
        answer = say(shop, [post(body), known])
        assert Counted.short == 2
        assert b'"aid":101' in answer.rpartition(b"HTTP/1.1 200")[2]


def test_a_client_that_does_not_read_is_answered_once_it_does() -> None:
    async def slow() -> None:
        async with listening(make_shop(), direct=True, keep_alive=5.0) as address:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(get(b"/health/live"))
            assert await reader.readuntil(b"}")
            (connection,) = Counted.open
            connection.pause_writing()
            writer.write(post(BODY))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.05)
            connection.resume_writing()
            assert await asyncio.wait_for(reader.readuntil(b"}]"), 1.0)
            writer.close()
            await writer.wait_closed()

    asyncio.run(slow())
