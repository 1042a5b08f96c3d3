"""What nextcart's server is compared with, under the same uvicorn settings and protocol; a program of its own.

    python benchmarks/serving_beside.py hello|plain PORT [MODELS]

``hello`` is a bare ASGI application: the least that this server can do. ``plain`` is the handler as the FastAPI
tutorial has it: pydantic models in and out, the same recommender, the same answers.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from time import perf_counter
from typing import Any, Literal
from uuid import uuid4

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from nextcart.config.serving import AccessConfig, ServingConfig
from nextcart.models.recommender import FALLBACKS, Recommender
from nextcart.repository.repository import Repository
from nextcart.serving.access import SECURITY_HEADERS
from nextcart.serving.processes.protocol import GuardedProtocol, most_connections
from nextcart.serving.processes.running import SWITCH_SECONDS
from nextcart.types import TYPE_NAMES, SessionBatch


class Event(BaseModel):
    """What a visitor did with an item."""

    aid: int | str
    ts: int
    type: Literal["clicks", "carts", "orders"]


class Request(BaseModel):
    """A session so far."""

    events: list[Event]
    session_id: int | str | None = None
    limit: int = 20


class Item(BaseModel):
    """An item of an answer."""

    aid: int | str
    score: float


class Response(BaseModel):
    """The recommendations for one session."""

    request_id: str
    session_id: int | str | None
    model_version: str
    recommendations: list[Item]
    fallback: str | None
    took_ms: float


async def hello(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer every request with two words."""
    del receive
    if scope["type"] == "http":
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"11")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello world"})


def plain(models: Path) -> Any:
    """FastAPI with pydantic models over the version in production."""
    repository = Repository(models)
    name = repository.resolve()
    recommender = Recommender.load(repository.folder(name, verify=False))
    recommender.warm()
    app = FastAPI()

    @app.post("/v1/recommend")
    async def recommend(request: Request) -> Response:
        started = perf_counter()
        events = sorted(request.events, key=lambda event: event.ts)
        sessions = SessionBatch(
            np.array([0, len(events)], np.int64),
            recommender.vocabulary.rows([event.aid for event in events]),
            np.array([event.ts for event in events], np.int64),
            np.array([TYPE_NAMES.index(event.type) for event in events], np.uint8),
        )
        answer = recommender.recommend(sessions, request.limit)
        rows, scores = answer.ranked.items[0], answer.ranked.scores[0].tolist()
        items = [
            Item(aid=aid, score=score) for aid, score in zip(recommender.vocabulary.ids(rows), scores, strict=True)
        ]
        return Response(
            request_id=uuid4().hex,
            session_id=request.session_id,
            model_version=name,
            recommendations=items,
            fallback=FALLBACKS[int(answer.fallback[0])],
            took_ms=(perf_counter() - started) * 1000,
        )

    return app


def main() -> None:
    """Serve until told to stop."""
    kind, port = sys.argv[1], int(sys.argv[2])
    app = hello if kind == "hello" else plain(Path(sys.argv[3]))
    config, access = ServingConfig(), AccessConfig()
    protocol = functools.partial(
        GuardedProtocol,
        header_seconds=access.header_seconds,
        body_seconds=access.body_seconds,
        max_connections=most_connections(),
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    uvicorn.run(
        app,  # type: ignore[arg-type]
        port=port,
        loop="uvloop",
        http=protocol,  # type: ignore[arg-type]
        ws="none",
        timeout_keep_alive=config.keep_alive_seconds,
        access_log=False,
        server_header=False,
        headers=list(SECURITY_HEADERS),
        proxy_headers=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
