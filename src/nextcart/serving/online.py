"""Online truth: when a session's event arrives, was its item among what the session was last shown?"""

from __future__ import annotations

from collections import OrderedDict

from nextcart.serving.metrics import Metrics, declared
from nextcart.serving.schemas import Event
from nextcart.serving.sessions.store import Shown
from nextcart.types import Id

CUTOFF = 20
"""An item further down is no hit; most shops show fewer."""
REMEMBERED = 50_000


def rank_of(aids: list[Id], aid: Id) -> int:
    """The place, from 1, at which `aid` was shown among the first 20; 0 where it was not."""
    try:
        return aids.index(aid, 0, CUTOFF) + 1
    except ValueError:
        return 0


class OnlineTruth:
    """Counts hits and reciprocal ranks by version, the objective that was asked for, and the event's type.

    Every type counts against every list, labelled: whoever asks for clicks looks at ``objective="clicks",
    type="clicks"``. An item counts once a list and type, however often the visitor comes back to it; the worker
    remembers its newest 50,000, so that a session whose events go to several workers may count twice.

    Args:
        metrics: where it is counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._judged: OrderedDict[tuple[str, Id, str], None] = OrderedDict()

    def judge(self, shown: Shown, event: Event) -> None:
        """`event` is new to the session, which had last been shown `shown`."""
        seen = (shown.request_id, event.aid, event.type)
        if seen in self._judged:
            return
        self._judged[seen] = None
        if len(self._judged) > REMEMBERED:
            self._judged.popitem(last=False)
        labels = (shown.version, shown.objective, event.type)
        self._metrics.count(declared.ONLINE_EVENTS, *labels)
        rank = rank_of(shown.aids, event.aid)
        # The sums begin at 0, else the first hit is no increase to Prometheus.
        self._metrics.count(declared.ONLINE_HITS, *labels, by=float(rank > 0))
        self._metrics.count(declared.ONLINE_RANKS, *labels, by=1 / rank if rank else 0.0)
