"""The HTTP application, made by a call: nothing is loaded or bound at import."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version as installed_version
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from nextcart.config import ServingConfig
from nextcart.serving.access import with_cors
from nextcart.serving.docs_page import add_docs_page
from nextcart.serving.lane import Call, Lane, Route, headers_of
from nextcart.serving.logs import FailureLog
from nextcart.serving.openapi import openapi_document, operation
from nextcart.serving.problems import install_handlers
from nextcart.serving.routes.table import route_table
from nextcart.serving.services import Services
from nextcart.serving.upkeep import Upkeep

_DESCRIPTION = """Recommendations for shops from anonymous sessions alone.

Ids are int64 or strings, as the shop's events have them. Unknown items and empty sessions are answered, and `fallback`
says what happened. Errors are problem documents (RFC 9457) that name the field.
"""


class Api(FastAPI):
    """FastAPI with the project's OpenAPI document, and the lane before it.

    Attributes:
        entry: where ASGI comes in.
        lane: what a server may ask without ASGI; None where each request has a span or headers that ASGI gives it.
    """

    def __init__(self, config: ServingConfig, **settings: Any) -> None:
        super().__init__(**settings)
        self._config = config
        self.entry: Callable[[Scope, Receive, Send], Awaitable[None]] = super().__call__
        self.lane: Lane | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        await self.entry(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = openapi_document(
                self.routes, self._config, title=self.title, version=self.version, description=self.description
            )
        return self.openapi_schema


def create_app(services: Services) -> Api:
    """An application on services, whose model begins to load when the application starts.

    Args:
        services: what answers; closed when the application ends.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        services.live.start()
        upkeep = asyncio.create_task(Upkeep(services).run())
        try:
            yield
        finally:
            upkeep.cancel()
            with suppress(asyncio.CancelledError):
                await upkeep
            await services.close()

    app = Api(
        services.settings.serving,
        title="nextcart",
        version=installed_version("nextcart"),
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        # It would put the texts of exceptions into spans; `traces` has its own.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    table = route_table(services)
    observers = (services.metrics.answered, services.traces.answered, FailureLog())
    lane = Lane(table, app.entry, services.access, services.traces, observers)
    for route in table:
        _add(app, route, lane)
    add_docs_page(app)
    install_handlers(app)
    app.entry = with_cors(lane, services.settings.access)
    if app.entry is lane and not services.traces.on:
        app.lane = lane
    return app


def _add(app: FastAPI, route: Route, lane: Lane) -> None:
    """Make a route of the lane one of FastAPI's too."""

    async def endpoint(request: Request) -> Response:
        call = Call.of(request.scope, request.receive, next(iter(request.path_params.values()), ""))
        given = await lane.answer(route, call)
        response = Response(given.body, given.status)
        response.raw_headers = [each for each in headers_of(given, call) if each[0] != b"x-request-id"]
        return response

    # A SKU may hold a slash, hence ":path".
    app.add_api_route(route.path.replace("}", ":path}"), endpoint, **operation(route))
