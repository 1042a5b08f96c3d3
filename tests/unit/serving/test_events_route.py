from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from nextcart.errors import LogBusy, LogFull
from nextcart.serving import following
from nextcart.serving.routes.events import _fault
from nextcart.serving.schemas import LoggedEventBody
from tests.unit.serving.fakes import OPEN, Shop, clicks, make_shop

EVENT = {"session_id": 7, **clicks(100)[0]}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("NEXTCART_API_KEYS", OPEN)
    shop = make_shop(state=tmp_path / "state")
    yield shop
    asyncio.run(shop.services.close())


def take(shop: Shop, body: object) -> httpx.Response:
    return shop.client.as_shop("POST", "/v1/events", json=body)


def lines(shop: Shop) -> list[dict]:
    folder = shop.services.settings.serving.state / "event_log"
    return [json.loads(line) for file in sorted(folder.glob("events-*")) for line in file.read_text().splitlines()]


def test_an_accepted_event_is_on_disk_and_in_its_session(shop: Shop) -> None:
    response = take(shop, {**EVENT, "event_id": "e-1", "request_id": "r-1"})
    assert response.status_code == 202
    assert response.json() == {"accepted": 1, "duplicates": 0, "rejected": []}
    (line,) = lines(shop)
    assert {key: line[key] for key in ("session", "events", "event_id", "request_id")} == {
        "session": 7,
        "events": clicks(100),
        "event_id": "e-1",
        "request_id": "r-1",
    }
    answer = shop.client.post("/v1/recommend", {"session_id": 7, "limit": 1}).json()
    assert [item["aid"] for item in answer["recommendations"]] == [101]


def test_the_same_event_id_is_kept_once(shop: Shop) -> None:
    event = {**EVENT, "event_id": "e-1"}
    assert take(shop, {"events": [event, event]}).json()["duplicates"] == 1
    assert take(shop, event).json() == {"accepted": 0, "duplicates": 1, "rejected": []}
    assert len(lines(shop)) == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"aid": "sku"}, "aid"),
        ({"aid": 2**63}, "aid"),
        ({"aid": -1}, "aid"),
        ({"session_id": -1}, "session_id"),
        ({"session_id": "x"}, "session_id"),
        ({"ts": 5}, "ts"),
        ({"ts": "soon"}, "ts"),
        ({"ts": 4_102_444_800_000}, "ts"),
        ({"type": "views"}, "type"),
        ({"event_id": ""}, "event_id"),
        ({"price": 3}, "price"),
    ],
)
def test_a_wrong_event_is_named_and_the_others_are_taken(shop: Shop, wrong: dict, field: str) -> None:
    answer = take(shop, {"events": [EVENT, {**EVENT, **wrong}]}).json()
    assert answer["accepted"] == 1
    (rejected,) = answer["rejected"]
    assert (rejected["place"], rejected["field"]) == (1, field)
    assert rejected["message"]
    assert len(lines(shop)) == 1


@pytest.mark.parametrize("session_id", ["", "a\nb", "a\x00", "\x85", "é" * 65])
def test_an_id_that_ingest_would_reject_is_not_acknowledged(session_id: str) -> None:
    """Else one such event makes the whole segment fail at the next ingest."""
    fault = _fault(
        LoggedEventBody(aid="sku", ts=EVENT["ts"], type="clicks", session_id=session_id), EVENT["ts"], None, None
    )
    assert fault is not None
    assert fault.field == "session_id"


@pytest.mark.parametrize("session_id", ["b7d1", " ", "\u2028", "é" * 64, 0, 2**63 - 1])
def test_an_unusual_id_that_ingest_takes_is_taken(session_id: str | int) -> None:
    event = LoggedEventBody(aid="sku", ts=EVENT["ts"], type="clicks", session_id=session_id)
    assert _fault(event, EVENT["ts"], None, None) is None


def test_where_every_event_is_wrong_nothing_is_taken(shop: Shop) -> None:
    response = take(shop, {"events": [{**EVENT, "ts": 4_102_444_800_000}, {"aid": 1}]})
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["events[0].ts", "events[1].ts"]
    assert lines(shop) == []


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"events": [EVENT], "extra": 1}, 422, "extra"),
        ({"events": 3}, 422, "events"),
        ({"events": [EVENT] * 11}, 422, "events"),
        ({**EVENT, "type": "views"}, 422, "type"),
        ([EVENT], 422, ""),
        ("x", 422, ""),
    ],
)
def test_a_wrong_body_is_refused_whole(shop: Shop, body: object, status: int, field: str) -> None:
    response = take(shop, body)
    assert response.status_code == status
    assert response.json()["errors"][0]["field"] == field
    assert lines(shop) == []


def test_an_event_of_an_hour_ahead_is_taken_as_clocks_differ(shop: Shop) -> None:
    assert take(shop, {**EVENT, "ts": int(time.time() * 1000) + 3_600_000}).json()["accepted"] == 1


@pytest.mark.parametrize(
    ("error", "kind"), [(LogFull("the disk is full"), "log-full"), (LogBusy("too many wait"), "log-busy")]
)
def test_where_the_log_takes_nothing_it_is_503_and_recommendations_go_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, kind: str
) -> None:
    async def fail(events: object) -> list[bool]:
        raise error

    monkeypatch.setattr(shop.services.event_log, "append", fail)
    response = take(shop, EVENT)
    assert response.status_code == 503
    assert [record.message.partition(" ms: ")[2] for record in caplog.records] == [str(error)]
    assert response.json()["type"].endswith(kind)
    assert int(response.headers["retry-after"]) >= 1
    assert shop.client.post("/v1/recommend", {"events": clicks(100)}).status_code == 200


def test_events_need_a_key(shop: Shop) -> None:
    assert shop.client.post("/v1/events", EVENT).status_code == 401


def test_a_hit_is_counted_where_the_item_was_shown(shop: Shop) -> None:
    shop.client.post("/v1/recommend", {"session_id": 7, "events": clicks(100), "limit": 5})
    take(shop, {"events": [{**EVENT, "aid": aid, "ts": EVENT["ts"] + aid} for aid in (102, 111)]})
    text = shop.client.get("/metrics").text
    labels = '{objective="clicks",type="clicks",version="20261124T021500Z-3fa9c1d2"}'
    assert f"nextcart_online_events_total{labels} 2.0" in text
    assert f"nextcart_online_hits_total{labels} 1.0" in text
    assert f"nextcart_online_reciprocal_ranks_total{labels} 0.5" in text


@pytest.mark.parametrize(
    "body",
    [b'{"events":[' + b"[" * 1900 + b"]" * 1900 + b"]}", b'{"x":' + b"[" * 1900 + b"]" * 1900 + b"}"],
)
def test_what_is_nested_too_deep_is_no_event(shop: Shop, body: bytes) -> None:
    response = shop.client.as_shop("POST", "/v1/events", content=body)
    assert (response.status_code, response.json()["type"]) == (400, "urn:nextcart:problem:malformed-json")


def test_the_events_of_many_sessions_reach_each_of_them(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "AT_ONCE", 4)
    sessions = range(10)
    assert take(shop, {"events": [{**EVENT, "session_id": s} for s in sessions]}).json()["accepted"] == 10
    held = [asyncio.run(shop.services.sessions.append(s, [])).events for s in sessions]
    assert [[event.aid for event in events] for events in held] == [[100]] * 10
