"""Traces for OpenTelemetry: a span a request, and within it one for scoring and one for the session store.

Off, which is how it is until ``logs.otlp_endpoint`` is set, nothing of OpenTelemetry is asked for. On, spans cost more
than the scoring: sample with OpenTelemetry's own ``OTEL_TRACES_SAMPLER``, such as ``parentbased_traceidratio``.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from nextcart.config import LogsConfig
from nextcart.errors import ConfigError
from nextcart.serving.metrics import Answered

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

_NOTHING = nullcontext()
_EXPORT_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_QUIET: dict[str, Any] = {"record_exception": False, "set_status_on_exception": False}
"""The text of an exception may hold what a visitor sent."""


class Traces:
    """No traces: every span is one shared object that does nothing.

    Attributes:
        on: whether there are any.
    """

    on: ClassVar[bool] = False

    def request(self, method: str, route: str, headers: Mapping[bytes, bytes]) -> AbstractContextManager[Any]:
        """The span of a request, a child of the client's where ``traceparent`` names one.

        Args:
            method: of HTTP.
            route: the route's template.
            headers: by lower-case name.
        """
        del method, route, headers
        return _NOTHING

    def span(self, name: str) -> AbstractContextManager[Any]:
        """A part of the request that is going on, such as "score" or "session store"."""
        del name
        return _NOTHING

    def answered(self, event: Answered) -> None:
        """The request of the span that is going on was answered; an `Observer`."""

    def close(self) -> None:
        """Send what waits."""


class OpenTelemetryTraces(Traces):
    """Traces that a processor of OpenTelemetry's SDK takes; nothing of it is global.

    Args:
        processor: takes spans that have ended.
    """

    on: ClassVar[bool] = True

    def __init__(self, processor: SpanProcessor) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = Resource({SERVICE_NAME: "nextcart"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=named, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("nextcart")
        self._propagator = TraceContextTextMapPropagator()
        self._current = trace.get_current_span
        self._server = trace.SpanKind.SERVER
        self._failed = trace.Status(trace.StatusCode.ERROR)

    def request(self, method: str, route: str, headers: Mapping[bytes, bytes]) -> AbstractContextManager[Any]:
        """See `Traces.request`."""
        carrier = {
            name: headers[name.encode()].decode("latin-1")
            for name in ("traceparent", "tracestate")
            if name.encode() in headers
        }
        return self._tracer.start_as_current_span(
            f"{method} {route}",
            self._propagator.extract(carrier),
            self._server,
            {"http.request.method": method, "http.route": route},
            **_QUIET,
        )

    def span(self, name: str) -> AbstractContextManager[Any]:
        """See `Traces.span`."""
        return self._tracer.start_as_current_span(name, **_QUIET)

    def answered(self, event: Answered) -> None:
        """See `Traces.answered`."""
        span = self._current()
        span.set_attribute("http.response.status_code", event.status)
        span.set_attribute("nextcart.request_id", event.request_id)
        if event.served:
            # Those of a batch are of one version, and mostly of one model.
            span.set_attribute("nextcart.version", event.served[0].version)
            span.set_attribute("nextcart.model", event.served[0].model)
        if event.status >= 500:
            span.set_status(self._failed)

    def close(self) -> None:
        """See `Traces.close`."""
        # A collector that is down would hold the server's end for many seconds.
        ending = threading.Thread(target=self._provider.shutdown, name="end-traces", daemon=True)
        ending.start()
        ending.join(_CLOSE_SECONDS)


def open_traces(config: LogsConfig) -> Traces:
    """Traces to ``logs.otlp_endpoint``; where that is not set, none. Made in the process that answers, after a fork.

    Raises:
        ConfigError: it is set, but the extra ``traces`` is not installed.
    """
    if config.otlp_endpoint is None:
        return Traces()
    if not _installed():
        raise ConfigError(
            "logs.otlp_endpoint: traces need OpenTelemetry; install it with 'pip install nextcart[traces]', or unset it"
        )
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint=config.otlp_endpoint, timeout=_EXPORT_SECONDS)
    return OpenTelemetryTraces(BatchSpanProcessor(exporter, schedule_delay_millis=1000))


def _installed() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False
