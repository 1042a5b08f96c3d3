"""The lane beside a plain FastAPI application with pydantic models: both take, and refuse, the same requests.

The models below are written from the contract, not from the structs. Where the two may differ, a test says so.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import quote

import httpx
import msgspec
import pytest
from fastapi import FastAPI, HTTPException, Path, Query
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nextcart.config import IngestConfig
from nextcart.serving.openapi import EXAMPLES
from nextcart.serving.routes import items as item_routes
from nextcart.serving.routes import recommend as recommend_routes
from nextcart.serving.schemas import BasketRequest, BatchRequest, EventsRequest, RecommendRequest
from nextcart.types import DAY_MS
from tests.unit.serving.fakes import CONFIG, MODELS, OPEN, Shop, make_shop

INT64 = {"ge": -(2**63), "le": 2**63 - 1}
EARLIEST = 100_000_000_001
"""Ingest takes anything smaller for seconds."""

Text = Annotated[str, Field(max_length=128)]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Id = int | Text
Type = Literal["clicks", "carts", "orders"]
Ts = Annotated[int, Field(ge=EARLIEST, le=2**63 - 1)]
Limit = Annotated[int, Field(ge=1, le=CONFIG.max_limit)]
Listed = Annotated[list[Id], Field(max_length=CONFIG.max_listed_items)]
Score = Annotated[float, Field(allow_inf_nan=False)]
Digits = Annotated[str, Field(pattern="^-?[0-9]{1,19}$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Event(Strict):
    aid: Id
    ts: Ts
    type: Type


class Recommend(Strict):
    events: Annotated[list[Event], Field(max_length=CONFIG.max_events)] = []
    session_id: Annotated[int, Field(**INT64)] | Annotated[str, Field(min_length=1, max_length=128)] | None = None
    limit: Limit = 20
    objective: Type = "clicks"
    mode: Literal["next", "discover"] = "next"
    exclude: Listed = []
    allow: Listed | None = None
    explain: bool = False
    model: Literal[MODELS] | None = None  # type: ignore[valid-type]
    min_score: Score | None = None
    max_per_neighbourhood: Annotated[int, Field(ge=1, le=1000)] | None = None


class Batch(Strict):
    requests: Annotated[list[Recommend], Field(max_length=CONFIG.max_batch)]


class Basket(Strict):
    items: Annotated[list[Id], Field(max_length=CONFIG.max_events)]
    limit: Limit = 20
    exclude: Listed = []


class Logged(Strict):
    """Of a shop whose ids are integers; what is kept must be what ingest takes."""

    session_id: Annotated[int, Field(ge=0, le=2**63 - 1)]
    aid: Annotated[int, Field(ge=0, le=2**63 - 1)]
    ts: Ts
    type: Type
    event_id: Name | None = None
    request_id: Name | None = None


class Events(Strict):
    events: Annotated[list[Any], Field(max_length=CONFIG.max_events)]


class Parameters(BaseModel):
    """What comes in a query is text, so these are not strict."""

    model_config = ConfigDict(extra="forbid")
    limit: Annotated[int, Field(ge=1, le=CONFIG.max_limit)] = 20
    exclude: Annotated[list[Digits], Field(max_length=CONFIG.max_listed_items)] = []


class TopSellers(Parameters):
    objective: Type | None = None


class Similar(Parameters):
    model: Literal["item2vec", "covisitation"] = "item2vec"


def reference() -> FastAPI:
    """Says what it was asked."""
    app = FastAPI()

    @app.post("/v1/recommend")
    @app.post("/recommend")
    async def recommend(body: Recommend) -> Any:
        return body.model_dump()

    @app.post("/v1/recommend/batch")
    async def batch(body: Batch) -> Any:
        return body.model_dump()

    @app.post("/v1/bought-together")
    async def basket(body: Basket) -> Any:
        return body.model_dump()

    @app.post("/v1/events", status_code=202)
    async def events(body: dict[str, Any]) -> Any:
        taken, refused = sifted(body)
        if refused and not taken:
            raise HTTPException(422)
        return {"events": taken, "refused": refused}

    @app.get("/v1/top-sellers")
    async def top_sellers(query: Annotated[TopSellers, Query()]) -> Any:
        return query.model_dump()

    @app.get("/v1/items/{aid}/similar")
    async def similar(aid: Annotated[Digits, Path()], query: Annotated[Similar, Query()]) -> Any:
        return query.model_dump()

    @app.get("/v1/items/{aid}/bought-together")
    async def bought_together(aid: Annotated[Digits, Path()], query: Annotated[Parameters, Query()]) -> Any:
        return query.model_dump()

    return app


def sifted(body: dict[str, Any]) -> tuple[list[dict[str, Any]], list[int]]:
    """The events that are to be kept, and the places of those that are not."""
    parts: list[Any] = [body]
    if "events" in body:
        try:
            parts = Events.model_validate(body).events
        except ValidationError:
            raise HTTPException(422) from None
    latest = time.time() * 1000 + IngestConfig().max_future_days * DAY_MS
    taken, refused = [], []
    for place, part in enumerate(parts):
        try:
            event = TypeAdapter(Logged).validate_python(part)
        except ValidationError:
            refused.append(place)
            continue
        if event.ts > latest:
            refused.append(place)
        else:
            taken.append(event.model_dump())
    return taken, refused


@dataclass
class Both:
    """The lane and the reference, in one loop; what the lane's decoders gave is kept."""

    shop: Shop
    runner: asyncio.Runner
    apps: tuple[Any, Any]
    parsed: list[Any] = field(default_factory=list)

    def ask(self, method: str, path: str, content: bytes = b"") -> tuple[httpx.Response, httpx.Response]:
        self.parsed.clear()
        headers = {"content-type": "application/json", "authorization": f"Bearer {'s' * 16}"}

        async def main() -> list[httpx.Response]:
            answers = []
            for app in self.apps:
                transport = httpx.ASGITransport(app, raise_app_exceptions=False)
                async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
                    answers.append(await client.request(method, path, content=content, headers=headers))
            return answers

        lane, other = self.runner.run(main())
        return lane, other

    def agree(self, method: str, path: str, content: bytes = b"") -> bool:
        """Whether both take it; that they do the same, and read the same, is asserted."""
        lane, other = self.ask(method, path, content)
        assert lane.status_code // 100 == other.status_code // 100, (path, content, lane.text, other.text)
        assert lane.status_code < 500
        if lane.status_code >= 400:
            self._name_the_same(lane, other)
            return False
        said = other.json()
        if path == "/v1/events":
            assert [each["place"] for each in lane.json()["rejected"]] == said["refused"]
            said = {"events": said["events"]}
        # Where there is nothing to keep, nothing is.
        read = self.parsed[0] if self.parsed else {"events": []}
        assert without_nulls(msgspec.to_builtins(read)) == without_nulls(said), (path, content)
        return True

    @staticmethod
    def _name_the_same(lane: httpx.Response, other: httpx.Response) -> None:
        """Each field that the lane names, pydantic names too, or something around or within it."""
        detail = other.json()["detail"]
        # The lane stops at the first wrong field, before it has seen that the rest is no JSON.
        if lane.status_code != 422 or not isinstance(detail, list) or detail[0]["type"] == "json_invalid":
            return
        names = [located(each["loc"][1:]) for each in detail]
        for wrong in lane.json()["errors"]:
            named = wrong["field"]
            assert any(name.startswith(named) or named.startswith(name) for name in names), (lane.text, other.text)


