from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from nextcart.config import AccessConfig
from nextcart.errors import ConfigError
from nextcart.serving.access import SECURITY_HEADERS, Access, Keys, parse_keys, with_cors
from nextcart.serving.access.gate import network_of
from nextcart.serving.problems import Problem

KEYS = Keys(parse_keys("shop:read:shop-secret-0123,boss:admin:admin-secret-012"))
SHOP, BOSS = {b"x-api-key": b"shop-secret-0123"}, {b"x-api-key": b"admin-secret-012"}
SLOW = AccessConfig(requests_per_second=0.25, burst=2)


def asked(access: Access, *requests: tuple[dict[bytes, bytes], str | None, str]) -> list[str | int]:
    """The client's name or the problem's status, a request."""

    async def ask() -> list[str | int]:
        answers: list[str | int] = []
        for headers, needed, address in requests:
            try:
                answers.append(await access.admit(headers, needed, address))
            except Problem as problem:
                answers.append(problem.status)
        return answers

    return asyncio.run(ask())


def test_keys_are_limited_by_name_and_others_by_address():
    limited: list[str] = []
    access = Access(SLOW, KEYS, limited=limited.append)
    shop, anonymous, other = (SHOP, "read", "10.0.0.1"), ({}, "read", "10.0.0.1"), ({}, "read", "10.0.0.2")
    assert asked(access, shop, shop, shop) == ["shop", "shop", 429]
    assert asked(access, anonymous, anonymous, anonymous, other) == ["anonymous", "anonymous", 429, "anonymous"]
    assert asked(access, (BOSS, "admin", "10.0.0.1")) == ["boss"]
    assert limited == ["shop", "anonymous"]


def test_429_says_how_long_to_wait_in_whole_seconds():
    access = Access(SLOW, KEYS)
    asked(access, (SHOP, "read", ""), (SHOP, "read", ""))
    with pytest.raises(Problem) as caught:
        asyncio.run(access.admit(SHOP, "read", ""))
    assert caught.value.status == 429
    assert caught.value.headers == {"retry-after": "4"}
    fast = Access(AccessConfig(requests_per_second=1000.0, burst=1), KEYS)
    with pytest.raises(Problem) as caught:
        asyncio.run(_often(fast))
    assert caught.value.headers == {"retry-after": "1"}


async def _often(access: Access) -> None:
    for _ in range(50):
        await access.admit(SHOP, "read", "")


def test_guessing_keys_is_limited():
    access = Access(SLOW, KEYS)
    guesses = [({b"x-api-key": b"guess-%d" % i}, "admin", "10.0.0.9") for i in range(4)]
    assert asked(access, *guesses) == [401, 401, 429, 429]
    assert asked(access, (BOSS, "admin", "10.0.0.9")) == ["boss"]


def test_health_is_open_to_everybody_and_counts_nothing():
    access = Access(SLOW.model_copy(update={"anonymous_read": False}), KEYS)
    assert asked(access, *[({}, None, "10.0.0.1")] * 9) == ["anonymous"] * 9


def test_without_a_rate_nobody_waits():
    access = Access(AccessConfig(), KEYS)
    assert asked(access, *[({}, "read", "10.0.0.1")] * 500) == ["anonymous"] * 500


def test_keys_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("NEXTCART_API_KEYS", "feed:events:feed-secret-0123")
    headers = {b"authorization": b"Bearer feed-secret-0123"}
    assert asked(Access(AccessConfig()), (headers, "events", ""), ({}, "events", "")) == ["feed", 401]
    monkeypatch.setenv("NEXTCART_API_KEYS", "feed:events:short")
    with pytest.raises(ConfigError, match="'feed'"):
        Access(AccessConfig())


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("a:b", "a:b"),
    ],
)
def test_a_household_is_one_client(address, network):
    assert network_of(address) == network


PREFLIGHT = {"access-control-request-method": "POST"}


def answered(app: ASGIApp, method: str, origin: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as client:
            return await client.request(method, "/", headers={"origin": origin, **PREFLIGHT})

    return asyncio.run(ask())


def test_other_origins_are_closed_until_set():
    hello = PlainTextResponse("hello")
    assert with_cors(hello, AccessConfig()) is hello
    app = with_cors(hello, AccessConfig(cors_origins=("https://shop.test",)))
    for method in ("OPTIONS", "GET"):
        assert answered(app, method, "https://shop.test").headers["access-control-allow-origin"] == "https://shop.test"
        assert "access-control-allow-origin" not in answered(app, method, "https://evil.test").headers
    assert answered(app, "OPTIONS", "https://evil.test").status_code == 400


def test_the_security_headers_are_lower_case_and_plain():
    names = [name for name, _ in SECURITY_HEADERS]
    assert names == [name.lower() for name in names]
    assert len(set(names)) == len(names)
    assert dict(SECURITY_HEADERS)["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in dict(SECURITY_HEADERS)["content-security-policy"]
    assert all(value.isascii() and "\n" not in value for _, value in SECURITY_HEADERS)
