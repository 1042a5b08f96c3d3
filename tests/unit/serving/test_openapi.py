from __future__ import annotations

import msgspec
import pytest

from nextcart.events.rejects import SECONDS_TO
from nextcart.serving.openapi import EXAMPLES
from nextcart.serving.schemas import RecommendRequest
from tests.unit.serving.fakes import CONFIG, Client

OPERATIONS = {
    *("recommend", "recommend_batch", "recommend_plain", "top_sellers", "bought_together", "basket_bought_together"),
    *("similar", "post_events", "erase_session", "rules", "replace_rules", "block", "unblock", "reload"),
    *("metrics", "model", "live", "ready"),
}
"""By which generated clients call what they can do."""
ROUTES = {
    "/v1/recommend": "post",
    "/v1/recommend/batch": "post",
    "/recommend": "post",
    "/v1/top-sellers": "get",
    "/v1/items/{aid}/bought-together": "get",
    "/v1/items/{aid}/similar": "get",
    "/v1/bought-together": "post",
    "/v1/events": "post",
    "/v1/sessions/{session_id}": "delete",
    "/v1/admin/rules": ("get", "put"),
    "/v1/admin/rules/block": "post",
    "/v1/admin/rules/unblock": "post",
    "/v1/admin/reload": "post",
    "/metrics": "get",
    "/v1/model": "get",
    "/health/live": "get",
    "/health/ready": "get",
}


def references(node: object) -> set[str]:
    """All ``$ref`` below a node."""
    if isinstance(node, dict):
        own = {node["$ref"]} if "$ref" in node else set()
        return own.union(*map(references, node.values()))
    if isinstance(node, list):
        return set().union(*map(references, node))
    return set()


@pytest.fixture
def document(client: Client) -> dict:
    response = client.get("/openapi.json")
    assert response.status_code == 200
    return response.json()


def test_the_page_has_every_route_and_no_other(document: dict) -> None:
    expected = {path: (methods,) if isinstance(methods, str) else methods for path, methods in ROUTES.items()}
    assert {path: tuple(sorted(methods)) for path, methods in document["paths"].items()} == expected


def test_every_route_has_a_name_of_its_own(document: dict) -> None:
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert sorted(operation["operationId"] for operation in operations) == sorted(OPERATIONS)


def test_every_reference_leads_somewhere_and_every_route_says_what_it_does(document: dict) -> None:
    schemas = document["components"]["schemas"]
    assert {reference.rsplit("/", 1)[-1] for reference in references(document)} == set(schemas)
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["description"]
            assert operation["tags"]
            assert {"200", "202"} & operation["responses"].keys()


@pytest.mark.parametrize(
    ("path", "asked", "answered"),
    [
        ("/v1/recommend", "RecommendRequest", "RecommendResponse"),
        ("/v1/recommend/batch", "BatchRequest", "BatchResponse"),
        ("/recommend", "RecommendRequest", "PlainResponse"),
        ("/v1/bought-together", "BasketRequest", "ItemsResponse"),
    ],
)
def test_the_routes_that_msgspec_reads_have_their_bodies(document: dict, path: str, asked: str, answered: str) -> None:
    operation = document["paths"][path]["post"]
    body = operation["requestBody"]["content"]["application/json"]
    answer = operation["responses"]["200"]["content"]["application/json"]
    assert body["schema"]["$ref"].endswith(f"/{asked}")
    assert answer["schema"]["$ref"].endswith(f"/{answered}")
    assert body["example"]
    assert answer["example"]
    for status in ("400", "413", "422", "503"):
        assert "application/problem+json" in operation["responses"][status]["content"]


def test_the_page_states_the_fields_and_their_limits(document: dict) -> None:
    properties = document["components"]["schemas"]["RecommendRequest"]["properties"]
    assert set(properties) == set(RecommendRequest.__struct_fields__)
    assert document["components"]["schemas"]["RecommendRequest"]["required"] == []
    assert properties["limit"]["maximum"] == CONFIG.max_limit
    assert properties["limit"]["default"] == 20
    assert properties["events"]["maxItems"] == CONFIG.max_events
    assert document["components"]["schemas"]["BatchRequest"]["properties"]["requests"]["maxItems"] == CONFIG.max_batch
    event = document["components"]["schemas"]["Event"]
    assert list(event["properties"]) == ["aid", "ts", "type"]
    assert event["properties"]["type"]["enum"] == ["carts", "clicks", "orders"]
    assert event["properties"]["ts"]["minimum"] == SECONDS_TO + 1
    assert "milliseconds" in event["properties"]["ts"]["description"]


def test_parameters_are_documented_with_their_limits(document: dict) -> None:
    parameters = document["paths"]["/v1/items/{aid}/similar"]["get"]["parameters"]
    assert {parameter["name"] for parameter in parameters} == {"aid", "limit", "exclude", "model"}
    limit = next(parameter for parameter in parameters if parameter["name"] == "limit")
    assert limit["schema"]["minimum"] == 1
    assert limit["schema"]["maximum"] == CONFIG.max_limit
    assert all(parameter["description"] for parameter in parameters)


@pytest.mark.parametrize("struct", EXAMPLES)
def test_examples_are_what_they_claim(struct: type) -> None:
    example = msgspec.convert(EXAMPLES[struct], struct)
    assert msgspec.to_builtins(example).keys() >= EXAMPLES[struct].keys() - {"session_id"}


def test_the_docs_page_is_served(client: Client) -> None:
    response = client.get("/docs")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in response.text
