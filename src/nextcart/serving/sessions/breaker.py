"""A circuit breaker: what failed several times in a row is left alone for a while, then tried once."""

from __future__ import annotations

import time
from collections.abc import Callable

from nextcart.serving.sessions.store import State


class Breaker:
    """Counts how calls end. Ask `lets_through` before each, and say how each that was let through ended.

    Args:
        failures: so many in a row open it.
        seconds: how long it stays open.
        clock: seconds that never jump back.
    """

    def __init__(self, failures: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = failures
        self._seconds = seconds
        self._clock = clock
        self._in_a_row = 0
        self._open_until: float | None = None
        self._trying = False

    @property
    def state(self) -> State:
        """``half_open`` once its time is over, until one call has been tried."""
        if self._open_until is None:
            return "closed"
        return "half_open" if self._trying or self._clock() >= self._open_until else "open"

    def lets_through(self) -> bool:
        """Whether a call may be made; half open, the first one that asks."""
        if self._open_until is None:
            return True
        if self._trying or self._clock() < self._open_until:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """A call ended well."""
        self._in_a_row = 0
        self._open_until = None
        self._trying = False

    def failed(self) -> None:
        """A call failed."""
        self._in_a_row += 1
        self._trying = False
        if self._in_a_row >= self._most or self._open_until is not None:
            self._open_until = self._clock() + self._seconds

    def abandoned(self) -> None:
        """A call's end will never be known; another may be tried in its place."""
        self._trying = False
