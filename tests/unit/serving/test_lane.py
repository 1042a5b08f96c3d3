from __future__ import annotations

import pytest

from tests.unit.serving.fakes import Client, Shop, clicks


def test_the_client_s_request_id_comes_back_in_header_and_body(client: Client) -> None:
    response = client.request("POST", "/v1/recommend", json={}, headers={"x-request-id": "shop-1:a.b"})
    assert response.headers["x-request-id"] == response.json()["request_id"] == "shop-1:a.b"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "ü".encode().decode("latin-1"), 'a"b'])
def test_a_strange_request_id_is_replaced(client: Client, given: str) -> None:
    response = client.request("POST", "/v1/recommend", json={}, headers={b"x-request-id": given.encode("latin-1")})
    assert len(response.headers["x-request-id"]) == 32


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/docs", 200), ("/health/live", 200)])
def test_every_answer_has_one_request_id(client: Client, path: str, status: int) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert len(response.headers.get_list("x-request-id")) == 1


def test_a_bug_is_a_500_that_tells_nothing_and_is_logged_with_the_request_id(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*given: object) -> None:
        raise RuntimeError("visitor 12's secret")

    monkeypatch.setattr("nextcart.serving.rounds.score", broken)
    response = shop.client.post("/v1/recommend", {"events": clicks(100)})
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/problem+json"
    assert "secret" not in response.text
    assert response.headers["x-request-id"] in caplog.text


def test_a_path_that_is_no_route_is_counted_as_other(client: Client) -> None:
    client.get("/v1/items/5/unknown")
    client.get("/nothing")
    text = client.get("/metrics").text
    assert 'nextcart_http_requests_total{route="other",status="404"} 2.0' in text
    assert "nothing" not in text


def test_an_item_s_id_may_hold_slashes_and_is_no_label(client: Client) -> None:
    assert client.get("/v1/items/a/b/similar").status_code == 422
    text = client.get("/metrics").text
    assert 'route="/v1/items/{aid}/similar",status="422"' in text


@pytest.mark.parametrize("path", ["/health/live", "/v1/top-sellers", "/v1/items/101/similar"])
def test_head_is_answered_as_get_is(client: Client, path: str) -> None:
    head, get = client.request("HEAD", path), client.get(path)
    assert (head.status_code, head.headers["content-length"]) == (get.status_code, get.headers["content-length"])
