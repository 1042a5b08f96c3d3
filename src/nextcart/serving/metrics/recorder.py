"""Counts what the service does: one small call for each thing that happened, and the text that Prometheus reads."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from nextcart.serving.metrics import declared
from nextcart.serving.metrics.cells import Cells
from nextcart.serving.metrics.collector import WorkersCollector
from nextcart.serving.metrics.declared import DECLARED, Declaration
from nextcart.serving.metrics.shown import ShownItems
from nextcart.types import TYPE_NAMES, Int32s, Source

OTHER = "other"
"""The label of what is none of those known: what a visitor sends must not make series."""
MAX_ROUTES = 64
KEPT_VERSIONS = 8
"""The series of so many versions, the newest that were live, are kept."""
FOLD_ITEMS = 8192

_SOURCES = [(source.value, source.name.lower()) for source in Source]
_BOUNDS = declared.REQUEST_SECONDS


class Served(Struct, frozen=True, gc=False):
    """A list was given out.

    Attributes:
        version: the version that answered.
        model: the model that ranked.
        objective: what the items were for.
        sources: the bits of each item returned (see `nextcart.types.Source`).
        fallback: why the list is top sellers only.
    """

    version: str
    model: str
    objective: str
    sources: Sequence[int] = ()
    fallback: str | None = None


class Answered(Struct, frozen=True, gc=False):
    """A request was answered: what each observer of requests is told.

    Attributes:
        route: the route's template, "other" for a path that is no route; of more than 64, the rest is "other" too.
        status: the HTTP status.
        seconds: wall time from the request's head to the answer.
        request_id: what the answer's ``X-Request-ID`` says.
        served: the lists that were given out: none, one, or those of a batch.
        failure: of a status of 500 or more, why, in the server's own words; empty where the log has it already.
    """

    route: str
    status: int
    seconds: float
    request_id: str = ""
    served: Sequence[Served] = ()
    failure: str = ""


Observer = Callable[[Answered], None]


class Metrics:
    """The metrics of this process, and through the folder those of the other workers.

    Each method is cheap enough for every request. They are called on the event loop, but for `commit`, which the event
    log's thread may call, and `swapped`, which the thread that loads versions may.

    Args:
        folder: shared by the workers of one service and empty when it starts; None for a single process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._cells = Cells(folder)
        self._cells.drop(lambda name, _: name not in DECLARED or DECLARED[name].kind == "gauge")
        self.shown = ShownItems(folder)
        self._routes: set[str] = set()
        self._requests: dict[tuple[str, int], tuple[int, int]] = {}
        self._lists: dict[tuple[str, str, str], int] = {}
        self._counters: dict[tuple[str, ...], int] = {}
        self._sources = bytearray()
        # A worker that takes the place of another goes on with its counts; ids of versions begin with their time.
        self._versions = sorted({version for key in self._cells.series() if (version := _version(*key))})
        self._aliases: dict[str, tuple[str, int]] | None = None
        self._store = self._start(declared.STORE_TIME)
        self._commit = self._start(declared.COMMIT_TIME)
        self._swap = self._start(declared.SWAP_TIME)
        # A rate needs the 0 before the first error.
        for metric in (declared.STORE_ERRORS, declared.EXPOSURES_DROPPED, declared.BREAKER_OPEN, declared.LOG_LAG):
            self._start(metric)
        self.count(declared.SWAPS, "refused", by=0)
        self.count(declared.EVENTS, OTHER, "rejected", by=0)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(WorkersCollector(self._cells, self.shown))

    def answered(self, event: Answered) -> None:
        """A request was answered; an `Observer`."""
        cells = self._cells.values
        places = self._requests.get((event.route, event.status)) or self._request(event.route, event.status)
        cells[places[0]] += 1.0
        histogram = places[1]
        seconds = event.seconds
        cells[histogram + bisect_left(_BOUNDS, seconds)] += 1.0
        cells[histogram + len(_BOUNDS) + 1] += seconds
        for served in event.served:
            key = (served.version, served.objective, served.model)
            place = self._lists.get(key)
            if place is None:
                place = self._lists[key] = self._start(declared.RECOMMENDATIONS, *key)
            cells[place] += 1.0
            self._sources.extend(served.sources)
            if served.fallback is not None:
                self.count(declared.FALLBACKS, served.fallback)
        if len(self._sources) > FOLD_ITEMS:
            self._fold_sources()

    def show(self, version: str, objective: str, rows: Int32s) -> None:
        """The items of `rows`, dense rows of the version's catalogue (-1 is padding), were shown."""
        self.shown.mark(version, objective, rows)

    def count(self, metric: Declaration, *labels: str, by: float = 1.0) -> None:
        """Add to a counter; label values are few and never made of what a visitor sent."""
        key = (metric.name, *labels)
        place = self._counters.get(key)
        if place is None:
            place = self._counters[key] = self._start(metric, *labels)
        self._cells.values[place] += by

    def set(self, metric: Declaration, value: float, *labels: str) -> None:
        """Set a gauge of this worker."""
        self._cells.values[self._start(metric, *labels)] = value

    def store_answered(self, seconds: float) -> None:
        """The session store answered after `seconds`."""
        self._observe(declared.STORE_TIME, self._store, seconds)

    def store_failed(self) -> None:
        """The session store did not answer."""
        self.count(declared.STORE_ERRORS)

    def events(self, event_type: str, outcome: str, n: int = 1) -> None:
        """`n` events were posted: `outcome` is "accepted", "duplicate" or "rejected"."""
        self.count(declared.EVENTS, event_type if event_type in TYPE_NAMES else OTHER, outcome, by=n)

    def commit(self, seconds: float) -> None:
        """The event log made events durable within `seconds`."""
        self._observe(declared.COMMIT_TIME, self._commit, seconds)

    def swapped(self, outcome: str, seconds: float) -> None:
        """A promoted version went live or was refused: `outcome` is "live" or "refused"."""
        self.count(declared.SWAPS, outcome)
        self._observe(declared.SWAP_TIME, self._swap, seconds)

    def set_versions(self, aliases: Mapping[str, tuple[str, int]]) -> None:
        """Versions answer from now on; all series of versions long gone end. Does nothing where nothing changed.

        Args:
            aliases: alias → version and the number of its items, such as ``{"production": ("2026…", 1_860_000)}``.
        """
        if aliases == self._aliases:
            return
        self._aliases = dict(aliases)
        live = dict(aliases.values())
        self._versions = [*(version for version in self._versions if version not in live), *live][-KEPT_VERSIONS:]
        infos = {(version, alias) for alias, (version, _) in aliases.items()}
        known = set(self._versions)
        self._cells.drop(lambda name, labels: _is_gone(name, labels, known, infos))
        self._lists = {key: place for key, place in self._lists.items() if key[0] in known}
        # A list, because the thread that loads versions may add to it meanwhile.
        counters = list(self._counters.items())
        self._counters = {key: place for key, place in counters if not _is_gone(key[0], key[1:], known, infos)}
        for version, n_items in live.items():
            self.shown.open(version, n_items)
        for version in self.shown.versions() - known:
            self.shown.close(version)
        for info in infos:
            self.set(declared.MODEL_INFO, 1.0, *info)

    def tick(self) -> None:
        """Bring what was counted aside into the cells; called once a second or so."""
        self._fold_sources()
        self.shown.fold()

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """All workers' metrics, and the content type, in the form that the header ``Accept`` asks for."""
        self.tick()
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def close(self) -> None:
        """Let go of the files; what was counted stays for the other workers to show."""
        self.tick()
        self._cells.close()

    def _start(self, metric: Declaration, *labels: str) -> int:
        return self._cells.start(metric.name, labels, metric.width)

    def _observe(self, metric: Declaration, start: int, seconds: float) -> None:
        cells = self._cells.values
        cells[start + bisect_left(metric.bounds, seconds)] += 1.0
        cells[start + metric.width - 1] += seconds

    def _request(self, route: str, status: int) -> tuple[int, int]:
        if len(self._routes) < MAX_ROUTES:
            self._routes.add(route)
        label = route if route in self._routes else OTHER
        places = self._start(declared.REQUESTS, label, str(status)), self._start(declared.REQUEST_TIME, label)
        if label == route:
            self._requests[route, status] = places
        return places

    def _fold_sources(self) -> None:
        if not self._sources:
            return
        counts = np.bincount(np.frombuffer(bytes(self._sources), np.uint8), minlength=256)
        self._sources.clear()
        bits = np.arange(256)
        for bit, name in _SOURCES:
            if n := int(counts[bits & bit != 0].sum()):
                self.count(declared.ITEMS, name, by=n)


def _is_gone(name: str, labels: Sequence[str], versions: Collection[str], infos: Collection[tuple[str, ...]]) -> bool:
    """Whether a series is of a version that is not among `versions`, or of an alias that stands for another now."""
    if name == declared.MODEL_INFO.name:
        return tuple(labels) not in infos
    version = _version(name, labels)
    return version is not None and version not in versions


def _version(name: str, labels: Sequence[str]) -> str | None:
    names = DECLARED[name].labels
    return labels[names.index("version")] if "version" in names else None
