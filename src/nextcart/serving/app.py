"""The HTTP application, made by a call: nothing is loaded or bound at import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version as installed_version
from typing import Any

from fastapi import FastAPI

from nextcart.config import ServingConfig
from nextcart.serving.docs_page import add_docs_page
from nextcart.serving.health import HealthRoutes
from nextcart.serving.hot import HotLane, HotRoutes
from nextcart.serving.items import ItemRoutes
from nextcart.serving.live import LiveModel
from nextcart.serving.openapi import openapi_document, request_body, responses
from nextcart.serving.problems import install_handlers
from nextcart.serving.schemas import (
    BasketRequest,
    BatchRequest,
    BatchResponse,
    HealthResponse,
    ItemsResponse,
    PlainResponse,
    RecommendRequest,
    RecommendResponse,
)

_DESCRIPTION = """Recommendations for shops from anonymous sessions alone.

Ids are int64 or strings, as the shop's events have them. Unknown items and empty sessions are answered, and `fallback`
says what happened. Errors are problem documents (RFC 9457) that name the field.
"""


class Api(FastAPI):
    """FastAPI with the project's OpenAPI document."""

    def __init__(self, config: ServingConfig, **settings: Any) -> None:
        super().__init__(**settings)
        self._config = config

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = openapi_document(
                self.routes, self._config, title=self.title, version=self.version, description=self.description
            )
        return self.openapi_schema


def create_app(live: LiveModel, config: ServingConfig) -> FastAPI:
    """An application that answers with `live`, which begins to load when the application starts.

    Args:
        live: the version that answers; 503 until there is one.
        config: the limits.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        live.start()
        yield

    app = Api(
        config,
        title="nextcart",
        version=installed_version("nextcart"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
    )
    _add_recommend(app, HotRoutes(live, config))
    _add_items(app, ItemRoutes(live, config))
    _add_health(app, HealthRoutes(live))
    add_docs_page(app)
    install_handlers(app)
    return app


def _add_recommend(app: FastAPI, hot: HotRoutes) -> None:
    table = (
        ("/v1/recommend", hot.recommend, RecommendRequest, RecommendResponse),
        ("/v1/recommend/batch", hot.recommend_batch, BatchRequest, BatchResponse),
        ("/recommend", hot.recommend_plain, RecommendRequest, PlainResponse),
    )
    for path, handler, asked, answer in table:
        app.add_api_route(
            path,
            handler,
            methods=["POST"],
            tags=["recommend"],
            openapi_extra=request_body(asked),
            responses=responses(answer, (400, 413, 422, 503)),
        )
    app.add_middleware(HotLane, handlers={path: handler for path, handler, _, _ in table})


def _add_items(app: FastAPI, items: ItemRoutes) -> None:
    # A SKU may hold a slash, hence ":path".
    for path, handler, problems in (
        ("/v1/top-sellers", items.top_sellers, (422, 503)),
        ("/v1/items/{aid:path}/bought-together", items.bought_together, (404, 422, 503)),
        ("/v1/items/{aid:path}/similar", items.similar, (422, 503)),
    ):
        app.add_api_route(path, handler, methods=["GET"], tags=["items"], responses=responses(ItemsResponse, problems))
    app.add_api_route(
        "/v1/bought-together",
        items.basket_bought_together,
        methods=["POST"],
        tags=["items"],
        openapi_extra=request_body(BasketRequest),
        responses=responses(ItemsResponse, (400, 404, 413, 422, 503)),
    )


def _add_health(app: FastAPI, health: HealthRoutes) -> None:
    for path, handler, answer, problems in (
        ("/health/live", health.is_live, HealthResponse, ()),
        ("/health/ready", health.is_ready, HealthResponse, (503,)),
        ("/v1/model", health.model, None, (503,)),
    ):
        app.add_api_route(path, handler, methods=["GET"], tags=["health"], responses=responses(answer, problems))
