"""Whether the process lives, whether it can answer, which version answers, and the metrics."""

from __future__ import annotations

from nextcart.serving.lane import Answer, Call, answer
from nextcart.serving.schemas import HealthResponse, Refused
from nextcart.serving.services import Services


class HealthRoutes:
    """The handlers that tell of the server itself."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def live(self, call: Call) -> Answer:
        """200 as long as the process answers at all; says nothing of the model."""
        del call
        return answer(HealthResponse("live"))

    async def ready(self, call: Call) -> Answer:
        """200 once a version is loaded and warm; before, and where loading failed, 503 with the reason.

        `refused` names what was promoted, or set as rules, but would not go live: what was there before goes on.
        """
        del call
        return answer(health_of(self._services))

    async def model(self, call: Call) -> Answer:
        """The manifest of the version that answers."""
        del call
        # pydantic writes a metric that is NaN as null; NaN is no JSON.
        return Answer(self._services.live.current.manifest.model_dump_json().encode())

    async def metrics(self, call: Call) -> Answer:
        """The metrics of all workers, in Prometheus's text form."""
        accept = call.headers.get(b"accept", b"").decode("latin-1")
        body, media_type = self._services.metrics.render(accept)
        return Answer(body, media_type=media_type.encode())


def health_of(services: Services) -> HealthResponse:
    """Which versions answer, and what would not go live.

    Raises:
        Problem: 503, no version answers.
    """
    live = services.live
    current, candidate = live.current, live.candidate
    refused = [Refused(each.version, each.reason) for each in (live.refused,) if each]
    refused += [Refused("rules", reason) for reason in (services.rules.refused,) if reason]
    return HealthResponse("ready", current.name, candidate.name if candidate else None, refused)
