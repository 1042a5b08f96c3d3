"""The OpenAPI page: FastAPI's own, with the bodies that msgspec reads and writes and the limits that are configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from nextcart.config import ServingConfig
from nextcart.serving.problems import MEDIA_TYPE
from nextcart.serving.schemas import (
    BasketRequest,
    BatchRequest,
    BatchResponse,
    HealthResponse,
    ItemsResponse,
    PlainResponse,
    ProblemDocument,
    RecommendRequest,
    RecommendResponse,
)

_STRUCTS = (
    RecommendRequest,
    BatchRequest,
    BasketRequest,
    RecommendResponse,
    BatchResponse,
    PlainResponse,
    ItemsResponse,
    HealthResponse,
    ProblemDocument,
)

_SESSION = {
    "session_id": "b7d1",
    "events": [
        {"aid": 59625, "ts": 1661724000278, "type": "clicks"},
        {"aid": 1142000, "ts": 1661724058352, "type": "carts"},
    ],
    "limit": 2,
}
_LISTED = {"model_version": "20261124T021500Z-3fa9c1d2", "fallback": None}
_ANSWER = {
    "request_id": "5f0c7b1e9a3d4c6280f1e2d3c4b5a697",
    "session_id": "b7d1",
    **_LISTED,
    "recommendations": [{"aid": 736515, "score": 0.4125}, {"aid": 973453, "score": 0.2625}],
    "took_ms": 0.081,
}

EXAMPLES: Mapping[type, Any] = {
    RecommendRequest: _SESSION,
    BatchRequest: {"requests": [_SESSION, {"events": [], "limit": 2, "objective": "orders"}]},
    BasketRequest: {"items": [59625, 1142000], "limit": 2, "exclude": [736515]},
    RecommendResponse: _ANSWER,
    BatchResponse: {"responses": [_ANSWER]},
    PlainResponse: {**_ANSWER, "recommendations": [736515, 973453]},
    ItemsResponse: {**_LISTED, "recommendations": [{"aid": 736515, "score": 0.31}, {"aid": 973453, "score": 0.12}]},
    HealthResponse: {"status": "ready", "model_version": _LISTED["model_version"]},
    ProblemDocument: {
        "type": "urn:nextcart:problem:invalid-request",
        "title": "The request is not valid",
        "status": 422,
        "detail": "events[3].ts: expected int, got str",
        "instance": "/v1/recommend",
        "errors": [{"field": "events[3].ts", "message": "expected int, got str"}],
    },
}
"""A body of each kind, as the page shows it; tested to be what it claims."""

_PROBLEMS = {
    400: "The body is not JSON.",
    413: "The body is too large.",
    422: "A field or parameter is wrong; `errors` names it.",
    404: "The version has no such model.",
    503: "No version is loaded and warm yet; `detail` says why.",
}


def _reference(struct: type) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{struct.__name__}"}, "example": EXAMPLES[struct]}


def request_body(struct: type) -> dict[str, Any]:
    """A route's ``openapi_extra`` for a body that msgspec decodes into `struct`."""
    return {"requestBody": {"required": True, "content": {"application/json": _reference(struct)}}}


def responses(answer: type | None, problems: Sequence[int]) -> dict[int | str, dict[str, Any]]:
    """A route's ``responses``: the struct of its answer (None: any JSON object), and the problems it may meet."""
    content = _reference(answer) if answer else {"schema": {"type": "object"}}
    found: dict[int | str, dict[str, Any]] = {
        200: {"description": "The answer.", "content": {"application/json": content}}
    }
    for status in problems:
        document = {"schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}}
        found[status] = {"description": _PROBLEMS[status], "content": {MEDIA_TYPE: document}}
    return found


def openapi_document(
    routes: Sequence[BaseRoute], config: ServingConfig, *, title: str, version: str, description: str
) -> dict[str, Any]:
    """The whole OpenAPI document of an application with these routes and limits."""
    document = get_openapi(title=title, version=version, description=description, routes=routes)
    _, schemas = msgspec.json.schema_components(_STRUCTS, ref_template="#/components/schemas/{name}")
    document.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    _state_limits(document, config)
    return document


def _state_limits(document: dict[str, Any], config: ServingConfig) -> None:
    """Write the configured limits into the page; the structs and parameters cannot know them."""
    schemas = document["components"]["schemas"]
    recommend, basket = schemas["RecommendRequest"]["properties"], schemas["BasketRequest"]["properties"]
    recommend["limit"]["maximum"] = basket["limit"]["maximum"] = config.max_limit
    recommend["events"]["maxItems"] = basket["items"]["maxItems"] = config.max_events
    schemas["BatchRequest"]["properties"]["requests"]["maxItems"] = config.max_batch
    for ids in (recommend["exclude"], basket["exclude"], recommend["allow"]):
        ids["maxItems"] = config.max_listed_items
    for methods in document["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "limit":
                    parameter["schema"].update(minimum=1, maximum=config.max_limit)
