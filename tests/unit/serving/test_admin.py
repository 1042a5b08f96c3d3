from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.serving.fakes import OPEN, Shop, clicks, make_shop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("NEXTCART_API_KEYS", OPEN)
    shop = make_shop(state=tmp_path / "state")
    yield shop
    asyncio.run(shop.services.close())


def test_rules_are_read_replaced_and_versioned(shop: Shop) -> None:
    ask = shop.client.as_operator
    assert ask("GET", "/v1/admin/rules").json() == {"version": 0, "block": [], "pin": [], "boost": []}
    first = ask("PUT", "/v1/admin/rules", json={"version": 0, "pin": [{"aid": 105, "position": 1}]}).json()
    assert (first["version"], first["pin"]) == (1, [{"aid": 105, "position": 1}])
    late = ask("PUT", "/v1/admin/rules", json={"version": 0, "block": [101]})
    assert late.status_code == 409
    assert "version 1" in late.json()["detail"]
    assert ask("GET", "/v1/admin/rules").json() == first


def test_items_are_blocked_and_unblocked(shop: Shop) -> None:
    ask = shop.client.as_operator
    assert ask("POST", "/v1/admin/rules/block", json={"items": [101, 102, 101]}).json()["block"] == [101, 102]
    assert ask("POST", "/v1/admin/rules/block", json={"items": [103]}).json()["block"] == [101, 102, 103]
    answer = ask("POST", "/v1/admin/rules/unblock", json={"items": [102, 7]}).json()
    assert (answer["version"], answer["block"]) == (3, [101, 103])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"version": 0, "pin": [{"aid": 1, "position": 0}]}, "pin[0].position"),
        ({"version": 0, "boost": [{"aid": 1, "factor": -1.0}]}, "boost[0].factor"),
        ({"version": 0, "pins": []}, "pins"),
        ({"block": []}, "version"),
    ],
)
def test_wrong_rules_are_refused_and_the_field_is_named(shop: Shop, body: dict, field: str) -> None:
    response = shop.client.as_operator("PUT", "/v1/admin/rules", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == field
    assert shop.client.as_operator("GET", "/v1/admin/rules").json()["version"] == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/admin/rules"),
        ("PUT", "/v1/admin/rules"),
        ("POST", "/v1/admin/rules/block"),
        ("POST", "/v1/admin/rules/unblock"),
        ("POST", "/v1/admin/reload"),
        ("DELETE", "/v1/sessions/7"),
    ],
)
def test_what_changes_state_needs_an_operator_s_key(shop: Shop, method: str, path: str) -> None:
    assert shop.client.request(method, path, json={}).status_code == 401
    assert shop.client.as_shop(method, path, json={}).status_code == 403


def test_reload_tells_what_answers_then(shop: Shop) -> None:
    assert shop.client.as_operator("POST", "/v1/admin/reload").json()["status"] == "ready"


def test_an_erased_session_is_forgotten_and_the_receipt_says_where_it_was(shop: Shop) -> None:
    shop.client.post("/v1/recommend", {"session_id": 7, "events": clicks(100)})
    shop.client.as_shop("POST", "/v1/events", json={"session_id": 7, **clicks(103)[0]})
    receipt = shop.client.as_operator("DELETE", "/v1/sessions/7").json()
    assert receipt["found"]["session_store"] == 1
    assert receipt["found"]["event_log"] == {"segments": 1, "lines": 1}
    assert shop.client.post("/v1/recommend", {"session_id": 7}).json()["fallback"] == "empty_session"
    again = shop.client.as_operator("DELETE", "/v1/sessions/7").json()
    assert again["found"]["event_log"]["lines"] == 0