def located(loc: list[str | int]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")


def without_nulls(node: Any) -> Any:
    """What is left out and what is null is the same."""
    if isinstance(node, list):
        return [without_nulls(each) for each in node]
    if isinstance(node, dict):
        return {name: without_nulls(each) for name, each in node.items() if each is not None}
    return node


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setenv("NEXTCART_API_KEYS", OPEN)
        shop = make_shop()
        found = Both(shop, runner, (shop.client.app, reference()))

        def keeping(function: Any) -> Any:
            def kept(*arguments: Any) -> Any:
                read = function(*arguments)
                found.parsed.append(read)
                return read

            return kept

        async def keep_events(events: list[Any]) -> list[bool]:
            kept = [msgspec.to_builtins(event) for event in events]
            found.parsed.append({"events": [{"session_id": event.pop("session"), **event} for event in kept]})
            return [True] * len(events)

        for module, name in (
            (recommend_routes, "decode"),
            (item_routes, "decode"),
            (item_routes, "decode_query"),
        ):
            patch.setattr(module, name, keeping(getattr(module, name)))
        patch.setattr(shop.services.event_log, "append", keep_events)
        yield found


BODIES = {
    "/v1/recommend": RecommendRequest,
    "/recommend": RecommendRequest,
    "/v1/recommend/batch": BatchRequest,
    "/v1/bought-together": BasketRequest,
    "/v1/events": EventsRequest,
}


@pytest.mark.parametrize("path", BODIES)
def test_the_examples_of_the_page_are_taken_by_both(both: Both, path: str) -> None:
    example = deepcopy(EXAMPLES[BODIES[path]])
    if path == "/v1/events":
        # The page's shop has sessions of strings, this one has integers.
        for event in example["events"]:
            event["session_id"] = 12
    assert both.agree("POST", path, json.dumps(example).encode())


ids = st.one_of(st.integers(95, 115), st.integers(-(2**70), 2**70), st.text(max_size=130))
times = st.integers(1_600_000_000_000, 1_700_000_000_000)
types = st.sampled_from(["clicks", "carts", "orders"])
events = st.fixed_dictionaries({"aid": ids, "ts": times, "type": types})
lists = st.lists(ids, max_size=6)
requests = st.fixed_dictionaries(
    {},
    optional={
        "events": st.lists(events, max_size=10),
        "session_id": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.text(min_size=1, max_size=128)),
        "limit": st.integers(1, 50),
        "objective": types,
        "mode": st.sampled_from(["next", "discover"]),
        "exclude": lists,
        "allow": st.none() | lists,
        "explain": st.booleans(),
        "model": st.none() | st.sampled_from(MODELS),
        "min_score": st.none() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False),
        "max_per_neighbourhood": st.none() | st.integers(1, 1000),
    },
)
naturals = st.integers(0, 2**63 - 1)
logged = st.fixed_dictionaries(
    {"session_id": naturals, "aid": naturals, "ts": times, "type": types},
    optional={
        "event_id": st.none() | st.text(min_size=1, max_size=128),
        "request_id": st.none() | st.text(min_size=1, max_size=128),
    },
)
VALID = {
    "/v1/recommend": requests,
    "/v1/recommend/batch": st.fixed_dictionaries({"requests": st.lists(requests, max_size=4)}),
    "/v1/bought-together": st.fixed_dictionaries(
        {"items": st.lists(ids, max_size=10)}, optional={"limit": st.integers(1, 50), "exclude": lists}
    ),
    "/v1/events": st.one_of(st.fixed_dictionaries({"events": st.lists(logged, max_size=10)}), logged),
}
ODD = (
    *(None, True, False, 0, 1, -1, 51, 1001, 7.0, 1.5, -0.0, 1e300),
    *(2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**30, EARLIEST, EARLIEST - 1, 4_102_444_800_000),
    *("", "x", "12", "clicks", "views", "next", "hybrid", "null", "\0", "é" * 128, "x" * 128, "x" * 129),
    *([], [None], [1] * 7, [1] * 11, ["x" * 129], [[1]], [1.0], {}, {"aid": 1}, [{}]),
    {"aid": 101, "ts": EARLIEST, "type": "orders", "extra": 1},
)


