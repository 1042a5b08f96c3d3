"""The newest event ids, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class KnownIds:
    """Remembers the newest ``limit`` ids, each as Python's own 64-bit hash of the text, which is keyed by the process.

    About 110 bytes an id. An id is taken for another with a probability of ``limit`` / 2^64.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[int] = set()
        self._in_order: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._in_order)

    def __contains__(self, event_id: str) -> bool:
        return hash(event_id) in self._known

    def add(self, event_ids: Iterable[str | None]) -> None:
        """Remember ids, oldest first; what is too much is forgotten."""
        known, in_order = self._known, self._in_order
        for event_id in event_ids:
            if event_id is None or (key := hash(event_id)) in known:
                continue
            if len(in_order) == self._limit:
                known.discard(in_order.popleft())
            known.add(key)
            in_order.append(key)

    def add_older(self, event_ids: list[str | None]) -> bool:
        """Remember ids, oldest first, that are all older than any known one; whether there is room for still older."""
        for event_id in reversed(event_ids):
            if len(self) == self._limit:
                return False
            if event_id is not None and (key := hash(event_id)) not in self._known:
                self._known.add(key)
                self._in_order.appendleft(key)
        return len(self) < self._limit
