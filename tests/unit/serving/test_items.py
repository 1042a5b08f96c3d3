from __future__ import annotations

import pytest

from tests.unit.serving.fakes import N_ITEMS, VERSION, Client, Shop, make_shop


def aids(answer: dict) -> list:
    return [item["aid"] for item in answer["recommendations"]]


def test_top_sellers(client: Client) -> None:
    response = client.get("/v1/top-sellers", limit=2, exclude=[100, 7])
    assert response.status_code == 200
    assert response.json() == {
        "model_version": VERSION,
        "recommendations": [{"aid": 101, "score": 1000.0}, {"aid": 102, "score": 999.0}],
        "fallback": None,
    }


@pytest.mark.parametrize("objective", ["clicks", "carts", "orders", None])
def test_top_sellers_of_an_objective(shop: Shop, objective: str | None) -> None:
    shop.client.get("/v1/top-sellers", **({"objective": objective} if objective else {}))
    assert shop.recommender.calls == [("top_sellers", objective)]


def test_bought_together_with_an_item(client: Client) -> None:
    answer = client.get("/v1/items/101/bought-together", limit=3, exclude=100).json()
    assert answer["recommendations"] == [{"aid": aid, "score": 105.0 - aid} for aid in (102, 103, 104)]
    assert answer["fallback"] is None


def test_bought_together_with_a_basket(client: Client) -> None:
    answer = client.post("/v1/bought-together", {"items": [101, 102, 7], "limit": 2, "exclude": [100]}).json()
    assert aids(answer) == [103, 104]
    assert answer["fallback"] is None


@pytest.mark.parametrize(("model", "default"), [("item2vec", True), ("item2vec", False), ("covisitation", False)])
def test_similar_items_by_either_model(shop: Shop, model: str, default: bool) -> None:
    answer = shop.client.get("/v1/items/101/similar", limit=2, **({} if default else {"model": model})).json()
    assert answer["recommendations"] == [{"aid": 100, "score": 5.0}, {"aid": 102, "score": 4.0}]
    assert shop.recommender.calls == [("similar", 1, model)]


LAST = 100 + N_ITEMS - 1


@pytest.mark.parametrize(
    ("path", "fallback"),
    [
        ("/v1/items/7/bought-together", "unknown_items"),
        ("/v1/items/99999999999999999/similar", "unknown_items"),
        (f"/v1/items/{LAST}/bought-together", "no_candidates"),
        (f"/v1/items/{LAST}/similar", "no_candidates"),
    ],
)
def test_what_the_models_cannot_answer_is_answered_with_top_sellers(client: Client, path: str, fallback: str) -> None:
    response = client.get(path, limit=50, exclude=[101, 103])
    assert response.status_code == 200
    answer = response.json()
    assert answer["fallback"] == fallback
    asked = {LAST} if fallback == "no_candidates" else set()
    assert aids(answer) == [aid for aid in range(100, 100 + N_ITEMS) if aid not in {101, 103} | asked]


@pytest.mark.parametrize(
    ("items", "fallback"), [([], "empty_session"), ([7, "x"], "unknown_items"), ([LAST, 7], "no_candidates")]
)
def test_a_basket_that_has_no_complements_is_answered_with_top_sellers(
    client: Client, items: list, fallback: str
) -> None:
    answer = client.post("/v1/bought-together", {"items": items, "limit": 50, "exclude": [100]}).json()
    assert answer["fallback"] == fallback
    assert not {100, *items} & set(aids(answer))
    assert aids(answer)


def test_string_ids_may_hold_a_slash() -> None:
    shop = make_shop("string")
    answer = shop.client.get("/v1/items/sku%2F1/similar", limit=2, exclude=["sku/0"]).json()
    assert aids(answer) == ["sku/2", "sku/3"]
    assert aids(shop.client.get("/v1/items/sku%2F1/bought-together", limit=1).json()) == ["sku/0"]
    assert shop.client.get("/v1/items/100/similar").json()["fallback"] == "unknown_items"


def test_a_version_without_a_model_says_so() -> None:
    client = make_shop(models=("top_sellers", "covisitation")).client
    similar = client.get("/v1/items/101/similar")
    assert similar.status_code == 422
    assert similar.json()["errors"] == [
        {"field": "model", "message": "this version has no such model; it has top_sellers, covisitation"}
    ]
    for response in (client.get("/v1/items/101/bought-together"), client.post("/v1/bought-together", {"items": [1]})):
        assert response.status_code == 404
        assert response.json()["type"] == "urn:nextcart:problem:no-such-model"
        assert "train" in response.json()["detail"]
    assert client.get("/v1/items/101/similar", model="covisitation").status_code == 200
