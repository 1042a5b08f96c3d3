"""Whether the process lives, whether it can answer, and which version answers."""

from __future__ import annotations

import msgspec
from fastapi import Response

from nextcart.serving.live import LiveModel
from nextcart.serving.schemas import HealthResponse

JSON = "application/json"


class HealthRoutes:
    """The handlers that tell of the server itself.

    Args:
        live: the version that answers.
    """

    def __init__(self, live: LiveModel) -> None:
        self._live = live

    async def is_live(self) -> Response:
        """200 as long as the process answers at all; says nothing of the model."""
        return Response(msgspec.json.encode(HealthResponse("live")), media_type=JSON)

    async def is_ready(self) -> Response:
        """200 once a version is loaded and warm; before, and where loading failed, 503 with the reason."""
        answer = HealthResponse("ready", self._live.current.name)
        return Response(msgspec.json.encode(answer), media_type=JSON)

    async def model(self) -> Response:
        """The manifest of the version that answers."""
        # pydantic writes a metric that is NaN as null; NaN is no JSON.
        return Response(self._live.current.manifest.model_dump_json(), media_type=JSON)
