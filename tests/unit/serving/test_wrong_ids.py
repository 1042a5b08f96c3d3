"""Ids of another kind than the shop's match nothing: the request is answered, and it shows."""

from __future__ import annotations

import logging

import pytest

from nextcart.serving.metrics import Metrics
from nextcart.serving.schemas import Event, RecommendRequest
from nextcart.serving.wrong_ids import QUIET_SECONDS, WrongIds
from tests.unit.serving.fakes import Client, clicks, make_shop


def counted(client: Client) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    found = (line.partition('nextcart_wrong_ids_total{field="')[2].partition('"} ') for line in lines)
    return {field: float(value) for field, _, value in found if field and float(value)}


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("/v1/recommend", {"events": clicks(100), "exclude": [7], "allow": [101]}, {}),
        ("/v1/recommend", {"events": [], "exclude": [], "allow": [], "session_id": "s"}, {}),
        ("/v1/recommend", {"events": clicks("100")}, {"events": 1}),
        ("/v1/recommend", {"exclude": ["100"], "allow": ["101"]}, {"exclude": 1, "allow": 1}),
        ("/recommend", {"events": clicks("100")}, {"events": 1}),
        ("/v1/recommend/batch", {"requests": [{"events": clicks("100")}] * 3}, {"events": 3}),
        ("/v1/bought-together", {"items": ["100"], "exclude": ["101"]}, {"items": 1, "exclude": 1}),
    ],
)
def test_such_requests_are_answered_and_counted_by_field(path: str, body: dict, fields: dict[str, float]) -> None:
    client = make_shop().client
    assert client.post(path, body).status_code == 200
    assert counted(client) == fields


def test_of_text_ids_integers_are_the_wrong_ones() -> None:
    client = make_shop("string").client
    client.post("/v1/recommend", {"events": clicks("sku/1"), "exclude": ["sku/2"]})
    assert counted(client) == {}
    client.post("/v1/recommend", {"events": clicks(100)})
    assert counted(client) == {"events": 1}


def test_one_a_minute_is_named_without_its_ids(caplog: pytest.LogCaptureFixture) -> None:
    now = 1000.0
    wrong_ids = WrongIds(Metrics(), lambda: now)
    asked = RecommendRequest([Event("sku-4711", 1, "clicks")])
    with caplog.at_level(logging.WARNING, "nextcart"):
        for request in "abc":
            wrong_ids.in_request(asked, "int64", request)
        now += QUIET_SECONDS
        wrong_ids.in_request(asked, "int64", "d")
    assert [vars(record)["request_id"] for record in caplog.records] == ["a", "d"]
    assert "'events' are strings" in caplog.text
    assert "integers" in caplog.text
    assert "4711" not in caplog.text
