from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from nextcart.config import LogsConfig
from nextcart.serving.logs import LINES_PER_SECOND, LOGGERS, FailureLog, configure_logs
from nextcart.serving.metrics import Answered


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = {name: (log.handlers, log.level, log.propagate) for name in LOGGERS if (log := logging.getLogger(name))}
    yield
    for name, (handlers, level, propagate) in before.items():
        log = logging.getLogger(name)
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)


@pytest.fixture
def lines() -> Callable[..., list[str]]:
    def write(write_records: Callable[[], None], stream: io.StringIO | None = None, **config: str) -> list[str]:
        stream = stream or io.StringIO()
        configure_logs(LogsConfig.model_validate(config), stream)
        write_records()
        return stream.getvalue().splitlines()

    return write


def an_error() -> None:
    visitor = "-".join(["session", "4711"])
    try:
        json.loads(f"[{len(visitor)}]\n]")
    except ValueError:
        logging.getLogger("nextcart.serving.live").exception("version %s is refused", "v1", extra={"version": "v1"})


def test_json_is_an_object_a_line(lines):
    def write() -> None:
        logging.getLogger("nextcart.serving").info("ready: %s", "üblich\n“ok”")
        an_error()

    one, two = map(json.loads, lines(write, format="json"))
    assert list(one) == ["time", "level", "logger", "message", "pid"]
    assert (one["level"], one["logger"], one["message"]) == ("info", "nextcart.serving", "ready: üblich\n“ok”")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(one["time"])).total_seconds()) < 60
    assert one["time"].endswith("Z")
    assert (two["level"], two["message"], two["version"]) == ("error", "version v1 is refused", "v1")
    assert two["exception"].startswith("Traceback")
    assert two["exception"].endswith("Extra data: line 2 column 1 (char 5)")


def test_console_is_a_line_for_people(lines):
    def write() -> None:
        logging.getLogger("nextcart.serving.server").info("serving version %s", "v1", extra={"request_id": "abc"})

    (line,) = lines(write)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO nextcart\.serving\.server: serving version v1 request_id=abc", line
    )


def test_console_shows_tracebacks_without_variables(lines):
    text = "\n".join(lines(an_error))
    assert "ERROR nextcart.serving.live: version v1 is refused version=v1\nTraceback" in text
    assert text.endswith("Extra data: line 2 column 1 (char 5)")
    assert "session-4711" not in text


def test_a_line_break_in_a_message_is_no_record_of_its_own(lines):
    forged = "no item\n2026-01-01 00:00:00 ERROR nextcart: \x1b[31mall is lost"
    (line,) = lines(lambda: logging.getLogger("nextcart").warning(forged))
    assert "\x1b" not in line
    assert "no item\\n2026" in line


def test_colours_are_for_terminals(lines):
    def write() -> None:
        logging.getLogger("nextcart").error("oh")

    assert "\x1b[31mERROR\x1b[0m" in lines(write, Terminal())[0]
    assert "\x1b" not in lines(write)[0]
    assert "\x1b" not in lines(write, Terminal(), format="json")[0]


@pytest.mark.parametrize(("level", "seen"), [("DEBUG", "diwe"), ("INFO", "iwe"), ("WARNING", "we"), ("ERROR", "e")])
def test_the_level_counts_for_the_service(lines, level, seen):
    def write() -> None:
        for name in ("debug", "info", "warning", "error"):
            getattr(logging.getLogger("nextcart.x"), name)(name[0])

    assert "".join(line[-1] for line in lines(write, level=level)) == seen


def test_libraries_are_heard_where_they_fail_and_nothing_twice(lines):
    def write() -> None:
        for name in ("uvicorn.error", "uvicorn.access", "opentelemetry.sdk"):
            for level in (logging.INFO, logging.WARNING, logging.ERROR):
                logging.getLogger(name).log(level, "GET /v1/items/4711/similar?limit=3")

    configure_logs(LogsConfig(), io.StringIO())
    found = lines(write, level="DEBUG")
    assert [line.split()[2:4] for line in found] == [
        ["ERROR", "uvicorn.error:"],
        ["ERROR", "uvicorn.access:"],
        ["WARNING", "opentelemetry.sdk:"],
        ["ERROR", "opentelemetry.sdk:"],
    ]


def test_failures_are_named_by_request_and_others_are_not(lines):
    failures = FailureLog()

    def write() -> None:
        for status in (200, 404, 429, 500, 503):
            failures(Answered("/v1/events", status, 0.0123, f"id-{status}", failure="disk full" * (status == 503)))

    found = [json.loads(line) for line in lines(write, format="json")]
    assert [(line["request_id"], line["route"], line["status"]) for line in found] == [
        ("id-500", "/v1/events", 500),
        ("id-503", "/v1/events", 503),
    ]
    assert [line["message"] for line in found] == [
        "a request failed after 12.3 ms",
        "a request failed after 12.3 ms: disk full",
    ]


def test_a_flood_of_failures_is_counted(lines):
    now = 0.0
    failures = FailureLog(lambda: now)

    def write() -> None:
        nonlocal now
        for i in range(1000):
            failures(Answered("/v1/events", 503, 0.001, f"id-{i}"))
        now = 1.5
        failures(Answered("/v1/events", 503, 0.001, "last"))

    found = lines(write)
    assert len(found) == LINES_PER_SECOND + 2
    assert found[-2].endswith(f"{1000 - LINES_PER_SECOND} more requests failed")
    assert "request_id=last" in found[-1]
