"""Follows the repository's aliases: what is promoted answers, without a restart and without a lost request."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal

from nextcart.config import SwapConfig
from nextcart.errors import NextcartError
from nextcart.repository.artifacts import no_pause
from nextcart.repository.repository import Repository
from nextcart.serving.versions.live import LiveModel, LiveVersion, Refused
from nextcart.serving.versions.loading import Pace, load_version, release

log = logging.getLogger(__name__)

GRACE_SECONDS = 2.0
"""An answer is made within this time; then the version that gave it can go."""

Alias = Literal["production", "candidate"]
Stamp = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Swapped:
    """A version that began to answer, or was refused.

    Attributes:
        alias: what it is to answer as.
        version: its id.
        outcome: what became of it.
        seconds: from when it was found to then.
    """

    alias: Alias
    version: str
    outcome: Literal["live", "refused"]
    seconds: float


class FollowingModel(LiveModel):
    """The version in production, and the candidate where it has a share, each as the repository names them now.

    A version that cannot be served is refused, and what answered goes on; it is tried again once the alias names
    another, its files are changed, or `reload` is called.

    Args:
        repository: where the versions are.
        config: how often to look, and the candidate's share.

    Attributes:
        on_swap: are told of each version that began to answer or was refused, in the background thread.
    """

    def __init__(self, repository: Repository, config: SwapConfig) -> None:
        super().__init__(candidate_share=config.candidate_share)
        self._repository = repository
        self._config = config
        self.on_swap: list[Callable[[Swapped], None]] = []
        # Not a Condition: a signal's handler may put into this queue while the same thread is in the middle of it.
        self._orders: SimpleQueue[Future[None] | None] = SimpleQueue()
        self._seen: Stamp | None = None
        self._refusals: dict[Alias, tuple[Refused, Stamp]] = {}
        self._retired: deque[tuple[float, LiveVersion]] = deque()

    def look_now(self) -> None:
        """Have it looked now whether another version is to answer, one that was refused included; returns at once."""
        self._orders.put(Future())

    async def reload(self) -> None:
        """The same, and wait until that version answers or is refused."""
        if self._thread is not None and self._thread.is_alive():
            looked: Future[None] = Future()
            self._orders.put(looked)
            await asyncio.wrap_future(looked)

    def stop(self) -> None:
        """Change nothing from now on; what answers stays. A load that runs is not waited for."""
        self._orders.put(None)

    def _run(self) -> None:
        orders: list[Future[None] | None] = []
        while None not in orders:
            try:
                self._look(forced=bool(orders))
                self._release_retired()
            except Exception:
                # Whatever it is, the next promotion must be seen.
                log.exception("looking for another version failed; it goes on")
            self._tried.set()
            _fulfil(orders)
            orders = self._next_orders()
        _fulfil(orders)

    def _next_orders(self) -> list[Future[None] | None]:
        """All that wait, or the next that comes before it is time to look again."""
        orders: list[Future[None] | None] = []
        with suppress(Empty):
            orders.append(self._orders.get(timeout=self._config.poll_seconds))
            while True:
                orders.append(self._orders.get_nowait())
        return orders

    def _look(self, *, forced: bool) -> None:
        stamp = _stamp_of(self._repository.root / "aliases.json")
        if stamp == self._seen and not forced and not self._refusals:
            return
        try:
            aliases = self._repository.aliases()
        except NextcartError as error:
            held = self._refusals.get("production")
            # Looked at again and again until it can be read, but said once.
            if forced or held is None or (held[0].version, held[1]) != ("aliases.json", stamp):
                self._refuse("production", "aliases.json", error, stamp)
            return
        self._seen = stamp
        self._follow("production", aliases.production, forced=forced)
        candidate = aliases.candidate if self._config.candidate_share > 0 else None
        self._follow("candidate", None if candidate == aliases.production else candidate, forced=forced)
        found = [each for each, _ in self._refusals.values()]
        self.refused = found[0] if found else None

    def _follow(self, alias: Alias, wanted: str | None, *, forced: bool) -> None:
        """Have the version that an alias names answer, unless it does already or was refused as it is."""
        before = self._current if alias == "production" else self._candidate
        if before is not None and before.name == wanted:
            self._refusals.pop(alias, None)
            return
        if wanted is None and alias == "candidate":
            self._refusals.pop(alias, None)
            self._take(alias, None, time.perf_counter())
            return
        stamp = _stamp_of_tree(self._repository.root / "versions" / wanted) if wanted else ()
        held = self._refusals.get(alias)
        if not forced and held is not None and held[0].version == (wanted or alias) and held[1] == stamp:
            return
        started = time.perf_counter()
        try:
            found = self._loaded(wanted) or self._load_beside(alias, wanted)
        except Exception as error:  # noqa: BLE001 - no version may stop the one that answers
            self._refuse(alias, wanted or alias, error, stamp)
            self._tell(Swapped(alias, wanted or alias, "refused", time.perf_counter() - started))
            return
        self._refusals.pop(alias, None)
        self._take(alias, found, started)

    def _loaded(self, wanted: str | None) -> LiveVersion | None:
        """The version, where it is loaded: a candidate that was promoted, or one that answered a moment ago."""
        held = (self._current, self._candidate, *(version for _, version in self._retired))
        return next((each for each in held if each is not None and each.name == wanted), None)

    def _load_beside(self, alias: Alias, wanted: str | None) -> LiveVersion:
        # At the start nobody waits for the processor, but everybody for the version.
        pause = no_pause if self._current is None else Pace()
        version = load_version(self._repository, wanted or alias, list(self._recorded), pause)
        self.prepare(version.recommender)
        return version

    def _take(self, alias: Alias, version: LiveVersion | None, started: float) -> None:
        if alias == "production":
            before, self._current = self._current, version
        else:
            before, self._candidate = self._candidate, version
        if before is not None and before is not self._current:
            self._retired.append((time.monotonic() + GRACE_SECONDS, before))
        if version is None:
            if before is not None:
                log.info("no candidate any more; %s answers all sessions", self._current and self._current.name)
            return
        seconds = time.perf_counter() - started
        log.info("version %s is ready as %s after %.1f s", version.name, alias, seconds)
        self._tell(Swapped(alias, version.name, "live", seconds))

    def _refuse(self, alias: Alias, version: str, error: Exception, stamp: Stamp) -> None:
        self._refusals[alias] = Refused.now(version, error), stamp
        self.refused = self._refusals[alias][0]

    def _tell(self, event: Swapped) -> None:
        for hook in self.on_swap:
            hook(event)

    def _release_retired(self) -> None:
        while self._retired and self._retired[0][0] <= time.monotonic():
            _, version = self._retired.popleft()
            if version is not self._current and version is not self._candidate:
                release(version)


def _fulfil(orders: Iterable[Future[None] | None]) -> None:
    for order in orders:
        # Who asked may have gone away.
        if order is not None and order.set_running_or_notify_cancel():
            order.set_result(None)


def _stamp_of(file: Path) -> Stamp:
    """What changes with a file; nothing where there is none."""
    try:
        found = file.lstat()
    except OSError:
        return ()
    return ((file.name, found.st_mtime_ns, found.st_size),)


def _stamp_of_tree(folder: Path) -> Stamp:
    """What changes with any file of a folder."""
    files = (Path(base, name) for base, _, names in os.walk(folder) for name in sorted(names))
    return tuple(facts for file in files for facts in _stamp_of(file))
