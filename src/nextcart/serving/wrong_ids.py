"""Ids of another kind than the shop's, such as "12" for 12: they match nothing, and whoever runs it should know."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from nextcart.serving.metrics import Metrics, declared
from nextcart.serving.schemas import BasketRequest, RecommendRequest
from nextcart.types import IdType

log = logging.getLogger(__name__)

QUIET_SECONDS = 60.0
"""After a warning the next one waits so long."""


class WrongIds:
    """Counts requests with such ids, and names one a minute in the log; they are answered, as a page needs a list.

    Of each list the first id is looked at: a client that writes ids one way writes all of them so.

    Args:
        metrics: counts.
        clock: seconds that never jump back.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._clock = clock
        self._quiet_until = clock()

    def in_request(self, asked: RecommendRequest, id_type: IdType, request_id: str) -> None:
        """Look through a request for recommendations; ``id_type`` is that of the shop's items."""
        kind = int if id_type == "int64" else str
        if asked.events and type(asked.events[0].aid) is not kind:
            self._seen("events", id_type, request_id)
        if asked.exclude and type(asked.exclude[0]) is not kind:
            self._seen("exclude", id_type, request_id)
        if asked.allow and type(asked.allow[0]) is not kind:
            self._seen("allow", id_type, request_id)

    def in_basket(self, asked: BasketRequest, id_type: IdType, request_id: str) -> None:
        """Look through a basket."""
        kind = int if id_type == "int64" else str
        if asked.items and type(asked.items[0]) is not kind:
            self._seen("items", id_type, request_id)
        if asked.exclude and type(asked.exclude[0]) is not kind:
            self._seen("exclude", id_type, request_id)

    def _seen(self, field: str, id_type: IdType, request_id: str) -> None:
        self._metrics.count(declared.WRONG_IDS, field)
        now = self._clock()
        if now < self._quiet_until:
            return
        self._quiet_until = now + QUIET_SECONDS
        given, wanted = ("strings", "integers") if id_type == "int64" else ("integers", "strings")
        log.warning(
            "ids in '%s' are %s, but the item ids of this shop are %s: they match nothing; send them as the shop's "
            "events have them (nextcart_wrong_ids_total counts such requests, one a minute is named)",
            field,
            given,
            wanted,
            extra={"request_id": request_id},
        )
