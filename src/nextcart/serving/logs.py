"""What the service writes to stderr: lines for people, or one JSON object a line for machines.

The standard library's loggers stay what code logs to; structlog puts their records into words. There is no access log:
a line a request costs more than the scoring, and a path may hold an item's id.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import IO

from structlog.processors import (
    CallsiteParameter,
    CallsiteParameterAdder,
    EventRenamer,
    JSONRenderer,
    TimeStamper,
    format_exc_info,
)
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name
from structlog.typing import EventDict, Processor, WrappedLogger

from nextcart.config import LogsConfig
from nextcart.serving.metrics import Answered

log = logging.getLogger(__name__)

LOGGERS = {"nextcart": logging.DEBUG, "uvicorn": logging.ERROR, "opentelemetry": logging.WARNING}
"""What is heard, and the least severe records of it: uvicorn warns of each client that speaks no HTTP, which would fill
the disk."""
EXTRAS = ("request_id", "route", "status", "version")
"""What a record may carry besides its message."""
LINES_PER_SECOND = 10
"""So many failed requests a second are named."""

_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m", "critical": "\x1b[31m"}
_PLAIN = "\x1b[0m"


def configure_logs(config: LogsConfig, stream: IO[str] | None = None) -> None:
    """Send the records of the service, of uvicorn and of OpenTelemetry to a stream, and to nothing else.

    Args:
        config: the form, and the least severe level.
        stream: None is stderr; colours are for terminals.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    processors = _json() if config.format == "json" else _console(coloured=handler.stream.isatty())
    handler.setFormatter(ProcessorFormatter(processors=processors))
    level = logging.getLevelNamesMapping()[config.level]
    for name, least in LOGGERS.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(max(level, least))


def _json() -> list[Processor]:
    return [
        TimeStamper(fmt="iso", utc=True, key="time"),
        *_common(),
        CallsiteParameterAdder({CallsiteParameter.PROCESS}),
        EventRenamer("message"),
        _in_order,
        JSONRenderer(ensure_ascii=False),
    ]


def _console(*, coloured: bool) -> list[Processor]:
    def line(logger: WrappedLogger, method: str, event: EventDict) -> str:
        del logger, method
        level = event["level"]
        shown = f"{_COLOURS[level]}{level.upper()}{_PLAIN}" if coloured and level in _COLOURS else level.upper()
        message = event["event"]
        # What a visitor sent, such as a line break within an id, must not look like a record of its own.
        message = message if message.isprintable() else message.encode("unicode_escape").decode()
        extras = "".join(f" {name}={event[name]}" for name in EXTRAS if name in event)
        exception = f"\n{event['exception']}" if "exception" in event else ""
        return f"{event['time']} {shown} {event['logger']}: {message}{extras}{exception}"

    return [TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False, key="time"), *_common(), line]


def _common() -> list[Processor]:
    return [
        add_log_level,
        add_logger_name,
        ExtraAdder(EXTRAS),
        # As text, and without the values of variables, among which are sessions and keys.
        format_exc_info,
        ProcessorFormatter.remove_processors_meta,
    ]


def _in_order(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The keys in the order in which one reads."""
    del logger, method
    event["pid"] = event.pop("process")
    return {name: event.pop(name) for name in ("time", "level", "logger", "message", "pid")} | dict(event)


class FailureLog:
    """Names the requests that were answered with 500 or more, by request id, and says why; an `Observer`.

    In a flood it names ten a second and says how many it left out.

    Args:
        clock: seconds that never jump back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._named = self._left_out = 0

    def __call__(self, event: Answered) -> None:
        """A request was answered."""
        # To whoever asks whether it is ready, "no" is an answer.
        if event.status < 500 or event.route == "/health/ready":
            return
        now = self._clock()
        if now - self._since >= 1:
            if self._left_out:
                log.error("%d more requests failed", self._left_out)
            self._since, self._named, self._left_out = now, 0, 0
        if self._named >= LINES_PER_SECOND:
            self._left_out += 1
            return
        self._named += 1
        facts = {"request_id": event.request_id, "route": event.route, "status": event.status}
        why = f": {event.failure}" if event.failure else ""
        log.error("a request failed after %.1f ms%s", 1000 * event.seconds, why, extra=facts)
