"""What the clients send, how they read answers, and when they try again; no network."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import nextcart.client
from nextcart.client import (
    ApiError,
    AsyncClient,
    Boost,
    Client,
    ClientError,
    Event,
    Pin,
    RecommendRequest,
    Retries,
    Rules,
    SessionEvent,
    Unexpected,
    Unreachable,
)
from nextcart.errors import NextcartError

NAMES = [
    "Accepted",
    "ApiError",
    "AsyncClient",
    "Boost",
    "Client",
    "ClientError",
    "Event",
    "FieldError",
    "Health",
    "ItemList",
    "Pin",
    "Receipt",
    "RecommendRequest",
    "Recommendation",
    "Recommendations",
    "Refused",
    "Rejected",
    "Retries",
    "Rules",
    "SessionEvent",
    "Unexpected",
    "Unreachable",
]

TS = 1_764_000_000_000
ITEMS = {"model_version": "v1", "recommendations": [{"aid": 7, "score": 2.5}], "fallback": None}
ANSWER = {**ITEMS, "request_id": "r", "session_id": "s", "took_ms": 0.2, "of_the_future": 1}
RULES = {"version": 3, "block": [1], "pin": [{"aid": 2, "position": 1}], "boost": [{"aid": 3, "factor": 2.0}]}
HEALTH = {"status": "ready", "model_version": "v1"}
RECEIPT = {
    "receipt_id": "e",
    "asked_at": "2026-11-24T00:00:00+00:00",
    "sessions": 1,
    "found": {"session_store": 1, "event_store": None},
    "gone": {"session_store": "now"},
}

Response = httpx.Response | httpx.TransportError


class Fake:
    """A service that gives prepared responses, one a request, the last one again and again."""

    def __init__(self, *responses: Response) -> None:
        self.responses = list(responses)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        given = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        if isinstance(given, httpx.TransportError):
            given.request = request
            raise given
        # A response belongs to the request that it answers.
        return httpx.Response(given.status_code, headers=given.headers, content=given.content)

    def body(self) -> Any:
        """What the last request carried."""
        return json.loads(self.requests[-1].content)


def call_sync(fake: Fake, call: Callable[[Any], Any], **settings: Any) -> Any:
    """Make a call with the plain client; waits are written down and not waited."""
    transport = httpx.MockTransport(fake)
    with Client("http://shop:1", sleep=fake.waits.append, transport=transport, **settings) as client:
        return call(client)


def call_async(fake: Fake, call: Callable[[Any], Any], **settings: Any) -> Any:
    """The same with the asynchronous one."""

    async def sleep(seconds: float) -> None:
        fake.waits.append(seconds)

    async def run() -> Any:
        transport = httpx.MockTransport(fake)
        async with AsyncClient("http://shop:1", sleep=sleep, transport=transport, **settings) as client:
            return await call(client)

    return asyncio.run(run())


@pytest.fixture(params=[call_sync, call_async], ids=["sync", "async"])
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Both clients."""
    return request.param  # type: ignore[no-any-return]


def ok(content: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=content)


def drawn(low: float, high: float) -> float:
    """The largest wait that could be drawn."""
    assert low == 0
    return high


def test_the_public_names_are_these() -> None:
    assert sorted(nextcart.client.__all__) == sorted(NAMES)
    assert all(getattr(nextcart.client, name).__doc__ for name in NAMES)


