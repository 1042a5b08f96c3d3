"""Looking once for what several models and modes ask about the same sessions."""

from __future__ import annotations

from collections.abc import Callable

from nextcart.types import Float32s, Int32s

Found = tuple[Int32s, Float32s]
"""Candidates of each session, rows and scores of shape (n_sessions, m), best first, `UNKNOWN` past the end."""


class Shared:
    """What models found for one batch of sessions.

    The first to ask looks as far as anyone will, so that the others find it done. What they get does not depend on
    who came first: the best of a wider search are those of a narrower one.
    """

    def __init__(self, width: int) -> None:
        """Take the most candidates a session that anyone will want."""
        self._width = width
        self._found: dict[str, tuple[int, Found]] = {}

    def find(self, model: str, width: int, find: Callable[[int], Found]) -> Found:
        """At least the best ``width`` candidates of a model, from what is there or by ``find``, called with a width."""
        looked, found = self._found.get(model, (0, None))
        if found is None or looked < width:
            looked = max(width, self._width)
            found = find(looked)
            self._found[model] = (looked, found)
        return found
