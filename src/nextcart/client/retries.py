"""When a call is tried again, and how long is waited before."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

BUSY = frozenset({429, 502, 503, 504})
"""The service, or what stands before it, has not done what was asked, and may do it later."""

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_MAYBE_DONE = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)
"""A kept connection that the other side has closed meanwhile ends in one of these."""


@dataclass(frozen=True)
class Retries:
    """How often a call is tried, with waits drawn at random between nothing and a bound that doubles ("full jitter").

    Many clients that failed at once so come back spread out.

    Attributes:
        attempts: tries of one call in all; 1: no retry.
        first_seconds: bound of the first wait.
        most_seconds: no wait is drawn from a larger bound; a service that asks for a longer one (``Retry-After``) is
            not asked again.
        draw: gives a number between two bounds.
    """

    attempts: int = 3
    first_seconds: float = 0.1
    most_seconds: float = 2.0
    draw: Callable[[float, float], float] = random.uniform

    def wait(self, tried: int, asked_seconds: float | None = None) -> float | None:
        """Seconds to wait before the next try; None where there is to be none.

        Args:
            tried: tries so far, from 1.
            asked_seconds: what the service asked for; waited at least.
        """
        if tried >= self.attempts or (asked_seconds or 0.0) > self.most_seconds:
            return None
        bound = min(self.most_seconds, self.first_seconds * 2 ** (tried - 1))
        return (asked_seconds or 0.0) + self.draw(0.0, bound)


def may_try_again(failure: httpx.Response | httpx.TransportError, *, idempotent: bool) -> bool:
    """Whether another try can help and cannot do twice what is to be done once."""
    if isinstance(failure, httpx.Response):
        return failure.status_code in BUSY if idempotent else failure.status_code == httpx.codes.TOO_MANY_REQUESTS
    return isinstance(failure, _NEVER_SENT) or (idempotent and isinstance(failure, _MAYBE_DONE))


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Seconds that an answer asks to wait, given as such or as a date; None where it does not say."""
    text = headers.get("retry-after", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now())
    except ValueError:
        return None