@pytest.mark.parametrize(
    ("call", "answer", "sent"),
    [
        (lambda c: c.recommend([Event(1, TS, "carts")], session_id=5), ANSWER, ("POST", "/v1/recommend")),
        (lambda c: c.recommend_batch([RecommendRequest()]), {"responses": [ANSWER]}, ("POST", "/v1/recommend/batch")),
        (lambda c: c.top_sellers(), ITEMS, ("GET", "/v1/top-sellers?limit=20")),
        (
            lambda c: c.top_sellers(limit=3, objective="carts", exclude=[1, "b/c"]),
            ITEMS,
            ("GET", "/v1/top-sellers?limit=3&exclude=1&exclude=b%2Fc&objective=carts"),
        ),
        (lambda c: c.bought_together(5), ITEMS, ("POST", "/v1/bought-together")),
        (lambda c: c.similar(5), ITEMS, ("GET", "/v1/items/5/similar?limit=20")),
        (
            lambda c: c.similar("a/../ü", model="covisitation", limit=2),
            ITEMS,
            ("GET", "/v1/items/a%2F%2E%2E%2F%C3%BC/similar?limit=2&model=covisitation"),
        ),
        (
            lambda c: c.post_events([SessionEvent("s", 1, TS, "clicks")]),
            {"accepted": 1, "duplicates": 0, "rejected": []},
            ("POST", "/v1/events"),
        ),
        (lambda c: c.erase_session(".."), RECEIPT, ("DELETE", "/v1/sessions/%2E%2E")),
        (lambda c: c.model(), {"version": "v1"}, ("GET", "/v1/model")),
        (lambda c: c.ready(), HEALTH, ("GET", "/health/ready")),
        (lambda c: c.reload(), HEALTH, ("POST", "/v1/admin/reload")),
        (lambda c: c.rules(), RULES, ("GET", "/v1/admin/rules")),
        (lambda c: c.replace_rules(Rules(3)), RULES, ("PUT", "/v1/admin/rules")),
        (lambda c: c.block([1]), RULES, ("POST", "/v1/admin/rules/block")),
        (lambda c: c.unblock([1]), RULES, ("POST", "/v1/admin/rules/unblock")),
    ],
)
def test_where_each_call_goes(make: Callable[..., Any], call: Any, answer: Any, sent: tuple[str, str]) -> None:
    fake = Fake(ok(answer))
    make(fake, call)
    (request,) = fake.requests
    assert (request.method, request.url.raw_path.decode()) == sent


def test_what_is_sent(make: Callable[..., Any]) -> None:
    fake = Fake(ok(ANSWER))
    make(fake, lambda c: c.recommend([Event(1, TS, "carts")]))
    assert fake.body() == {"events": [{"aid": 1, "ts": TS, "type": "carts"}]}
    make(fake, lambda c: c.recommend())
    assert fake.body() == {}
    wanted = {
        "session_id": "s",
        "limit": 5,
        "objective": "orders",
        "mode": "discover",
        "exclude": [1],
        "allow": [],
        "explain": True,
        "model": "hybrid",
        "min_score": 0.5,
        "max_per_neighbourhood": 2,
    }
    make(fake, lambda c: c.recommend(**wanted))
    assert fake.body() == wanted


def test_baskets_and_rules_as_they_are_sent(make: Callable[..., Any]) -> None:
    fake = Fake(ok(ITEMS))
    for items, basket in ((5, [5]), ("sku", ["sku"]), ([5, 6], [5, 6])):
        make(fake, lambda c, items=items: c.bought_together(items, limit=3, exclude=[9]))
        assert fake.body() == {"items": basket, "limit": 3, "exclude": [9]}
    fake = Fake(ok(RULES))
    make(fake, lambda c: c.replace_rules(Rules(3, [1], [Pin(2, 1)], [Boost(3, 2.0)])))
    assert fake.body() == RULES
    make(fake, lambda c: c.block([4, "x"]))
    assert fake.body() == {"items": [4, "x"]}


def test_answers_are_typed(make: Callable[..., Any]) -> None:
    explained = {"aid": "b", "score": 1.0, "sources": ["hybrid"], "because": {"aid": 1, "ts": TS, "type": "carts"}}
    shown = make(Fake(ok({**ANSWER, "recommendations": [explained]})), lambda c: c.recommend())
    assert (shown.request_id, shown.session_id, shown.model_version, shown.aids) == ("r", "s", "v1", ["b"])
    assert (shown.items[0].sources, shown.items[0].because) == (("hybrid",), Event(1, TS, "carts"))
    items = make(Fake(ok({**ITEMS, "fallback": "unknown_items"})), lambda c: c.similar(1))
    assert (items.aids, items.fallback, items.items[0].score) == ([7], "unknown_items", 2.5)
    rejected = {"accepted": 1, "duplicates": 2, "rejected": [{"place": 3, "field": "ts", "message": "no"}]}
    taken = make(Fake(ok(rejected, 202)), lambda c: c.post_events([]))
    assert (taken.accepted, taken.duplicates, taken.rejected[0].place, taken.rejected[0].field) == (1, 2, 3, "ts")
    rules = make(Fake(ok(RULES)), lambda c: c.rules())
    assert rules == Rules(3, [1], [Pin(2, 1)], [Boost(3, 2.0)])
    receipt = make(Fake(ok(RECEIPT)), lambda c: c.erase_session("s"))
    assert (receipt.receipt_id, receipt.found["session_store"], receipt.gone["session_store"]) == ("e", 1, "now")


