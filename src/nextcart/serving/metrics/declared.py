"""Every metric of the service: its name, its kind, its labels, what it tells, and how workers' values become one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Merge = Callable[[Iterable[float]], float]

REQUEST_SECONDS = (
    *(0.0001, 0.00015, 0.0002, 0.0003, 0.0004, 0.0005, 0.0007),
    *(0.001, 0.0015, 0.002, 0.003, 0.005, 0.007),
    *(0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0),
)
"""Upper bounds of the latency buckets: 100 µs to 1 s, close together where a healthy service answers."""
SWAP_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0)


@dataclass(frozen=True, slots=True)
class Declaration:
    """One metric.

    Attributes:
        name: as Prometheus shows it; a counter's ends in ``_total``.
        help: what it tells, in one line.
        kind: a gauge counts live workers only; counters and histograms count dead ones too.
        labels: label names.
        bounds: a histogram's upper bounds, ascending, without infinity.
        merge: how a gauge's values of several workers become one.
    """

    name: str
    help: str
    kind: Kind = "counter"
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    merge: Merge = sum

    @property
    def width(self) -> int:
        """Cells of one series: one, or a histogram's buckets, that of infinity, and the sum."""
        return len(self.bounds) + 2 if self.bounds else 1


REQUESTS = Declaration("nextcart_http_requests_total", "Requests answered.", labels=("route", "status"))
REQUEST_TIME = Declaration(
    "nextcart_http_request_duration_seconds",
    "Time from a request's head to its answer.",
    "histogram",
    ("route",),
    REQUEST_SECONDS,
)
RATE_LIMITED = Declaration(
    "nextcart_rate_limited_total", "Requests answered 429, by the key's name or 'anonymous'.", labels=("client",)
)
RECOMMENDATIONS = Declaration(
    "nextcart_recommendations_total", "Lists given out.", labels=("version", "objective", "model")
)
ITEMS = Declaration(
    "nextcart_recommended_items_total", "Items given out, once for each source that brought them.", labels=("source",)
)
FALLBACKS = Declaration("nextcart_fallbacks_total", "Lists of top sellers only, by the reason.", labels=("reason",))
WRONG_IDS = Declaration(
    "nextcart_wrong_ids_total",
    "Requests whose item ids are strings where the shop's are integers, or the other way, by the field.",
    labels=("field",),
)
STORE_TIME = Declaration(
    "nextcart_session_store_duration_seconds",
    "Time that the session store took to answer.",
    "histogram",
    bounds=REQUEST_SECONDS,
)
STORE_ERRORS = Declaration("nextcart_session_store_errors_total", "Times the session store did not answer.")
BREAKER_OPEN = Declaration(
    "nextcart_session_store_breaker_open", "Workers that leave the session store alone for a while.", "gauge"
)
LOG_LAG = Declaration("nextcart_event_log_lag_events", "Events that wait for the event log's disk.", "gauge")
COMMIT_TIME = Declaration(
    "nextcart_event_log_commit_duration_seconds",
    "Time of a write to the event log until it is durable.",
    "histogram",
    bounds=REQUEST_SECONDS,
)
EVENTS = Declaration(
    "nextcart_events_total", "Events posted: accepted, duplicate or rejected.", labels=("type", "outcome")
)
EXPOSURES_DROPPED = Declaration("nextcart_exposures_dropped_total", "Lists given out that were not logged.")
MODEL_INFO = Declaration(
    "nextcart_model_info", "1 for each version that answers in a worker.", "gauge", ("version", "alias"), merge=max
)
SWAPS = Declaration("nextcart_swaps_total", "Versions that went live or were refused.", labels=("outcome",))
SWAP_TIME = Declaration(
    "nextcart_swap_duration_seconds",
    "Time from seeing a promoted version to answering with it.",
    "histogram",
    bounds=SWAP_SECONDS,
)
RULES_VERSION = Declaration(
    "nextcart_rules_version", "Version of the shop's rules in the worker that is furthest behind.", "gauge", merge=min
)
ONLINE_EVENTS = Declaration(
    "nextcart_online_events_total",
    "New events of sessions that had been shown a list, by what was shown.",
    labels=("version", "objective", "type"),
)
ONLINE_HITS = Declaration(
    "nextcart_online_hits_total",
    "Those among them whose item was in the first 20 of the list.",
    labels=("version", "objective", "type"),
)
ONLINE_RANKS = Declaration(
    "nextcart_online_reciprocal_ranks_total",
    "Sum of 1 / rank over the hits.",
    labels=("version", "objective", "type"),
)

DECLARED = {
    metric.name: metric
    for metric in (
        *(REQUESTS, REQUEST_TIME, RATE_LIMITED, RECOMMENDATIONS, ITEMS, FALLBACKS, WRONG_IDS),
        *(STORE_TIME, STORE_ERRORS, BREAKER_OPEN, LOG_LAG, COMMIT_TIME, EVENTS, EXPOSURES_DROPPED),
        *(MODEL_INFO, SWAPS, SWAP_TIME, RULES_VERSION, ONLINE_EVENTS, ONLINE_HITS, ONLINE_RANKS),
    )
}
"""All that workers count in their cells, by name, in the order in which they are shown."""
