"""The HTTP service: its address and limits, sessions, event log, swap of versions, access and logs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from nextcart.config.base import NotNegative, Positive, PositiveReal, Section, Share


class ServingConfig(Section):
    """The HTTP service and its limits."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all of the machine's."""
    port: Annotated[int, Field(ge=0, lt=65536)] = 8080
    """Port to listen on; 0 takes a free one."""
    workers: Annotated[int, Field(gt=0, le=256)] = 1
    """Processes that answer; they share the models' memory. Several know of one another's sessions only by Redis."""
    state: Path = Path("var/state")
    """Folder of what the service itself writes: event log, exposures, the shop's rules, erasures."""
    keep_alive_seconds: Positive = 75
    """Longer than the idle time of common connection pools, which else meet a closed connection."""
    max_limit: Annotated[int, Field(gt=0, le=1000)] = 200
    """The most items that one request may ask for."""
    max_events: Positive = 1000
    """The most events that one request may carry."""
    max_batch: Positive = 256
    """The most requests in one batch."""
    max_listed_items: Positive = 10_000
    """The most items that one request may list in ``exclude``, and in ``allow``."""
    max_body_bytes: Positive = 2 * 1024 * 1024
    """The largest body that one request may have."""


class SessionsConfig(Section):
    """What the service remembers of each session, and where."""

    redis_url: str | None = None
    """``redis://host:6379/0`` or ``rediss://…``; None: in the memory of each worker. A password comes from
    NEXTCART_REDIS_PASSWORD, a user from NEXTCART_REDIS_USERNAME."""
    redis_sentinel: str | None = None
    """The master's name, where the URL is that of a Sentinel."""
    redis_cluster: bool = False
    """Whether the URL is that of a node of a Cluster."""
    key_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] = "nextcart"
    """What every key in Redis begins with."""
    events: Annotated[int, Field(gt=0, le=1000)] = 50
    """The newest events of a session that are kept."""
    ttl_seconds: Positive = 1800
    """A session is forgotten so long after its last request."""
    max_sessions: Positive = 200_000
    """In memory: the sessions that a worker keeps; past them the one that was quiet longest goes."""
    timeout_ms: Positive = 50
    """Redis may take so long; then the answer is made from the request's own events."""
    breaker_failures: Positive = 5
    """After so many failures in a row Redis is left alone for a while."""
    breaker_seconds: PositiveReal = 2.0
    """How long Redis is left alone before it is tried again."""


class EventLogConfig(Section):
    """The log that holds each accepted event before it is acknowledged."""

    segment_bytes: Positive = 64 * 1024 * 1024
    """A segment of this size is closed and compressed."""
    segment_seconds: Positive = 3600
    """A segment of this age is closed and compressed."""
    remembered_ids: Positive = 200_000
    """So many of the newest ``event_id`` are remembered, over restarts too: a repeated one adds nothing."""
    max_pending: Positive = 20_000
    """The most events that may wait for the disk; further ones are answered 503."""
    exposure_share: Share = 1.0
    """The share of sessions whose recommendations are written to the exposures, with the answer's request id."""
    keep_days: NotNegative = 0
    """A closed segment of events is removed so many days after its last event; 0 keeps them all. Nobody looks whether
    it was ingested: choose several times the time between two ingests."""
    exposure_keep_days: NotNegative = 30
    """A closed segment of exposures is removed so many days after its last one; 0: only by size."""
    exposure_keep_bytes: Annotated[int, Field(ge=0)] = 10 * 1024**3
    """Closed exposures together take so much of the disk, then the oldest segments go; 0: only by age."""


class SwapConfig(Section):
    """How promoted versions go live."""

    poll_seconds: PositiveReal = 0.5
    """How often each worker looks for a promoted version."""
    candidate_share: Share = 0.0
    """The share of sessions that the alias ``candidate`` answers; always the same sessions."""


class AccessConfig(Section):
    """Who may ask, and how much. Keys come from NEXTCART_API_KEYS, as ``name:read+events:secret,…``."""

    anonymous_read: bool = True
    """Whether recommendations need no key. A request that names a session adds its events to it, and is answered with
    all that it did: where sessions' ids can be guessed, set this false. What else changes state always needs a key."""
    requests_per_second: PositiveReal | None = None
    """The most requests a second of one key, or of one address without a key; None: no limit."""
    burst: Positive = 100
    """So many requests at once are let through before the rate counts."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may ask from a browser; none until set."""
    header_seconds: PositiveReal = 10.0
    """A connection that has not brought a whole request head by then is closed."""
    body_seconds: PositiveReal = 10.0
    """A body that is not whole by then is answered 408."""


class LogsConfig(Section):
    """What the service writes to stderr, and where traces go."""

    format: Literal["console", "json"] = "console"
    """``console``: lines for people; ``json``: one object a line."""
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe messages that are written."""
    otlp_endpoint: str | None = None
    """Where OpenTelemetry traces go, such as ``http://collector:4318/v1/traces``; needs the extra ``traces``."""
