"""The table of all routes."""

from __future__ import annotations

from nextcart.serving.erasing import Receipt
from nextcart.serving.lane import Route
from nextcart.serving.routes.admin import AdminRoutes
from nextcart.serving.routes.events import EventRoutes
from nextcart.serving.routes.health import HealthRoutes
from nextcart.serving.routes.items import ItemRoutes
from nextcart.serving.routes.recommend import RecommendRoutes
from nextcart.serving.rules import Rules
from nextcart.serving.schemas import (
    BasketRequest,
    BatchRequest,
    BatchResponse,
    BoughtTogetherQuery,
    EventsRequest,
    EventsResponse,
    HealthResponse,
    ItemsRequest,
    ItemsResponse,
    PlainResponse,
    RecommendRequest,
    RecommendResponse,
    SimilarQuery,
    TopSellersQuery,
)
from nextcart.serving.services import Services

READ_BODY = (400, 408, 413, 422, 503)
READ_QUERY = (422, 503)


def route_table(services: Services) -> list[Route]:
    """Every route of the service but its pages."""
    return [*_recommend(services), *_items(services), *_events(services), *_admin(services), *_health(services)]


def _recommend(services: Services) -> list[Route]:
    recommend = RecommendRoutes(services)
    rows = (
        ("/v1/recommend", recommend.recommend, RecommendRequest, RecommendResponse, recommend.recommend_quickly),
        ("/v1/recommend/batch", recommend.recommend_batch, BatchRequest, BatchResponse, None),
        ("/recommend", recommend.recommend_plain, RecommendRequest, PlainResponse, None),
    )
    return [
        Route("POST", path, handler, "read", "recommend", body=body, answers=answers, problems=READ_BODY, quick=quick)
        for path, handler, body, answers, quick in rows
    ]


def _items(services: Services) -> list[Route]:
    items = ItemRoutes(services)
    rows = (
        ("/v1/top-sellers", items.top_sellers, TopSellersQuery, READ_QUERY),
        ("/v1/items/{aid}/bought-together", items.bought_together, BoughtTogetherQuery, (404, *READ_QUERY)),
        ("/v1/items/{aid}/similar", items.similar, SimilarQuery, READ_QUERY),
    )
    basket = Route(
        "POST",
        "/v1/bought-together",
        items.basket_bought_together,
        "read",
        "items",
        body=BasketRequest,
        answers=ItemsResponse,
        problems=(404, *READ_BODY),
    )
    lists = [
        Route("GET", path, handler, "read", "items", query=query, answers=ItemsResponse, problems=problems)
        for path, handler, query, problems in rows
    ]
    return [*lists, basket]


def _events(services: Services) -> list[Route]:
    events, admin = EventRoutes(services), AdminRoutes(services)
    return [
        Route(
            "POST",
            "/v1/events",
            events.post_events,
            "events",
            "events",
            body=EventsRequest,
            answers=EventsResponse,
            status=202,
            problems=READ_BODY,
        ),
        Route(
            "DELETE",
            "/v1/sessions/{session_id}",
            admin.erase_session,
            "admin",
            "events",
            answers=Receipt,
            problems=(503,),
        ),
    ]


def _admin(services: Services) -> list[Route]:
    admin = AdminRoutes(services)
    rows = (
        ("GET", "/v1/admin/rules", admin.rules, None, Rules, ()),
        ("PUT", "/v1/admin/rules", admin.replace_rules, Rules, Rules, (*READ_BODY, 409)),
        ("POST", "/v1/admin/rules/block", admin.block, ItemsRequest, Rules, READ_BODY),
        ("POST", "/v1/admin/rules/unblock", admin.unblock, ItemsRequest, Rules, READ_BODY),
        ("POST", "/v1/admin/reload", admin.reload, None, HealthResponse, (503,)),
    )
    return [
        Route(method, path, handler, "admin", "admin", body=body, answers=answers, problems=problems)
        for method, path, handler, body, answers, problems in rows
    ]


def _health(services: Services) -> list[Route]:
    health = HealthRoutes(services)
    return [
        Route("GET", "/health/live", health.live, None, "health", answers=HealthResponse),
        Route("GET", "/health/ready", health.ready, None, "health", answers=HealthResponse, problems=(503,)),
        Route("GET", "/metrics", health.metrics, None, "health", texts=("text/plain", "application/openmetrics-text")),
        Route("GET", "/v1/model", health.model, "read", "health", problems=(503,)),
    ]
