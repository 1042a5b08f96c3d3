"""The version that answers, the candidate that answers a share of the sessions, and what was refused."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from zlib import crc32

from nextcart.errors import NextcartError, VersionMissing
from nextcart.models.recommender import Recommender
from nextcart.repository.manifest import Manifest
from nextcart.serving.problems import not_ready
from nextcart.serving.schemas import RecommendRequest
from nextcart.types import Id

log = logging.getLogger(__name__)

LOADING = "the model is being loaded; ask again in a moment"
FAILED = "the model could not be loaded; the server's log says why"
RECORDED = 64
"""So many requests are kept to probe a new version with, and one of so many is kept."""

_GOLDEN = 0x9E3779B1
_MASK = 2**32 - 1


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class LiveVersion:
    """A version that is ready to answer: what it is and what scores."""

    manifest: Manifest
    recommender: Recommender

    @property
    def name(self) -> str:
        """The version's id."""
        return self.manifest.version


@dataclass(frozen=True, slots=True)
class Refused:
    """A version that was to answer and does not.

    Attributes:
        version: its id, or the alias where not even that is known.
        reason: why, and what to do.
        since: when it was refused.
    """

    version: str
    reason: str
    since: datetime

    @classmethod
    def now(cls, version: str, error: Exception) -> Refused:
        """A version refused for an error, which is logged too: once, and with its traceback where it is a bug."""
        if isinstance(error, (NextcartError, OSError, MemoryError)):
            log.error("%s cannot be served: %s", version, str(error) or type(error).__name__)
        else:
            log.error("%s cannot be served", version, exc_info=error)
        # What the system says may hold paths that are nobody's business outside the log.
        return cls(version, str(error) if isinstance(error, NextcartError) else FAILED, datetime.now(UTC))


def no_version() -> LiveVersion:
    """Where none was given to load."""
    raise VersionMissing("no version to serve: run 'nextcart train', then 'nextcart promote'")


class LiveModel:
    """Holds the version that answers, and why there is none yet; this one loads a version once and keeps it.

    A request takes `current`, or `pick`, once and keeps it to its end, so that an answer is never of two versions.

    Args:
        load: gives a version that is warm; runs in a background thread.
        candidate_share: the share of sessions that a candidate answers, where there is one.

    Attributes:
        prepare: called with the recommender of each version before it answers, in the background thread.
    """

    def __init__(self, load: Callable[[], LiveVersion] = no_version, candidate_share: float = 0.0) -> None:
        self._load = load
        self._below = round(candidate_share * 2**32)
        self._current: LiveVersion | None = None
        self._candidate: LiveVersion | None = None
        self._recorded: deque[RecommendRequest] = deque(maxlen=RECORDED)
        self._asked = 0
        self._tried = threading.Event()
        self._thread: threading.Thread | None = None
        self.refused: Refused | None = None
        self.prepare: Callable[[Recommender], None] = lambda _: None

    @property
    def current(self) -> LiveVersion:
        """The version that answers.

        Raises:
            Problem: 503, there is none; the detail says why.
        """
        current = self._current
        if current is None:
            raise not_ready(LOADING if self.refused is None else self.refused.reason)
        return current

    @property
    def candidate(self) -> LiveVersion | None:
        """The version that answers a share of the sessions; None where there is none."""
        return self._candidate

    def pick(self, session_id: Id | None) -> LiveVersion:
        """The version that answers this session: always the same for one id, in every worker and on every host.

        Raises:
            Problem: 503, there is none; the detail says why.
        """
        candidate = self._candidate
        if candidate is None or session_id is None or place(session_id) >= self._below:
            return self.current
        return candidate

    def record(self, request: RecommendRequest) -> None:
        """Keep one of many requests; a new version has to answer them before it is taken."""
        if self._asked % RECORDED == 0:
            self._recorded.append(request)
        self._asked += 1

    def start(self) -> None:
        """Begin to load in the background; the second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="load-model", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Change nothing from now on; what answers stays."""

    def look_now(self) -> None:
        """Have it looked now whether another version is to answer, one that was refused included; returns at once."""

    async def reload(self) -> None:
        """The same, and wait until that version answers or is refused."""

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it was tried to load, well or not; whether there is a version that answers."""
        self._tried.wait(seconds)
        return self._current is not None

    @property
    def tried(self) -> bool:
        """Whether it was tried to load, well or not."""
        return self._tried.is_set()

    def _run(self) -> None:
        try:
            loaded = self._load()
            self.prepare(loaded.recommender)
            self._current = loaded
            log.info("version %s is ready", loaded.name)
        except Exception as error:  # noqa: BLE001 - whatever it is, readiness must not say "loading" for ever
            self.refused = Refused.now("the version", error)
        finally:
            self._tried.set()


def place(session_id: Id) -> int:
    """Where a session lies among all, from 0 below 2**32, evenly; 12 and "12" are two sessions."""
    text = b"i%d" % session_id if isinstance(session_id, int) else b"s" + session_id.encode("utf-8", "surrogatepass")
    # The checksum of like texts is alike in its upper bits; the multiplication mixes the lower ones in.
    return (crc32(text) * _GOLDEN & _MASK) ^ (crc32(text, 1) >> 16)
