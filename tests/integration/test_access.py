"""Keys and limits at a real service, and limits that processes share through a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from nextcart.config import AccessConfig, SessionsConfig
from nextcart.serving.access import SECURITY_HEADERS, Access, Keys, parse_keys
from nextcart.serving.access.rate_limits import RedisLimits
from nextcart.serving.problems import Problem
from nextcart.serving.sessions.address import read_address
from nextcart.serving.sessions.link import Link
from tests.redis_server import RedisServer, redis_server
from tests.serving_process import Service, service_of

EVENTS = [{"aid": 1000, "ts": 1_661_724_000_000, "type": "clicks"}]
POSTED = {"events": [{"session_id": 1, **EVENTS[0]}]}
READER, WRITER, BOSS = "reader-secret-0123", "writer-secret-0123", "boss-secret-0123456"
KEYS = f"reader:read:{READER},writer:read+events:{WRITER},boss:admin:{BOSS}"
BURST = 5


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    variables = {
        "NEXTCART_API_KEYS": KEYS,
        "NEXTCART__ACCESS__REQUESTS_PER_SECOND": "0.02",
        "NEXTCART__ACCESS__BURST": str(BURST),
        "NEXTCART__ACCESS__CORS_ORIGINS": '["https://shop.test"]',
    }
    with service_of(tmp_path_factory.mktemp("service"), **variables) as service:
        yield service


def ask(service: Service, path: str, body: object, key: str | None = None, **headers: str) -> httpx.Response:
    sent = headers | ({"authorization": f"Bearer {key}"} if key else {})
    return httpx.post(service.url + path, json=body, headers=sent)


def test_keys_and_rates_at_the_service(service):
    recommended = ask(service, "/v1/recommend", {"events": EVENTS}, READER)
    assert recommended.status_code == 200
    assert {name: recommended.headers[name] for name, _ in SECURITY_HEADERS} == dict(SECURITY_HEADERS)
    refused = ask(service, "/v1/events", POSTED, READER)
    assert refused.status_code == 403
    assert refused.headers["content-type"] == "application/problem+json"
    assert ask(service, "/v1/events", POSTED, WRITER).status_code == 202
    unknown = ask(service, "/v1/events", POSTED, WRITER + "0")
    assert unknown.status_code == 401
    assert unknown.headers["www-authenticate"].startswith("Bearer")

    statuses = [ask(service, "/v1/recommend", {"events": EVENTS}, BOSS).status_code for _ in range(BURST + 1)]
    assert statuses == [200] * BURST + [429]
    limited = ask(service, "/v1/recommend", {"events": EVENTS}, BOSS)
    assert 1 <= int(limited.headers["retry-after"]) <= 50
    assert limited.json()["type"] == "urn:nextcart:problem:too-many-requests"
    assert httpx.get(f"{service.url}/health/live").status_code == 200
    text = httpx.get(f"{service.url}/metrics").text
    assert 'nextcart_rate_limited_total{client="boss"} 2.0' in text
    for secret in (READER, WRITER, BOSS):
        assert secret not in text + service.log.read_text() + limited.text + refused.text + unknown.text


def test_pages_of_other_origins_are_let_in_only_where_set(service):
    preflight = {"access-control-request-method": "POST"}
    for origin, allowed in (("https://shop.test", "https://shop.test"), ("https://evil.test", None)):
        answer = httpx.options(f"{service.url}/v1/recommend", headers={"origin": origin, **preflight})
        assert answer.headers.get("access-control-allow-origin") == allowed


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@asynccontextmanager
async def link_to(config: SessionsConfig) -> AsyncIterator[Link]:
    link = Link(read_address(config), config.timeout_ms / 1000)
    try:
        yield link
    finally:
        await link.close()


def sessions_config(redis: RedisServer) -> SessionsConfig:
    return SessionsConfig(redis_url=redis.url, key_prefix="shop", timeout_ms=2000)


def test_processes_share_a_bucket_and_its_key_goes_when_it_is_full(redis):
    config = sessions_config(redis)

    async def take() -> tuple[list[float], list[float], list[float]]:
        async with link_to(config) as one, link_to(config) as two:
            pair = [RedisLimits(0.1, 4, link, config) for link in (one, two)]
            shared = [await pair[i % 2].take("key") for i in range(6)]
            other = [await pair[0].take("address:10.0.0.1")]
            fast = RedisLimits(200.0, 2, one, config)
            quick = [await fast.take("fast") for _ in range(2)]
            await asyncio.sleep(0.03)
            return shared, other, [*quick, await fast.take("fast")]

    shared, other, quick = asyncio.run(take())
    assert shared[:4] == [0] * 4
    assert all(9.0 < wait <= 10.0 for wait in shared[4:])
    assert other == [0]
    assert quick == [0, 0, 0]
    with redis.client() as client:
        left = client.pttl("shop:rate:key")
        assert 30_000 < left <= 40_000
        assert client.pttl("shop:rate:fast") <= 10


def test_limits_go_on_in_memory_while_redis_is_gone(redis):
    config = sessions_config(redis)
    access_config = AccessConfig(requests_per_second=0.1, burst=3)
    headers = {b"x-api-key": READER.encode()}

    async def admitted(access: Access) -> bool:
        try:
            await access.admit(headers, "read", "10.0.0.1")
        except Problem as problem:
            return problem.status != 429
        return True

    async def ask_often() -> list[list[bool]]:
        async with link_to(config) as link:
            access = Access(access_config, Keys(parse_keys(KEYS)), link, config)
            with_redis = [await admitted(access) for _ in range(4)]
            redis.kill()
            return [with_redis, [await admitted(access) for _ in range(4)]]

    assert asyncio.run(ask_often()) == [[True] * 3 + [False]] * 2
