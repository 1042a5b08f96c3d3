from __future__ import annotations

import pytest

from nextcart.serving.schemas import RecommendRequest
from tests.unit.serving.fakes import N_ITEMS, VERSION, Client, Shop, clicks, make_shop


def aids(answer: dict) -> list:
    return [item["aid"] for item in answer["recommendations"]]


def without_time(answer: dict) -> dict:
    return {key: value for key, value in answer.items() if key not in ("request_id", "took_ms")}


def test_answer_has_the_shape_of_the_contract(client: Client) -> None:
    response = client.post("/v1/recommend", {"session_id": "s-1", "events": clicks(100, 103), "limit": 3})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert list(answer) == ["request_id", "session_id", "model_version", "recommendations", "fallback", "took_ms"]
    assert without_time(answer) == {
        "session_id": "s-1",
        "model_version": VERSION,
        "recommendations": [{"aid": 104, "score": 50.0}, {"aid": 105, "score": 49.0}, {"aid": 106, "score": 48.0}],
        "fallback": None,
    }
    assert len(answer["request_id"]) == 32
    assert answer["took_ms"] > 0


def test_defaults_are_those_of_the_contract(shop: Shop) -> None:
    answer = shop.client.post("/v1/recommend", {"events": clicks(100)}).json()
    assert answer["session_id"] is None
    assert shop.recommender.calls == [(1, 20, None, "clicks", "next", True)]


def test_every_answer_has_its_own_request_id(client: Client) -> None:
    ids = {client.post("/v1/recommend", {"events": []}).json()["request_id"] for _ in range(20)}
    assert len(ids) == 20


def test_next_may_return_what_the_session_holds_and_discover_never_does(client: Client) -> None:
    body = {"events": clicks(100, 101, 110), "limit": N_ITEMS}
    assert aids(client.post("/v1/recommend", {**body, "mode": "next"}).json())[:3] == [111, 100, 101]
    discovered = aids(client.post("/v1/recommend", {**body, "mode": "discover"}).json())
    assert discovered[:2] == [111, 102]
    assert not {100, 101, 110} & set(discovered)


def test_events_are_put_in_time_order(client: Client) -> None:
    events = clicks(100, 105)
    events.reverse()
    assert aids(client.post("/v1/recommend", {"events": events, "limit": 1}).json()) == [106]


@pytest.mark.parametrize(
    ("events", "fallback"),
    [([], "empty_session"), (clicks(7), "unknown_items"), (clicks("sku/1"), "unknown_items"), (clicks(7, 103), None)],
)
def test_empty_sessions_and_unknown_items_are_answered_and_said(
    client: Client, events: list, fallback: str | None
) -> None:
    response = client.post("/v1/recommend", {"events": events, "limit": 2})
    assert response.status_code == 200
    assert response.json()["fallback"] == fallback
    assert len(response.json()["recommendations"]) == 2


def test_ids_past_int64_are_unknown_items(client: Client) -> None:
    assert client.post("/v1/recommend", {"events": clicks(2**70)}).json()["fallback"] == "unknown_items"


def test_exclude_and_allow_restrict_the_list(client: Client) -> None:
    body = {"events": clicks(100), "limit": N_ITEMS}
    assert aids(client.post("/v1/recommend", {**body, "exclude": [101, 7, "x"]}).json())[0] == 102
    assert aids(client.post("/v1/recommend", {**body, "allow": [105, 103, 7]}).json()) == [103, 105]
    assert aids(client.post("/v1/recommend", {**body, "allow": [105, 103], "exclude": [103]}).json()) == [105]


@pytest.mark.parametrize("allow", [[], [7]])
def test_an_allow_list_without_known_items_allows_nothing(client: Client, allow: list) -> None:
    assert aids(client.post("/v1/recommend", {"events": clicks(100), "allow": allow}).json()) == []


def test_sources_come_only_with_explain(client: Client) -> None:
    body = {"events": clicks(100), "limit": 1}
    explained = client.post("/v1/recommend", {**body, "explain": True}).json()["recommendations"]
    because = clicks(100)[0]
    assert explained == [{"aid": 101, "score": 50.0, "sources": ["covisitation", "item2vec"], "because": because}]
    assert "sources" not in client.post("/v1/recommend", body).json()["recommendations"][0]


