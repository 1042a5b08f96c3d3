"""The client against a real server: every call, in both forms."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from nextcart.client import (
    ApiError,
    AsyncClient,
    Client,
    Event,
    Pin,
    RecommendRequest,
    Retries,
    Rules,
    SessionEvent,
    Unreachable,
)
from tests.acceptance.conftest import Workplace
from tests.running import serving

KEY = "a-key-of-the-tests-0123456789"
TS = 1_764_000_000_000
VISITOR = 987_654_321
"""A session that the shop has never seen; its sessions have integers for ids."""


@pytest.fixture(scope="module")
def server(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server with a state of its own, and one key for all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEXTCART_API_KEYS", f"tests:read+events+admin:{KEY}")
        folder = tmp_path_factory.mktemp("served")
        shutil.copytree(workplace.folder / "var" / "models", folder / "var" / "models")
        with serving(folder) as client:
            yield client


@pytest.fixture
def shop(server: httpx.Client) -> Iterator[Client]:
    with Client(str(server.base_url), api_key=KEY) as client:
        yield client


@pytest.fixture(scope="module")
def aids(workplace: Workplace) -> list[int]:
    """Items of the shop's first sessions."""
    lines = workplace.log.read_text().splitlines()[:20]
    return list(dict.fromkeys(event["aid"] for line in lines for event in json.loads(line)["events"]))


def test_recommendations(shop: Client, aids: list[int]) -> None:
    events = [Event(aids[0], TS, "clicks"), Event(aids[1], TS + 1, "carts")]
    shown = shop.recommend(events, limit=5, objective="carts", mode="discover", exclude=[aids[2]], explain=True)
    assert len(shown.aids) == 5
    assert not {aids[0], aids[1], aids[2]} & set(shown.aids)
    assert shown.items[0].sources
    assert shown.model_version == shop.model()["version"] == shop.ready().model_version
    alone = shop.recommend(events, limit=3)
    first, second = shop.recommend_batch([RecommendRequest(events, limit=3), RecommendRequest(limit=2)])
    assert (first.aids, second.fallback) == (alone.aids, "empty_session")
    assert second.aids == shop.top_sellers(limit=2).aids
    assert shop.recommend(events, limit=3, allow=alone.aids[:1]).aids[:1] == alone.aids[:1]


def test_items(shop: Client, aids: list[int]) -> None:
    together = shop.bought_together(aids[0], limit=4, exclude=[aids[1]])
    assert together.items == shop.bought_together([aids[0]], limit=4, exclude=[aids[1]]).items
    assert aids[1] not in together.aids
    assert shop.similar(aids[0], limit=3, model="covisitation").items
    assert shop.similar(10**12).fallback == "unknown_items"
    assert shop.top_sellers(limit=3, objective="orders", exclude=[aids[0]]).items


def test_a_session_from_events_to_forgetting(shop: Client, aids: list[int]) -> None:
    shown = shop.recommend([Event(aids[0], TS, "clicks")], session_id=VISITOR, limit=3)
    cart = SessionEvent(VISITOR, shown.aids[0], TS + 1, "carts", "cart-1", shown.request_id)
    assert (shop.post_events(cart).accepted, shop.post_events([cart]).duplicates) == (1, 1)
    known = shop.recommend(session_id=VISITOR, limit=10, mode="discover")
    assert known.fallback is None
    assert shown.aids[0] not in known.aids
    mixed = shop.post_events([SessionEvent(VISITOR, aids[1], TS + 2, "clicks"), SessionEvent(VISITOR, 1, 5, "clicks")])
    assert (mixed.accepted, [(each.place, each.field) for each in mixed.rejected]) == (1, [(1, "ts")])
    receipt = shop.erase_session(VISITOR)
    assert receipt.found["session_store"] == 1
    assert receipt.found["event_log"]["lines"] == 2
    assert receipt.gone["session_store"] == "now"
    assert shop.recommend(session_id=VISITOR).fallback == "empty_session"


def test_the_shop_s_rules(shop: Client) -> None:
    before = shop.rules()
    best, second, *_ = shop.top_sellers(limit=3).aids
    blocked = shop.block([best])
    assert (blocked.version, list(blocked.block)) == (before.version + 1, [best])
    assert best not in shop.top_sellers(limit=10).aids
    assert list(shop.unblock([best]).block) == []
    now = shop.rules()
    pinned = shop.replace_rules(Rules(now.version, pin=[Pin(second, 1)]))
    assert shop.recommend(limit=3).aids[0] == second
    with pytest.raises(ApiError) as raised:
        shop.replace_rules(Rules(now.version))
    assert raised.value.status == 409
    assert shop.replace_rules(Rules(pinned.version)).pin == []
    assert shop.reload().status == "ready"


def test_problems(server: httpx.Client, shop: Client) -> None:
    with pytest.raises(ApiError) as raised:
        shop.recommend(limit=100_000)
    assert (raised.value.status, raised.value.kind) == (422, "invalid-request")
    assert [error.field for error in raised.value.errors] == ["limit"]
    assert raised.value.request_id
    with Client(str(server.base_url)) as stranger, pytest.raises(ApiError) as raised:
        stranger.rules()
    assert raised.value.status == 401
    assert KEY not in str(raised.value)


def test_the_asynchronous_form(server: httpx.Client, aids: list[int]) -> None:
    async def run() -> None:
        async with AsyncClient(str(server.base_url), api_key=KEY, max_connections=4) as shop:
            asked = [shop.recommend([Event(aid, TS, "clicks")], limit=3) for aid in aids[:30]]
            shown = await asyncio.gather(*asked)
            batch = await shop.recommend_batch(
                [RecommendRequest([Event(aid, TS, "clicks")], limit=3) for aid in aids[:30]]
            )
            assert [each.aids for each in shown] == [each.aids for each in batch]
            posted = [shop.post_events(SessionEvent(VISITOR, aid, TS, "clicks")) for aid in aids[:8]]
            assert sum(each.accepted for each in await asyncio.gather(*posted)) == 8
            assert (await shop.erase_session(VISITOR)).found["event_log"]["lines"] == 8
            with pytest.raises(ApiError, match="422"):
                await shop.recommend(limit=0)

    asyncio.run(run())


def test_a_service_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    waits: list[float] = []
    client = Client(f"http://127.0.0.1:{port}", retries=Retries(attempts=3), sleep=waits.append)
    with client, pytest.raises(Unreachable, match=f"GET http://127.0.0.1:{port}/health/ready: cannot be reached"):
        client.ready()
    assert len(waits) == 2


def test_a_connection_that_is_closed_without_an_answer_is_no_failure() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        Client(
            f"http://127.0.0.1:{listener.getsockname()[1]}", retries=Retries(attempts=2, first_seconds=0.01)
        ) as client,
    ):
        answer = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 18\r\n\r\n{"status":"ready"}'

        def once(reply: bytes) -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)

        both = threading.Thread(target=lambda: (once(b""), once(answer)))
        both.start()
        assert client.ready().status == "ready"
        both.join()