odd = st.sampled_from(ODD).map(deepcopy)


@st.composite
def bent(draw: st.DrawFn, valid: st.SearchStrategy[Any]) -> Any:
    """A valid body, or one in which something was replaced, taken away or added once or twice."""
    body = deepcopy(draw(valid))
    for _ in range(draw(st.integers(0, 2))):
        node, places = body, list(body)
        while places:
            place = draw(st.sampled_from(places))
            child = node[place]
            if not isinstance(child, dict | list) or not child or draw(st.booleans()):
                break
            node, places = child, list(child) if isinstance(child, dict) else list(range(len(child)))
        match draw(st.sampled_from(["replace", "take away", "add"])):
            case "replace" if places:
                node[place] = draw(odd)
            case "take away" if places:
                del node[place]
            case _ if isinstance(node, dict):
                node[draw(st.sampled_from(["event", "Limit", "", "aid", "k" * 100, "`"]))] = draw(odd)
            case _:
                node.append(draw(odd))
    return body


def test_bodies_are_taken_and_refused_by_both(both: Both) -> None:
    verdicts: dict[str, set[bool]] = {path: set() for path in VALID}

    @settings(max_examples=500, deadline=None, derandomize=True)
    @given(asked=st.sampled_from(list(VALID)).flatmap(lambda path: st.tuples(st.just(path), bent(VALID[path]))))
    def ask(asked: tuple[str, Any]) -> None:
        path, body = asked
        verdicts[path].add(both.agree("POST", path, json.dumps(body).encode()))

    ask()
    assert verdicts == {path: {True, False} for path in VALID}