def test_model_objective_and_limit_reach_the_models(shop: Shop) -> None:
    body = {"events": clicks(100), "model": "item2vec", "objective": "orders", "limit": 50, "mode": "discover"}
    shop.client.post("/v1/recommend", body)
    assert shop.recommender.calls == [(1, 50, "item2vec", "orders", "discover", True)]


@pytest.mark.parametrize("session_id", [0, -(2**63), 2**63 - 1, "a", "ü" * 128, None])
def test_session_id_comes_back_as_it_came(client: Client, session_id: int | str | None) -> None:
    body = {"session_id": session_id, "events": []}
    assert client.post("/v1/recommend", body).json()["session_id"] == session_id


def test_string_ids_are_given_back_as_strings() -> None:
    client = make_shop("string").client
    answer = client.post("/v1/recommend", {"events": clicks("sku/3", 104), "limit": 2, "exclude": ["sku/4"]}).json()
    assert aids(answer) == ["sku/5", "sku/6"]
    assert client.post("/v1/recommend", {"events": clicks(103)}).json()["fallback"] == "unknown_items"


def test_plain_route_gives_the_same_items_as_ids(client: Client) -> None:
    body = {"session_id": 5, "events": clicks(100, 103), "limit": 4, "explain": True}
    full = client.post("/v1/recommend", body).json()
    plain = client.post("/recommend", body).json()
    assert plain["recommendations"] == aids(full)
    assert {**without_time(plain), "recommendations": 0} == {**without_time(full), "recommendations": 0}


REQUESTS = [
    {"session_id": 1, "events": clicks(100, 103), "limit": 5},
    {"session_id": "two", "events": clicks(109), "limit": 5, "exclude": [110], "explain": True},
    {"events": [], "limit": 2},
    {"events": clicks(101), "limit": 5, "allow": [104, 103]},
]


def test_a_batch_answers_each_request_as_alone_and_in_order(client: Client) -> None:
    batch = client.post("/v1/recommend/batch", {"requests": REQUESTS})
    assert batch.status_code == 200
    answers = batch.json()["responses"]
    singles = [client.post("/v1/recommend", request).json() for request in REQUESTS]
    assert [without_time(answer) for answer in answers] == [without_time(answer) for answer in singles]
    assert len({answer["request_id"] for answer in answers}) == len(REQUESTS)


def test_requests_that_ask_for_the_same_share_a_kernel_call(shop: Shop) -> None:
    shop.client.post("/v1/recommend/batch", {"requests": REQUESTS})
    assert [call[:2] for call in shop.recommender.calls] == [(2, 5), (1, 2), (1, 5)]


def test_an_empty_batch_has_an_empty_answer(client: Client) -> None:
    assert client.post("/v1/recommend/batch", {"requests": []}).json() == {"responses": []}


def test_the_content_type_of_a_request_does_not_matter(client: Client) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    response = client.request("POST", "/v1/recommend", content=b'{"events":[]}', headers=headers)
    assert response.status_code == 200


def test_mounted_under_a_path_it_answers_through_the_routes(shop: Shop) -> None:
    """The routes that the OpenAPI page shows answer as the lane does."""
    from fastapi import FastAPI

    outer = FastAPI()
    outer.mount("/shop", shop.client.app)
    answer = Client(outer).post("/shop/v1/recommend", {"events": clicks(100), "limit": 1}).json()
    assert aids(answer) == [101]
    assert Client(outer).post("/shop/v1/recommend", {"event": []}).status_code == 422


def test_the_defaults_of_the_struct_are_never_shared() -> None:
    first, second = RecommendRequest(events=[]), RecommendRequest(events=[])
    assert first.exclude is not second.exclude


@pytest.mark.parametrize(("models", "status"), [(("top_sellers", "hybrid"), 422), (("item2vec", "hybrid"), 200)])
def test_variety_needs_a_model_that_tells_what_is_near(models: tuple[str, ...], status: int) -> None:
    client = make_shop(models=models).client
    response = client.post("/v1/recommend", {"events": clicks(100), "max_per_neighbourhood": 2})
    assert response.status_code == status
    if status == 422:
        assert response.json()["errors"][0]["field"] == "max_per_neighbourhood"
    batch = client.post("/v1/recommend/batch", {"requests": [{"max_per_neighbourhood": 2}]})
    assert batch.status_code == status
