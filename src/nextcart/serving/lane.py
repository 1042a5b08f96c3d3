"""The way of a request: found in a table of routes, let in, answered, counted, and sent, past FastAPI's own way.

Routing, parameters and responses of FastAPI cost more than the scoring. The same routes are FastAPI's as well: for the
OpenAPI page, for 404 and 405, and for an application that is mounted under a path.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from secrets import token_hex
from time import perf_counter
from typing import NamedTuple

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nextcart.serving.access import Access, KeyScope
from nextcart.serving.metrics import Answered, Observer, Served
from nextcart.serving.problems import Problem, bug
from nextcart.serving.traces import Traces

log = logging.getLogger(__name__)

JSON = b"application/json"
UNKNOWN_ADDRESS = "unknown"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_encode = msgspec.json.Encoder().encode

Headers = Mapping[bytes, bytes]


_ids = count()
_own = token_hex(8)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def new_request_id() -> str:
    """An id of 32 hexadecimal digits that no other process makes; the system's randomness costs ten times as much."""
    return f"{_own}{next(_ids):016x}"


class Call:
    """One request on its way.

    Attributes:
        path: without the query.
        query: as it came, without the question mark.
        headers: by lower-case name.
        address: whence it comes; what a proxy says of it is not believed.
        value: what stands in the path's place for a value, such as the item id.
        body: all of it, where the server has read it already.
        receive: gives the body otherwise, as ASGI has it.
        request_id: the client's own, or made here.
        started: a reading of ``perf_counter`` when it came.
        served: what was recommended, for the metrics.
        failure: why it could not be answered, for the log.
    """

    __slots__ = (
        "address",
        "body",
        "failure",
        "headers",
        "path",
        "query",
        "receive",
        "request_id",
        "served",
        "started",
        "value",
    )

    def __init__(self, path: str, query: bytes, headers: Headers, address: str, value: str = "") -> None:
        self.started = perf_counter()
        self.path = path
        self.query = query
        self.headers = headers
        self.address = address
        self.value = value
        self.body: bytes | None = None
        self.receive: Receive = _nothing
        given = headers.get(b"x-request-id")
        self.request_id = given.decode() if given and _REQUEST_ID.fullmatch(given) else new_request_id()
        self.served: list[Served] = []
        self.failure = ""

    @classmethod
    def of(cls, scope: Scope, receive: Receive, value: str = "") -> Call:
        """A request as ASGI has it."""
        client = scope.get("client")
        address = client[0] if client else UNKNOWN_ADDRESS
        call = cls(scope["path"], scope["query_string"], dict(scope["headers"]), address, value)
        call.receive = receive
        return call

    def milliseconds(self) -> float:
        """Wall time since the request came, to the microsecond."""
        return int((perf_counter() - self.started) * 1e6) / 1000


class Answer(NamedTuple):
    """What goes back: a body, and how it is labelled."""

    body: bytes
    status: int = 200
    media_type: bytes = JSON
    headers: Sequence[tuple[bytes, bytes]] = ()


def answer(content: object, status: int = 200) -> Answer:
    """A struct as a JSON answer."""
    return Answer(_encode(content), status)


Handler = Callable[[Call], Awaitable[Answer]]
Reply = Callable[[Callable[[], Answer]], None]
"""Answers with what the callable gives, or with the problem that it raises."""
QuickHandler = Callable[[Call, Reply], bool]
"""Sees to it that a request is answered, without anything to be awaited; False where that cannot be."""


@dataclass(frozen=True)
class Route:
    """One route: what it answers, who may ask, and what its page says.

    Attributes:
        method: the HTTP method.
        path: as FastAPI has it; at most one value, which may hold slashes.
        handler: answers; its docstring is the page's text.
        needs: the scope that a key must have; None asks for no key.
        tag: the group on the page.
        body: the struct of the request's body.
        query: the struct of the query's parameters.
        answers: the struct of the answer; None for any JSON object.
        texts: the media types of an answer that is no JSON.
        status: of a good answer.
        problems: the statuses that the page tells of, beside those that every route may have.
        quick: answers the usual requests, of which the body is at hand, at less cost.
    """

    method: str
    path: str
    handler: Handler
    needs: KeyScope | None
    tag: str
    body: type | None = None
    query: type | None = None
    answers: type | None = None
    texts: Sequence[str] = ()
    status: int = 200
    problems: Sequence[int] = ()
    quick: QuickHandler | None = None


