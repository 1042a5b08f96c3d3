from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextcart.events.rejects import SECONDS_TO
from nextcart.serving.bodies import decode
from nextcart.serving.problems import Problem
from nextcart.serving.schemas import RecommendRequest
from tests.unit.serving.fakes import CONFIG, Client, Shop, clicks, make_shop

RECOMMEND = ("/v1/recommend", "/recommend")
EVENT = clicks(100)[0]
SECONDS = "below 4102444801, which looks like seconds; give Unix milliseconds"


def problem(response: Any, status: int) -> dict[str, Any]:
    """The document of a response that must be a problem in every respect."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == status
    assert document["type"].startswith("urn:nextcart:problem:")
    assert document["instance"] == response.url.path
    assert document["title"]
    assert document["detail"]
    return document


def fields(document: dict[str, Any]) -> list[str]:
    return [error["field"] for error in document["errors"]]


BAD_BODIES = [
    ({"events": [{"ts": EVENT["ts"], "type": "clicks"}]}, "events[0].aid", "is missing"),
    ({"events": [], "evnts": []}, "evnts", "no such field; there are events, session_id, limit"),
    ({"events": [{**EVENT, "price": 3}]}, "events[0].price", "no such field; there are aid, ts, type"),
    ({"events": [EVENT, {"aid": 1, "ts": EVENT["ts"]}]}, "events[1].type", "is missing"),
    ({"events": [{**EVENT, "ts": "now"}]}, "events[0].ts", "expected int, got str"),
    ({"events": [{**EVENT, "ts": 1.5}]}, "events[0].ts", "expected int, got float"),
    ({"events": [EVENT, {**EVENT, "ts": 1_661_724_000}]}, "events[1].ts", SECONDS),
    ({"events": [{**EVENT, "ts": 4_102_444_800}]}, "events[0].ts", SECONDS),
    ({"events": [{**EVENT, "ts": 0}]}, "events[0].ts", SECONDS),
    ({"events": [{**EVENT, "ts": -1}]}, "events[0].ts", SECONDS),
    ({"events": [{**EVENT, "ts": 2**63}]}, "events[0].ts", "expected int <= 9223372036854775807"),
    ({"events": [{**EVENT, "ts": None}]}, "events[0].ts", "expected int, got null"),
    ({"events": [{**EVENT, "type": "view"}]}, "events[0].type", "must be one of clicks, carts, orders"),
    ({"events": [{**EVENT, "aid": None}]}, "events[0].aid", "expected int | str, got null"),
    ({"events": [{**EVENT, "aid": True}]}, "events[0].aid", "expected int | str, got bool"),
    ({"events": [{**EVENT, "aid": "x" * 129}]}, "events[0].aid", "expected str of length <= 128"),
    ({"events": clicks(*range(11))}, "events", "has 11 entries; send at most 10"),
    ({"events": {}}, "events", "expected array, got object"),
    ({"events": [], "limit": 0}, "limit", "expected int >= 1"),
    ({"events": [], "limit": 51}, "limit", "must be from 1 to 50"),
    ({"events": [], "limit": 10**30}, "limit", "must be from 1 to 50"),
    ({"events": [], "limit": "5"}, "limit", "expected int, got str"),
    ({"events": [], "objective": "views"}, "objective", "must be one of clicks, carts, orders"),
    ({"events": [], "mode": "prev"}, "mode", "must be one of next, discover"),
    ({"events": [], "model": "gpt"}, "model", "this version has no such model; it has top_sellers, covisitation"),
    ({"events": [], "exclude": [1] * 7}, "exclude", "has 7 entries; send at most 6"),
    ({"events": [], "allow": [1] * 7}, "allow", "has 7 entries; send at most 6"),
    ({"events": [], "allow": [1, [2]]}, "allow[1]", "expected int | str, got array"),
    ({"events": [], "session_id": 2**63}, "session_id", "expected int <= 9223372036854775807"),
    ({"events": [], "session_id": "x" * 129}, "session_id", "expected str of length <= 128"),
    ({"events": [], "explain": 1}, "explain", "expected bool, got int"),
    ([], "", "expected object, got array"),
]


@pytest.mark.parametrize("path", RECOMMEND)
@pytest.mark.parametrize(("body", "field", "message"), BAD_BODIES)
def test_a_wrong_field_is_named(client: Client, path: str, body: Any, field: str, message: str) -> None:
    document = problem(client.post(path, body), 422)
    assert fields(document) == [field]
    assert document["errors"][0]["message"].startswith(message)
    assert message in document["detail"]


@pytest.mark.parametrize(("body", "field", "message"), [case for case in BAD_BODIES if isinstance(case[0], dict)])
def test_a_wrong_field_in_a_batch_is_named_with_its_request(
    client: Client, body: Any, field: str, message: str
) -> None:
    document = problem(client.post("/v1/recommend/batch", {"requests": [{"events": []}, body]}), 422)
    assert fields(document) == [f"requests[1].{field}"]
    assert document["errors"][0]["message"].startswith(message)


def test_all_broken_limits_are_named_at_once(client: Client) -> None:
    document = problem(client.post("/v1/recommend", {"events": clicks(*range(11)), "limit": 99, "model": "x"}), 422)
    assert fields(document) == ["limit", "events", "model"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"requests": [{"events": []}] * 5}, "requests"),
        ({"request": []}, "request"),
        ({}, "requests"),
    ],
)
def test_a_wrong_batch_is_named(client: Client, body: Any, field: str) -> None:
    assert fields(problem(client.post("/v1/recommend/batch", body), 422)) == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "items"),
        ({"items": [], "basket": []}, "basket"),
        ({"items": list(range(11))}, "items"),
        ({"items": [], "limit": 51}, "limit"),
        ({"items": [], "exclude": list(range(7))}, "exclude"),
        ({"items": [1.5]}, "items[0]"),
    ],
)
def test_a_wrong_basket_is_named(client: Client, body: Any, field: str) -> None:
    assert fields(problem(client.post("/v1/bought-together", body), 422)) == [field]


BODY_ROUTES = (*RECOMMEND, "/v1/recommend/batch", "/v1/bought-together")


@pytest.mark.parametrize("path", BODY_ROUTES)
@pytest.mark.parametrize("body", [b"", b"{", b"nope", b"\xef\xbb\xbf{}", b"\x80"])
def test_a_body_that_is_no_json_is_a_400(client: Client, path: str, body: bytes) -> None:
    document = problem(client.request("POST", path, content=body), 400)
    assert document["type"].endswith(":malformed-json")


@pytest.mark.parametrize("path", RECOMMEND)
@pytest.mark.parametrize("body", [b'{"events":[]} x', b'{"events":NaN}', b'{"model":"\xff"}', b'{"model":"\\ud800"}'])
def test_json_that_breaks_off_is_a_400(client: Client, path: str, body: bytes) -> None:
    document = problem(client.request("POST", path, content=body), 400)
    assert document["type"].endswith(":malformed-json")


@pytest.mark.parametrize("path", BODY_ROUTES)
def test_deep_nesting_is_refused_without_a_crash(client: Client, path: str) -> None:
    body = b'{"events":' + b"[" * 3900
    assert client.request("POST", path, content=body).status_code in (400, 422)


@pytest.mark.parametrize("name", ["x" * 3000, " - at `$" * 400, " - at `$." + "x" * 3000])
def test_a_long_field_name_is_not_given_back_whole(client: Client, name: str) -> None:
    document = problem(client.post("/v1/recommend", {"events": [], name: 1}), 422)
    assert len(json.dumps(document)) < 800


@pytest.mark.parametrize("part", ["unknown field `", "Object contains unknown field `", " - at `$", "`"])
def test_a_text_made_to_be_searched_long_is_refused_at_once(part: str) -> None:
    text = part * (1_000_000 // len(part))
    decoder = msgspec.json.Decoder(RecommendRequest)
    for body in ({"events": [], "mode": text}, {"events": [], text: 1}):
        started = time.process_time()
        with pytest.raises(Problem):
            decode(json.dumps(body).encode(), decoder)
        assert time.process_time() - started < 1


def test_the_first_millisecond_that_cannot_be_seconds_is_taken(client: Client) -> None:
    assert client.post("/v1/recommend", {"events": [{**EVENT, "ts": SECONDS_TO + 1}]}).status_code == 200


@pytest.mark.parametrize("name", ["a` - at `$.type", "Invalid enum value 'x' - at `$.zzz", "", "é\n`", "$.events[0]"])
def test_a_field_name_made_to_mislead_is_still_a_422(client: Client, name: str) -> None:
    assert problem(client.post("/v1/recommend", {"events": [], name: 1}), 422)["errors"]
    assert problem(client.post("/v1/recommend", {"events": [], "mode": name}), 422)["errors"]


async def ask_in_chunks(app: Any, path: str, chunks: list[bytes], length: int | None) -> tuple[int, int]:
    """Status of the answer, and how many chunks the application took."""
    taken, status = 0, 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": chunks[taken - 1], "more_body": taken < len(chunks)}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    headers = [(b"content-length", str(length).encode())] if length is not None else []
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
    await app(scope, receive, send)
    return status, taken


@pytest.mark.parametrize("path", BODY_ROUTES)
def test_a_body_said_to_be_too_large_is_not_read(client: Client, path: str) -> None:
    chunks = [b" " * 1000] * 100
    assert asyncio.run(ask_in_chunks(client.app, path, chunks, 100_000)) == (413, 0)


@pytest.mark.parametrize("path", BODY_ROUTES)
@pytest.mark.parametrize("length", [None, 10])
def test_a_body_that_turns_out_too_large_is_read_to_the_cap_only(client: Client, path: str, length: int | None) -> None:
    chunks = [b" " * 1000] * 100
    assert asyncio.run(ask_in_chunks(client.app, path, chunks, length)) == (413, 5)


def test_a_body_in_chunks_is_put_together(client: Client) -> None:
    chunks = [b'{"eve', b"", b'nts":', b"[]}"]
    assert asyncio.run(ask_in_chunks(client.app, "/v1/recommend", chunks, None)) == (200, 4)


def test_the_cap_itself_is_still_read(client: Client) -> None:
    body = b'{"events":[]}'.ljust(CONFIG.max_body_bytes)
    assert client.request("POST", "/v1/recommend", content=body).status_code == 200
    too_large = problem(client.request("POST", "/v1/recommend", content=body + b" "), 413)
    assert str(CONFIG.max_body_bytes) in too_large["detail"]


def test_a_client_that_goes_away_is_no_error_of_the_server(client: Client) -> None:
    async def ask() -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/recommend", "headers": [], "query_string": b""}
        await client.app(scope, receive, send)
        return sent

    assert asyncio.run(ask())[0]["status"] == 400


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("/v1/top-sellers", {"limit": 0}, "limit"),
        ("/v1/top-sellers", {"limit": 51}, "limit"),
        ("/v1/top-sellers", {"limit": "many"}, "limit"),
        ("/v1/top-sellers", {"objective": "views"}, "objective"),
        ("/v1/top-sellers", {"limits": 5}, "limits"),
        ("/v1/top-sellers", {"exclude": [100, "abc"]}, "exclude[1]"),
        ("/v1/top-sellers", {"exclude": list(range(7))}, "exclude"),
        ("/v1/items/101/similar", {"model": "hybrid"}, "model"),
        ("/v1/items/101/similar", {"limit": -1}, "limit"),
        ("/v1/items/abc/similar", {}, "aid"),
        ("/v1/items//similar", {}, "aid"),
        ("/v1/items/1.5/bought-together", {}, "aid"),
        ("/v1/items/12345678901234567890/bought-together", {}, "aid"),
        ("/v1/items/٣/bought-together", {}, "aid"),
        ("/v1/items/101/bought-together", {"limit": 51}, "limit"),
        ("/v1/items/101/bought-together", {"model": "item2vec"}, "model"),
    ],
)
def test_a_wrong_parameter_is_named(client: Client, path: str, params: dict, field: str) -> None:
    document = problem(client.get(path, **params), 422)
    assert fields(document) == [field]
    assert document["errors"][0]["message"]


@pytest.mark.parametrize("path", ["/", "/v2/recommend", "/v1/recommend/", "/v1/items/101", "/redoc"])
def test_an_unknown_route_is_a_404(client: Client, path: str) -> None:
    assert "/docs" in problem(client.get(path), 404)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/recommend", "POST"),
        ("PUT", "/recommend", "POST"),
        ("DELETE", "/v1/recommend/batch", "POST"),
        ("POST", "/v1/top-sellers", "GET, HEAD"),
        ("POST", "/v1/items/1/similar", "GET, HEAD"),
        ("POST", "/health/ready", "GET, HEAD"),
        ("OPTIONS", "/v1/admin/rules", "GET, HEAD, PUT"),
    ],
)
def test_a_wrong_method_is_a_405_that_names_the_right_one(client: Client, method: str, path: str, allow: str) -> None:
    response = client.request(method, path)
    assert problem(response, 405)["type"].endswith(":method-not-allowed")
    assert response.headers["allow"] == allow


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/recommend"), ("POST", "/v1/recommend/batch"), ("GET", "/v1/top-sellers")]
)
def test_a_bug_tells_nothing_of_the_inside(shop: Shop, monkeypatch: pytest.MonkeyPatch, method: str, path: str) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise RuntimeError("secret of /srv/models")

    monkeypatch.setattr(shop.recommender, "recommend", fail)
    monkeypatch.setattr(shop.recommender, "top_sellers", fail)
    body = {"requests": [{"events": []}]} if path.endswith("batch") else {"events": []}
    response = shop.client.request(method, path, json=body if method == "POST" else None)
    assert problem(response, 500)["type"].endswith(":internal-error")
    assert not any(word in response.text for word in ("secret", "srv", "RuntimeError", "Traceback"))


ids = st.one_of(st.integers(), st.text(max_size=140), st.integers(95, 115))
oddities = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(allow_nan=False, allow_infinity=False),
    ids,
    st.lists(ids, max_size=3),
    st.just({}),
)
events = st.fixed_dictionaries(
    {"aid": ids, "ts": st.integers(-1, 2**64), "type": st.sampled_from(["clicks", "carts", "orders", "views"])}
)
bodies = st.fixed_dictionaries(
    {"events": st.one_of(st.lists(events, max_size=12), oddities)},
    optional={
        "limit": st.one_of(st.integers(-1, 52), oddities),
        "objective": st.one_of(st.sampled_from(["clicks", "orders"]), oddities),
        "mode": st.one_of(st.sampled_from(["next", "discover"]), oddities),
        "exclude": st.one_of(st.lists(ids, max_size=7), oddities),
        "allow": st.one_of(st.lists(ids, max_size=7), oddities),
        "model": st.one_of(st.just("hybrid"), oddities),
        "session_id": st.one_of(ids, oddities),
        "explain": oddities,
    },
)


@settings(max_examples=150, deadline=None)
@given(body=bodies, id_type=st.sampled_from(["int64", "string"]))
def test_whatever_is_sent_the_answer_is_a_list_or_a_named_field(body: dict[str, Any], id_type: Any) -> None:
    client = make_shop(id_type).client
    response = client.post("/v1/recommend", body)
    if response.status_code == 200:
        assert response.json()["session_id"] == body.get("session_id")
        assert len(response.json()["recommendations"]) <= body.get("limit", 20)
    else:
        assert fields(problem(response, 422))
    batch = client.post("/v1/recommend/batch", {"requests": [body]})
    assert batch.status_code == response.status_code
