"""The OpenAPI page: FastAPI's own, with the bodies that msgspec reads and writes and the limits that are configured."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import Response
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from nextcart.config import ServingConfig
from nextcart.serving.erasing import Receipt
from nextcart.serving.lane import Route
from nextcart.serving.problems import MEDIA_TYPE
from nextcart.serving.rules import Rules
from nextcart.serving.schemas import (
    BasketRequest,
    BatchRequest,
    BatchResponse,
    EventsRequest,
    EventsResponse,
    HealthResponse,
    ItemsRequest,
    ItemsResponse,
    PlainResponse,
    ProblemDocument,
    RecommendRequest,
    RecommendResponse,
)

_SESSION = {
    "session_id": "b7d1",
    "events": [
        {"aid": 59625, "ts": 1661724000278, "type": "clicks"},
        {"aid": 1142000, "ts": 1661724058352, "type": "carts"},
    ],
    "limit": 2,
}
_EVENT = {"session_id": "b7d1", "aid": 59625, "ts": 1661724000278, "type": "clicks"}
_REJECTED = {"place": 1, "field": "ts", "message": "lies in the future (4102444800000); give Unix milliseconds, UTC"}
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
    EventsRequest: {"events": [_EVENT, {**_EVENT, "aid": 1142000, "type": "carts", "event_id": "0b9f3c"}]},
    EventsResponse: {"accepted": 1, "duplicates": 0, "rejected": [_REJECTED]},
    ItemsRequest: {"items": [736515]},
    Rules: {
        "version": 3,
        "block": [736515],
        "pin": [{"aid": 973453, "position": 1}],
        "boost": [{"aid": 59625, "factor": 2.0}],
    },
    Receipt: {
        "receipt_id": "23dc86977d2e52c5cc6426df504bb914",
        "asked_at": "2026-11-24T02:15:00+00:00",
        "sessions": 1,
        "found": {
            "session_store": 1,
            "event_log": {"segments": 1, "lines": 3},
            "exposures": {"segments": 1, "lines": 2},
            "event_store": None,
            "models": None,
        },
        "gone": {
            "session_store": "now",
            "event_log": "now",
            "event_store": "with the next 'nextcart erase --pending'",
            "models": "with the next training and promotion",
        },
    },
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
    401: "No key was given, or one that is not known.",
    403: "The key lacks the scope.",
    404: "The version has no such model.",
    409: "The rules have changed since that version of them.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    422: "A field or parameter is wrong; `errors` names it.",
    429: "Too many requests; `Retry-After` says when to come again.",
    503: "Not now; `detail` says why.",
}
_VALUES = {
    "aid": "An item id in the shop's own form.",
    "session_id": "A session id in the shop's own form.",
}
_KEY = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `NEXTCART_API_KEYS`; `X-API-Key` takes one as well.",
    }
}


def operation(route: Route) -> dict[str, Any]:
    """What FastAPI is told of a route, as keywords of ``add_api_route``."""
    extra: dict[str, Any] = {"parameters": [*_path_values(route), *_parameters(route)]}
    if route.body:
        extra["requestBody"] = {"required": True, "content": {"application/json": _reference(route.body)}}
    if route.needs:
        extra["security"] = [{"key": []}, *([{}] if route.needs == "read" else [])]
    return {
        "methods": [route.method],
        "tags": [route.tag],
        "status_code": route.status,
        # FastAPI's own class would add its media type to those of the answers.
        "response_class": Response,
        "openapi_extra": extra,
        "responses": _responses(route),
        "description": inspect.cleandoc(route.handler.__doc__ or ""),
        # What generated clients call their methods; ours has the same names.
        "operation_id": route.handler.__name__,
        "summary": route.handler.__name__.replace("_", " ").capitalize(),
    }


def _path_values(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "description": _VALUES[name], "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]


def _parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    fields = msgspec.json.schema(route.query)["$defs"][route.query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "description": schema.pop("description"), "schema": schema}
        for name, schema in fields.items()
    ]


def _reference(struct: type) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{struct.__name__}"}, "example": EXAMPLES[struct]}


def _responses(route: Route) -> dict[int | str, dict[str, Any]]:
    """A route's good answer, and the problems that it may meet."""
    json = _reference(route.answers) if route.answers else {"schema": {"type": "object"}}
    content = {text: {"schema": {"type": "string"}} for text in route.texts} or {"application/json": json}
    found: dict[int | str, dict[str, Any]] = {route.status: {"description": "The answer.", "content": content}}
    of_key = (401, 403, 429) if route.needs else ()
    for status in sorted({*route.problems, *of_key}):
        document = {"schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}}
        found[status] = {"description": _PROBLEMS[status], "content": {MEDIA_TYPE: document}}
    return found


def openapi_document(
    routes: Sequence[BaseRoute], config: ServingConfig, *, title: str, version: str, description: str
) -> dict[str, Any]:
    """The whole OpenAPI document of an application with these routes and limits."""
    document = get_openapi(title=title, version=version, description=description, routes=routes)
    _, schemas = msgspec.json.schema_components(EXAMPLES, ref_template="#/components/schemas/{name}")
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas)
    components["securitySchemes"] = _KEY
    _state_limits(document, config)
    return document


def _state_limits(document: dict[str, Any], config: ServingConfig) -> None:
    """Write the configured limits into the page; the structs and parameters cannot know them."""
    schemas = document["components"]["schemas"]
    recommend, basket = schemas["RecommendRequest"]["properties"], schemas["BasketRequest"]["properties"]
    recommend["limit"]["maximum"] = basket["limit"]["maximum"] = config.max_limit
    recommend["events"]["maxItems"] = basket["items"]["maxItems"] = config.max_events
    schemas["EventsRequest"]["properties"]["events"]["maxItems"] = config.max_events
    schemas["ItemsRequest"]["properties"]["items"]["maxItems"] = config.max_listed_items
    schemas["BatchRequest"]["properties"]["requests"]["maxItems"] = config.max_batch
    for ids in (recommend["exclude"], basket["exclude"], recommend["allow"]):
        ids["maxItems"] = config.max_listed_items
    for methods in document["paths"].values():
        for told in methods.values():
            for parameter in told.get("parameters", ()):
                if parameter["name"] == "limit":
                    parameter["schema"]["maximum"] = config.max_limit