def test_events_get_an_id_of_their_own_that_a_retry_keeps(make: Callable[..., Any]) -> None:
    fake = Fake(httpx.Response(503), ok({"accepted": 2, "duplicates": 0, "rejected": []}, 202))
    events = [SessionEvent("s", 1, TS, "clicks"), SessionEvent("s", 1, TS, "clicks", request_id="r")]
    make(fake, lambda c: c.post_events(events))
    first, second = (json.loads(request.content)["events"] for request in fake.requests)
    assert first == second
    assert len({event["event_id"] for event in first}) == 2
    assert [event.get("request_id") for event in first] == [None, "r"]
    make(fake, lambda c: c.post_events(SessionEvent("s", 1, TS, "clicks", "mine")))
    assert [event["event_id"] for event in fake.body()["events"]] == ["mine"]


def test_the_key_goes_with_every_call_and_into_no_text(make: Callable[..., Any]) -> None:
    fake = Fake(httpx.Response(401, json={"type": "urn:nextcart:problem:unauthorized", "detail": "send a key"}))
    with pytest.raises(ApiError) as raised:
        make(fake, lambda c: c.rules(), api_key="a-secret-of-the-shop")
    assert fake.requests[0].headers["authorization"] == "Bearer a-secret-of-the-shop"
    assert fake.requests[0].headers["user-agent"].startswith("nextcart-client/")
    assert "a-secret" not in str(raised.value)
    make(fake := Fake(ok(RULES)), lambda c: c.rules())
    assert "authorization" not in fake.requests[0].headers


def test_a_problem_says_what_is_wrong(make: Callable[..., Any]) -> None:
    document = {
        "type": "urn:nextcart:problem:invalid-request",
        "title": "The request is not valid",
        "status": 422,
        "detail": "limit: must be from 1 to 200",
        "instance": "/v1/recommend",
        "errors": [{"field": "limit", "message": "must be from 1 to 200"}],
    }
    fake = Fake(httpx.Response(422, json=document, headers={"x-request-id": "q-1", "retry-after": "7"}))
    with pytest.raises(ApiError, match="422 invalid-request: limit: must be from 1 to 200") as raised:
        make(fake, lambda c: c.recommend(limit=0))
    error = raised.value
    assert (error.status, error.kind, error.request_id, error.retry_after_seconds) == (422, "invalid-request", "q-1", 7)
    assert [(each.field, each.message) for each in error.errors] == [("limit", "must be from 1 to 200")]
    assert isinstance(error, ClientError)
    assert isinstance(error, NextcartError)


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"", b"[1]", b"\xff\xfe"])
def test_a_problem_that_is_not_of_nextcart(make: Callable[..., Any], body: bytes) -> None:
    with pytest.raises(ApiError, match="404 http-404: Not Found") as raised:
        make(Fake(httpx.Response(404, content=body)), lambda c: c.rules())
    assert (raised.value.errors, raised.value.request_id, raised.value.retry_after_seconds) == ((), None, None)


@pytest.mark.parametrize("body", [b"<html>welcome</html>", b"", b"{}", b'{"version": "x"}', b"\xff\xfe"])
def test_an_answer_that_is_none(make: Callable[..., Any], body: bytes) -> None:
    with pytest.raises(Unexpected, match=r"GET http://shop:1/v1/admin/rules: .* check the address"):
        make(Fake(httpx.Response(200, content=body)), lambda c: c.rules())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500, 501])
def test_what_another_try_would_not_help(make: Callable[..., Any], status: int) -> None:
    fake = Fake(httpx.Response(status))
    with pytest.raises(ApiError):
        make(fake, lambda c: c.recommend())
    assert (len(fake.requests), fake.waits) == (1, [])


