"""What both clients do alike: the connection's settings, calls made requests, and responses made answers or errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from typing import Any, TypedDict, TypeVar

import httpx
import msgspec

from nextcart.client.answers import Problem
from nextcart.client.calls import Call
from nextcart.client.errors import ApiError, ClientError, Unexpected, Unreachable
from nextcart.client.retries import Retries, may_try_again, retry_after

T = TypeVar("T")

KEEP_ALIVE_SECONDS = 60.0
"""Shorter than the service keeps a quiet connection, so that none is used just as it is closed."""

_read_problem = msgspec.json.Decoder(Problem).decode


class Connection(TypedDict):
    """The arguments that httpx's two clients share."""

    base_url: str
    headers: dict[str, str]
    timeout: httpx.Timeout
    limits: httpx.Limits


def connection(
    url: str, api_key: str | None, connect_seconds: float, read_seconds: float, max_connections: int
) -> Connection:
    """The settings of a connection to the service."""
    headers = {"user-agent": f"nextcart-client/{installed_version('nextcart')}", "accept": "application/json"}
    if api_key is not None:
        headers["authorization"] = f"Bearer {api_key}"
    return Connection(
        base_url=url,
        headers=headers,
        timeout=httpx.Timeout(read_seconds, connect=connect_seconds),
        limits=httpx.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_connections,
            keepalive_expiry=KEEP_ALIVE_SECONDS,
        ),
    )


def request_of(http: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
    """A call as a request."""
    headers = {"content-type": "application/json"} if call.body is not None else None
    return http.build_request(
        call.method, call.path, content=call.body, params=list(call.params) or None, headers=headers
    )


@dataclass
class Tries:
    """The tries of one call.

    Attributes:
        call: what is asked.
        retries: how often, and with what waits.
        done: tries so far.
    """

    call: Call[Any]
    retries: Retries
    done: int = field(default=0)

    def wait(self, result: httpx.Response | httpx.TransportError) -> float | None:
        """Count a try; seconds to wait before the next, None where this was the last."""
        self.done += 1
        if not may_try_again(result, idempotent=self.call.idempotent):
            return None
        asked = retry_after(result.headers) if isinstance(result, httpx.Response) else None
        return self.retries.wait(self.done, asked)


def answer(call: Call[T], result: httpx.Response | httpx.TransportError) -> T:
    """What the service answered.

    Raises:
        ClientError: it did not, or with a problem.
    """
    if isinstance(result, httpx.TransportError):
        raise _unreachable(call, result)
    if not result.is_success:
        raise _problem(result)
    try:
        return call.read(result.content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unexpected(
            f"{call.method} {result.url}: the answer is none that this client knows ({error}); check the address, and "
            "that client and service are of one version"
        ) from None


def _unreachable(call: Call[Any], error: httpx.TransportError) -> ClientError:
    what = "took too long" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
    said = str(error) or type(error).__name__
    return Unreachable(f"{call.method} {error.request.url}: {what} ({said}); check the address and that it is up")


def _problem(response: httpx.Response) -> ApiError:
    """A response that is no success, as an error; one that does not come from nextcart is told by its status."""
    try:
        problem = _read_problem(response.content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        problem = Problem()
    kind = problem.type.rpartition(":")[2] or f"http-{response.status_code}"
    detail = problem.detail or problem.title or response.reason_phrase or "no reason was given"
    return ApiError(
        response.status_code,
        kind,
        detail,
        problem.errors,
        response.headers.get("x-request-id"),
        retry_after(response.headers),
    )