@pytest.mark.parametrize("path", VALID)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"x"',
        b"{}x",
        b"{'events': []}",
        b'{"events": [], }',
        b"\xff\xfe",
        b'"\xff"',
    ],
)
def test_what_is_no_object_is_refused_by_both(both: Both, path: str, body: bytes) -> None:
    assert not both.agree("POST", path, body)


@pytest.mark.parametrize("body", [b'{"limit": 1, "limit": 2}', b' \n{"limit" :2}\t', b'{"session_id": "\\u00e9"}'])
def test_what_is_odd_but_json_is_taken_by_both(both: Both, body: bytes) -> None:
    assert both.agree("POST", "/v1/recommend", body)


@pytest.mark.parametrize("body", ["{}".encode("utf-16"), "{}".encode("utf-32"), b"\xef\xbb\xbf{}"])
def test_other_encodings_than_utf_8_the_lane_alone_refuses(both: Both, body: bytes) -> None:
    # RFC 8259 wants UTF-8 without a byte order mark; Python's own reader guesses.
    lane, other = both.ask("POST", "/v1/recommend", body)
    assert (lane.status_code, other.status_code) == (400, 200)


@pytest.mark.parametrize(
    ("value", "status"),
    [(b"NaN", 400), (b"Infinity", 400), (b"-Infinity", 400), (b"1e999", 422), (b'"\\ud800"', 400)],
)
def test_numbers_and_texts_that_are_none_are_refused(both: Both, value: bytes, status: int) -> None:
    # The reference refuses them as well, and may then fail to write down what it refused: JSON has no word for it.
    lane, other = both.ask("POST", "/v1/recommend", b'{"min_score": %s}' % value)
    assert lane.status_code == status
    assert other.status_code >= 422


VALUES = (
    *("5", "1", "50", "0", "51", "-1", "x", "", "1.5", "clicks", "views", "item2vec", "hybrid", "null", "None", "true"),
    *("101", "-7", "9" * 19, "9" * 20, "é", "[]", "1,2", "%00"),
)
values = st.sampled_from(VALUES)
queries = st.dictionaries(st.sampled_from(["limit", "objective", "model", "Limit", "", "aid"]), values, max_size=3)
paths = st.one_of(
    st.just("/v1/top-sellers"),
    st.builds(
        "/v1/items/{}/{}".format,
        st.sampled_from(["101", "111", "7", "-7", "9" * 20, "x", "1.0", "%20", "%C3%A9"]),
        st.sampled_from(["similar", "bought-together"]),
    ),
)


def test_queries_are_taken_and_refused_by_both(both: Both) -> None:
    verdicts = set()

    @settings(max_examples=250, deadline=None, derandomize=True)
    @given(path=paths, query=queries, exclude=st.lists(st.sampled_from(["101", "7", "-1", "x", "", "1.0"]), max_size=7))
    def ask(path: str, query: dict[str, str], exclude: list[str]) -> None:
        pairs = [*query.items(), *(("exclude", each) for each in exclude)]
        text = "&".join(f"{name}={quote(value)}" for name, value in pairs)
        verdicts.add(both.agree("GET", f"{path}?{text}"))

    ask()
    assert verdicts == {True, False}


@pytest.mark.parametrize(
    ("query", "of_lane", "of_reference"),
    [
        # FastAPI takes the last of several and drops the others without a word.
        ("limit=3&limit=5", 422, 200),
        # pydantic reads numbers as Python does; msgspec as JSON does, if they are whole.
        ("limit=%205", 422, 200),
        ("limit=%2B5", 422, 200),
        ("limit=005", 422, 200),
        ("limit=1_0", 422, 200),
        ("limit=1e1", 200, 422),
    ],
)
def test_where_queries_differ(both: Both, query: str, of_lane: int, of_reference: int) -> None:
    lane, other = both.ask("GET", f"/v1/top-sellers?{query}")
    assert (lane.status_code, other.status_code) == (of_lane, of_reference)