class Lane:
    """Answers what stands in its table, and hands all else to the application.

    Args:
        routes: the table.
        rest: the application.
        access: lets requests in.
        traces: has a span for each request.
        observers: are told of each request once it is answered.
    """

    def __init__(
        self, routes: Sequence[Route], rest: ASGIApp, access: Access, traces: Traces, observers: Sequence[Observer] = ()
    ) -> None:
        self._rest = rest
        self._access = access
        self._traces = traces
        self._observers = observers
        self._methods = {"HEAD", *(route.method for route in routes)}
        self._exact = {(route.method, route.path): route for route in routes if "{" not in route.path}
        self._valued = [(route, *_around_value(route.path)) for route in routes if "{" in route.path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI has it."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        route, value = self.find(scope["method"], scope["path"])
        if route is None:
            await self._pass_on(scope, receive, send)
            return
        call = Call.of(scope, receive, value)
        with self._traces.request(route.method, route.path, call.headers):
            given = await self.answer(route, call)
            await send({"type": "http.response.start", "status": given.status, "headers": headers_of(given, call)})
            await send({"type": "http.response.body", "body": given.body})
            self.tell(route.path, given.status, call)

    async def answer(self, route: Route, call: Call) -> Answer:
        """What a route answers; a problem is an answer too."""
        try:
            await self._access.admit(call.headers, route.needs, call.address)
            return await route.handler(call)
        except Exception as error:  # noqa: BLE001 - a bug is logged, and answered as one
            return _failed(error, route, call)

    def answer_quickly(self, route: Route, call: Call, send: Callable[[Answer], None]) -> bool:
        """Have a request answered without a task of its own; False leaves it to `answer`."""
        if route.quick is None:
            return False

        def reply(make: Callable[[], Answer]) -> None:
            try:
                given = make()
            except Exception as error:  # noqa: BLE001 - as above
                given = _failed(error, route, call)
            send(given)
            self.tell(route.path, given.status, call)

        try:
            return self._access.admit_now(call.headers, route.needs) and route.quick(call, reply)
        except Exception as error:  # noqa: BLE001 - as above
            failed = _failed(error, route, call)
            reply(lambda: failed)
            return True

    def find(self, method: str, path: str) -> tuple[Route | None, str]:
        """The route of a request, and what stands in its path's place for a value; None is left to the application."""
        if method == "HEAD":
            # The server sends the head alone.
            method = "GET"
        found = self._exact.get((method, path))
        if found is not None:
            return found, ""
        for route, head, tail in self._valued:
            value = path[len(head) : len(path) - len(tail)]
            if value and route.method == method and path.startswith(head) and path.endswith(tail):
                return route, value
        return None, ""

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, with the request's id, and count it."""
        call, status = Call.of(scope, receive), HTTPStatus.INTERNAL_SERVER_ERROR.value

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", call.request_id.encode())]
                message["headers"] = self._with_methods(headers, scope["path"]) if status == 405 else headers
            await send(message)

        try:
            await self._rest(scope, receive, send_with_id)
        finally:
            route = scope.get("route")
            self.tell(getattr(route, "path", "other"), status, call)

    def _with_methods(self, headers: list[tuple[bytes, bytes]], path: str) -> list[tuple[bytes, bytes]]:
        """The headers of a 405 with all methods that a path answers; the application names those of one route."""
        methods = [method for method in sorted(self._methods) if self.find(method, path)[0]]
        if not methods:
            return headers
        return [*(each for each in headers if each[0] != b"allow"), (b"allow", ", ".join(methods).encode())]

    def tell(self, route: str, status: int, call: Call) -> None:
        """Have the observers know that a request was answered."""
        event = Answered(route, status, perf_counter() - call.started, call.request_id, call.served, call.failure)
        for observer in self._observers:
            observer(event)


def _failed(error: Exception, route: Route, call: Call) -> Answer:
    """An error as an answer; one that is no problem is a bug."""
    if isinstance(error, Problem):
        if error.status >= 500:
            call.failure = str(error)
        return problem_answer(error, call.path)
    # Its text may hold what the visitor sent: the log gets it, the client does not.
    log.error("request %s to %s failed", call.request_id, route.path, exc_info=error)
    return problem_answer(bug(), call.path)


def _around_value(path: str) -> tuple[str, str]:
    """What stands before and behind the value of a path."""
    head, _, rest = path.partition("{")
    return head, rest.partition("}")[2]


def problem_answer(problem: Problem, path: str) -> Answer:
    """A problem as an answer to a request for `path`."""
    headers = [(name.encode(), value.encode()) for name, value in (problem.headers or {}).items()]
    return Answer(problem.document(path), problem.status, b"application/problem+json", headers)


def headers_of(given: Answer, call: Call) -> list[tuple[bytes, bytes]]:
    """The headers of an answer."""
    return [
        (b"content-type", given.media_type),
        (b"content-length", b"%d" % len(given.body)),
        (b"x-request-id", call.request_id.encode()),
        *given.headers,
    ]


def head_lines(given: Answer, call: Call) -> bytes:
    """The same as lines of HTTP/1.1."""
    usual = b"content-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
    lines = usual % (given.media_type, len(given.body), call.request_id.encode())
    return lines + b"".join(b"%b: %b\r\n" % each for each in given.headers) if given.headers else lines
