"""A shop's rules at a real service with two workers: live within moments, and a blocked item is in no answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from nextcart.models.fitting import MODEL_NAMES
from tests.serving_process import START, Service, service_of

BOSS = "boss-secret-0123456"
ITEMS = [1000 + 10 * item for item in range(30)]
LIMIT = 10
PATIENCE = 15.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    variables = {"NEXTCART__SERVING__WORKERS": "2", "NEXTCART_API_KEYS": f"boss:admin:{BOSS}"}
    with service_of(tmp_path_factory.mktemp("service"), **variables) as service:
        end = time.monotonic() + PATIENCE
        while service.log.read_text().count("is ready as production") < 2:
            assert time.monotonic() < end
            time.sleep(0.05)
        yield service


@pytest.fixture(autouse=True)
def no_rules(service: Service) -> Iterator[None]:
    yield
    held = admin(service, "GET", "").json()
    set_rules(service, {"version": held["version"]})


def admin(service: Service, method: str, path: str, body: Any = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {BOSS}"}
    return httpx.request(method, f"{service.url}/v1/admin/rules{path}", json=body, headers=headers)


def set_rules(service: Service, rules: dict[str, Any]) -> int:
    response = admin(service, "PUT", "", rules)
    assert response.status_code == 200, response.text
    version: int = response.json()["version"]
    until_live(service, version)
    return version


def until_live(service: Service, version: int) -> None:
    """Every worker has them: the metric is that of the one that is furthest behind."""
    end = time.monotonic() + PATIENCE
    while f"nextcart_rules_version {version}.0" not in httpx.get(f"{service.url}/metrics").text:
        assert time.monotonic() < end
        time.sleep(0.05)


def events(*aids: int) -> list[dict[str, Any]]:
    return [{"aid": aid, "ts": START + 1000 * i, "type": "carts"} for i, aid in enumerate(aids)]


def all_answers(service: Service) -> Iterator[tuple[str, list[int], bool]]:
    """Every way to be given items: what was asked, the items, and whether there must be as many as were asked for."""
    with httpx.Client(base_url=service.url, timeout=30) as client:
        bodies: dict[str, dict[str, Any]] = {
            "session": {"events": events(1030, 1040, 1050)},
            "empty": {"events": []},
            "unknown": {"events": events(7)},
            "discover": {"events": events(1030, 1040), "mode": "discover"},
            "explain": {"events": events(1030, 1040), "explain": True},
            "few alike": {"events": events(1030, 1040), "max_per_neighbourhood": 3},
        }
        for model in (name for name in MODEL_NAMES if name != "ranker"):
            bodies[model] = {"events": events(1030, 1040), "model": model}
        for objective in ("carts", "orders"):
            bodies[objective] = {"events": events(1030), "objective": objective}
        requests = [{**body, "limit": LIMIT} for body in bodies.values()]
        for name, request in zip(bodies, requests, strict=True):
            full = name != "few alike"
            yield name, aids(client.post("/v1/recommend", json=request)), full
            plain = client.post("/recommend", json=request).json()["recommendations"]
            yield f"plain {name}", plain, full
        batch = client.post("/v1/recommend/batch", json={"requests": requests}).json()["responses"]
        for name, answer in zip(bodies, batch, strict=True):
            yield f"batch {name}", [each["aid"] for each in answer["recommendations"]], name != "few alike"
        for objective in ("", "&objective=clicks", "&objective=carts", "&objective=orders"):
            yield f"top{objective}", aids(client.get(f"/v1/top-sellers?limit={LIMIT}{objective}")), True
        for path, full in (
            *((f"/v1/items/{aid}/{kind}", False) for aid in (1030, 1200) for kind in ("similar", "bought-together")),
            ("/v1/items/1030/similar?model=covisitation", False),
            ("/v1/items/7/similar", True),
            ("/v1/items/7/bought-together", True),
        ):
            sign = "&" if "?" in path else "?"
            yield path, aids(client.get(f"{path}{sign}limit={LIMIT}")), full
        for basket, full in (([1030, 1040], False), ([], True), ([7], True)):
            answer = client.post("/v1/bought-together", json={"items": basket, "limit": LIMIT})
            yield f"basket {basket}", aids(answer), full


def aids(response: httpx.Response) -> list[int]:
    assert response.status_code == 200, response.text
    return [each["aid"] for each in response.json()["recommendations"]]


def test_what_is_blocked_comes_by_no_route_and_lists_stay_as_long(service: Service) -> None:
    shown = {aid for _, items, _ in all_answers(service) for aid in items}
    # Half of what is shown, and the items asked with among it.
    blocked = {1030, 1040, *sorted(shown)[::2]}
    assert len(blocked) >= 12
    set_rules(
        service, {"version": version_of(service), "block": sorted(blocked), "pin": [{"aid": 1030, "position": 1}]}
    )
    for name, items, full in all_answers(service):
        assert not blocked & set(items), name
        assert len(set(items)) == len(items), name
        assert not full or len(items) == LIMIT, (name, items)


def test_what_is_pinned_stands_at_its_place_unless_the_request_does_not_want_it(service: Service) -> None:
    pins = [{"aid": 1290, "position": 1}, {"aid": 1280, "position": 3}]
    set_rules(service, {"version": version_of(service), "pin": pins})
    for name, items, full in all_answers(service):
        if full:
            assert (items[0], items[2]) == (1290, 1280), name
    body = {"events": events(1030), "limit": LIMIT, "exclude": [1290]}
    assert 1290 not in aids(httpx.post(f"{service.url}/v1/recommend", json=body))


def version_of(service: Service) -> int:
    version: int = admin(service, "GET", "").json()["version"]
    return version


@pytest.mark.parametrize("sold_out", [1030, 1200])
def test_an_item_that_is_sold_out_is_gone_from_every_worker_within_moments_and_comes_again(
    service: Service, sold_out: int
) -> None:
    response = admin(service, "POST", "/block", {"items": [sold_out]})
    assert response.json()["block"] == [sold_out]
    until_live(service, response.json()["version"])
    # Over connections of their own, so that both workers are asked.
    for _ in range(10):
        assert sold_out not in aids(httpx.get(f"{service.url}/v1/top-sellers?limit=30"))
    response = admin(service, "POST", "/unblock", {"items": [sold_out]})
    assert response.json()["block"] == []
    until_live(service, response.json()["version"])
    for _ in range(10):
        assert set(aids(httpx.get(f"{service.url}/v1/top-sellers?limit=30"))) == set(ITEMS)


def test_two_operators_at_once_do_not_undo_each_other(service: Service) -> None:
    version = version_of(service)
    first = admin(service, "PUT", "", {"version": version, "block": [1030]})
    second = admin(service, "PUT", "", {"version": version, "block": [1040]})
    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json()["type"] == "urn:nextcart:problem:rules-conflict"
    assert admin(service, "GET", "").json()["block"] == [1030]


def test_rules_that_are_wrong_are_refused_with_the_field_and_change_nothing(service: Service) -> None:
    version = version_of(service)
    rules = {"version": version, "pin": [{"aid": 1030, "position": 1}, {"aid": 1040, "position": 1}]}
    response = admin(service, "PUT", "", rules)
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["pin[1].position"]
    assert admin(service, "GET", "").json() == {"version": version, "block": [], "pin": [], "boost": []}