@pytest.mark.parametrize(
    "failure",
    [
        *(httpx.Response(status) for status in (429, 502, 503, 504)),
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
        httpx.ReadError("reset"),
    ],
    ids=str,
)
def test_what_is_tried_again(make: Callable[..., Any], failure: Response) -> None:
    fake = Fake(failure, failure, ok(ANSWER))
    assert make(fake, lambda c: c.recommend(), retries=Retries(draw=drawn)).aids == [7]
    assert fake.waits == [0.1, 0.2]


def test_how_long_and_how_often(make: Callable[..., Any]) -> None:
    fake = Fake(httpx.Response(503))
    with pytest.raises(ApiError, match="503"):
        make(fake, lambda c: c.recommend(), retries=Retries(7, 0.5, 3.0, drawn))
    assert fake.waits == [0.5, 1.0, 2.0, 3.0, 3.0, 3.0]
    fake = Fake(httpx.ConnectError("refused"))
    with pytest.raises(Unreachable, match=r"POST http://shop:1/v1/recommend: cannot be reached \(refused\)"):
        make(fake, lambda c: c.recommend(), retries=Retries(attempts=1))
    assert (len(fake.requests), fake.waits) == (1, [])


def test_waits_are_drawn_from_all_of_the_bound(make: Callable[..., Any]) -> None:
    fake = Fake(httpx.Response(503))
    for _ in range(40):
        with pytest.raises(ApiError):
            make(fake, lambda c: c.recommend(), retries=Retries(attempts=2, first_seconds=1.0))
    assert min(fake.waits) < 0.3
    assert max(fake.waits) > 0.7
    assert max(fake.waits) <= 1.0


def test_the_wait_that_the_service_asks_for(make: Callable[..., Any]) -> None:
    busy = httpx.Response(429, headers={"retry-after": "1"})
    fake = Fake(busy, ok(ANSWER))
    make(fake, lambda c: c.recommend(), retries=Retries(draw=drawn))
    assert fake.waits == [1.1]
    # Longer than this client waits: the caller hears of it at once.
    fake = Fake(httpx.Response(503, headers={"retry-after": "30"}))
    with pytest.raises(ApiError) as raised:
        make(fake, lambda c: c.recommend())
    assert (len(fake.requests), raised.value.retry_after_seconds) == (1, 30)


@pytest.mark.parametrize(("failure", "tries"), [(503, 1), (502, 1), (429, 3), ("read", 1), ("connect", 3)])
def test_what_must_not_be_done_twice(make: Callable[..., Any], failure: int | str, tries: int) -> None:
    errors = {"read": httpx.ReadError("reset"), "connect": httpx.ConnectError("refused")}
    fake = Fake(httpx.Response(failure) if isinstance(failure, int) else errors[failure])
    with pytest.raises(ClientError):
        make(fake, lambda c: c.replace_rules(Rules(1)))
    assert len(fake.requests) == tries


def test_a_slow_answer_is_not_asked_for_again(make: Callable[..., Any]) -> None:
    fake = Fake(httpx.ReadTimeout("timed out"))
    with pytest.raises(Unreachable, match="took too long"):
        make(fake, lambda c: c.recommend())
    assert len(fake.requests) == 1


def test_both_clients_have_the_same_calls() -> None:
    def methods(kind: type) -> dict[str, str | None]:
        ends = {"close", "aclose"}
        return {name: each.__doc__ for name, each in vars(kind).items() if name[0] != "_" and name not in ends}

    assert methods(Client) == methods(AsyncClient)
    assert len(methods(Client)) == 15
    assert all(methods(Client).values())


def test_timeouts_and_pool() -> None:
    with Client("http://shop:1", connect_seconds=0.5, read_seconds=3, max_connections=4) as client:
        assert client._http.timeout == httpx.Timeout(3, connect=0.5)
        pool = client._http._transport._pool  # type: ignore[attr-defined]
        assert (pool._max_connections, pool._max_keepalive_connections, pool._keepalive_expiry) == (4, 4, 60.0)


MISSING = """
import sys
sys.modules["httpx"] = None
try:
    import nextcart.client
except ImportError as error:
    print(error)
"""


def test_without_httpx_the_extra_is_named() -> None:
    done = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True)
    assert done.stdout == "nextcart.client needs httpx; install it with: pip install 'nextcart[client]'\n", done.stderr
