"""The version that answers: loaded and warmed in a thread of its own, then swapped in whole."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from nextcart.errors import NextcartError
from nextcart.models.recommender import Recommender
from nextcart.repository.manifest import Manifest
from nextcart.repository.repository import Repository
from nextcart.serving.problems import not_ready
from nextcart.serving.schemas import EARLIEST_MS, Event, RecommendRequest
from nextcart.serving.scoring import score
from nextcart.types import UNKNOWN

log = logging.getLogger(__name__)

LOADING = "the model is being loaded; ask again in a moment"
FAILED = "the model could not be loaded; the server's log says why"


@dataclass(frozen=True, slots=True)
class LiveVersion:
    """A version that is ready to answer: what it is and what scores."""

    manifest: Manifest
    recommender: Recommender

    @property
    def name(self) -> str:
        """The version's id."""
        return self.manifest.version


class LiveModel:
    """Holds the version that answers, and why there is none yet.

    A request takes `current` once and keeps it to its end, so that an answer is never of two versions.

    Args:
        load: gives a version that is warm; runs in a background thread, once.
    """

    def __init__(self, load: Callable[[], LiveVersion]) -> None:
        self._load = load
        self._current: LiveVersion | None = None
        self._reason = LOADING
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> LiveVersion:
        """The version that answers.

        Raises:
            Problem: 503, there is none; the detail says why.
        """
        current = self._current
        if current is None:
            raise not_ready(self._reason)
        return current

    def start(self) -> None:
        """Begin to load in the background; the second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="load-model", daemon=True)
            self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until loading has ended, well or not; whether there is a version that answers."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._current is not None

    def _run(self) -> None:
        reason = FAILED
        try:
            self._current = version = self._load()
            log.info("version %s is ready", version.name)
        except (NextcartError, OSError, MemoryError) as error:
            reason = str(error) if isinstance(error, NextcartError) else FAILED
            log.error("no version is served: %s", str(error) or type(error).__name__)  # noqa: TRY400 - one line; it names the remedy
        finally:
            # Anything else is a bug: its traceback goes to the log, and readiness must not say "loading" for ever.
            self._reason = reason


def load_version(repository: Repository, name: str | None = None) -> LiveVersion:
    """Load and warm a version: checksums, arrays mapped and touched, kernels compiled.

    Args:
        repository: where the versions are.
        name: an id, alias or unique prefix; None is production.

    Raises:
        RepositoryError: there is no such version, or a file of it differs from its manifest.
    """
    version = repository.resolve(name)
    recommender = Recommender.load(repository.folder(version))
    recommender.warm()
    _probe(recommender)
    return LiveVersion(repository.manifest(version), recommender)


def _probe(recommender: Recommender) -> None:
    """Answer a request as HTTP brings it: translating its ids is no part of what `Recommender.warm` asks."""
    best_row = recommender.top_sellers(1).items
    best = recommender.vocabulary.ids(best_row[best_row != UNKNOWN])
    events = [Event(aid, EARLIEST_MS, "clicks") for aid in best]
    score(recommender, [RecommendRequest(events, exclude=best, allow=best, limit=1)])
