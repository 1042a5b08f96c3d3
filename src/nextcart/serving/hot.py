"""The hot routes: recommend for one session, for many, and as plain ids.

Bodies are decoded and encoded by msgspec, and `HotLane` takes the requests past the router and the validation of
parameters, which would cost more than the scoring. The same handlers are routes as well: for the OpenAPI page, for 405,
and for an application that is mounted under a path.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from secrets import token_hex
from time import perf_counter

import msgspec
from fastapi import Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from nextcart.config import ServingConfig
from nextcart.serving.bodies import count_errors, decode, limit_errors, model_errors, read_body
from nextcart.serving.live import LiveModel, LiveVersion
from nextcart.serving.problems import Problem, invalid
from nextcart.serving.schemas import (
    BatchRequest,
    BatchResponse,
    FieldError,
    PlainResponse,
    RecommendRequest,
    RecommendResponse,
)
from nextcart.serving.scoring import Scored, score

Handler = Callable[[Request], Awaitable[Response]]

JSON = "application/json"


class HotRoutes:
    """The handlers of the hot routes.

    Args:
        live: the version that answers.
        config: the limits.
    """

    def __init__(self, live: LiveModel, config: ServingConfig) -> None:
        self._live = live
        self._config = config
        self._encoder = msgspec.json.Encoder()
        self._one = msgspec.json.Decoder(RecommendRequest)
        self._many = msgspec.json.Decoder(BatchRequest)

    async def recommend(self, request: Request) -> Response:
        """What the session will click, put into the cart or order next.

        A session without events, or with unknown items alone, is answered with top sellers, and `fallback` says so. A
        list that the models cannot fill is filled with top sellers.
        """
        started = perf_counter()
        version, asked, scored = await self._answer(request)
        answer = RecommendResponse(
            token_hex(16),
            asked.session_id,
            version.name,
            scored.recommendations(explain=asked.explain),
            scored.fallback,
            milliseconds_since(started),
        )
        return Response(self._encoder.encode(answer), media_type=JSON)

    async def recommend_plain(self, request: Request) -> Response:
        """The same as `POST /v1/recommend`, with the recommendations as ids alone."""
        started = perf_counter()
        version, asked, scored = await self._answer(request)
        answer = PlainResponse(
            token_hex(16), asked.session_id, version.name, scored.aids, scored.fallback, milliseconds_since(started)
        )
        return Response(self._encoder.encode(answer), media_type=JSON)

    async def recommend_batch(self, request: Request) -> Response:
        """Answers for many sessions, in the order of the requests; each is what `POST /v1/recommend` gives alone."""
        started = perf_counter()
        version = self._live.current
        asked = decode(await read_body(request, self._config.max_body_bytes), self._many).requests
        errors = count_errors("requests", len(asked), self._config.max_batch)
        for place, one in enumerate(asked):
            errors += self._errors(one, version, f"requests[{place}].")
        if errors:
            raise invalid(*errors)
        answers = score(version.recommender, asked)
        request_id, took = token_hex(16), milliseconds_since(started)
        responses = [
            RecommendResponse(
                f"{request_id}-{place}",
                one.session_id,
                version.name,
                scored.recommendations(explain=one.explain),
                scored.fallback,
                took,
            )
            for place, (one, scored) in enumerate(zip(asked, answers, strict=True))
        ]
        return Response(self._encoder.encode(BatchResponse(responses)), media_type=JSON)

    async def _answer(self, request: Request) -> tuple[LiveVersion, RecommendRequest, Scored]:
        version = self._live.current
        asked = decode(await read_body(request, self._config.max_body_bytes), self._one)
        if errors := self._errors(asked, version):
            raise invalid(*errors)
        return version, asked, score(version.recommender, [asked])[0]

    def _errors(self, asked: RecommendRequest, version: LiveVersion, prefix: str = "") -> list[FieldError]:
        config = self._config
        return [
            *limit_errors(asked.limit, config, prefix),
            *count_errors(f"{prefix}events", len(asked.events), config.max_events),
            *count_errors(f"{prefix}exclude", len(asked.exclude), config.max_listed_items),
            *count_errors(f"{prefix}allow", len(asked.allow or ()), config.max_listed_items),
            *model_errors(asked.model, version.recommender.models, prefix),
        ]


class HotLane:
    """Hands POST requests for the hot paths straight to their handlers, and all else to the application."""

    def __init__(self, app: ASGIApp, handlers: Mapping[str, Handler]) -> None:
        self._app = app
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        handler = None
        if scope["type"] == "http" and scope["method"] == "POST":
            handler = self._handlers.get(scope["path"])
        if handler is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await handler(Request(scope, receive))
        except Problem as problem:
            response = problem.response(scope["path"])
        await response(scope, receive, send)


def milliseconds_since(started: float) -> float:
    """Wall time since `started`, a reading of ``perf_counter``, to the microsecond."""
    return round((perf_counter() - started) * 1000, 3)
