"""Loading a version beside the one that answers, and letting an old one go, without a request that waits for it.

Large files are read, mapped and touched chunk by chunk with a short sleep after each; hashing and touching give up the
interpreter's lock. A map is emptied in pieces before it is closed, since closing a full one holds up every thread.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextcart.errors import ArtifactCorrupt
from nextcart.models.recommender import Recommender
from nextcart.models.vocabulary import Vocabulary
from nextcart.models.warming import PAGE_BYTES
from nextcart.repository.artifacts import CHUNK_BYTES, REMEDY, no_pause
from nextcart.repository.repository import Repository
from nextcart.serving.schemas import EARLIEST_MS, Event, RecommendRequest
from nextcart.serving.scoring import score
from nextcart.serving.versions.live import LiveVersion
from nextcart.types import UNKNOWN

LONGEST_PAUSE_SECONDS = 0.05


class Pace:
    """Called after each piece of work, sleeps twice as long as it took: longer where others want the processor too."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def __call__(self) -> None:
        """Leave the processor to what answers."""
        time.sleep(min(2 * (time.perf_counter() - self._since), LONGEST_PAUSE_SECONDS))
        self._since = time.perf_counter()


def load_version(
    repository: Repository,
    name: str | None = None,
    recorded: Iterable[RecommendRequest] = (),
    pause: Callable[[], None] = no_pause,
) -> LiveVersion:
    """Load and warm a version: checksums, arrays mapped and touched, kernels compiled, requests answered.

    Args:
        repository: where the versions are.
        name: an id, alias or unique prefix; None is production.
        recorded: requests that it has to answer.
        pause: called after each chunk that was read; a `Pace` where requests are answered meanwhile.

    Raises:
        RepositoryError: there is no such version, a file of it differs from its manifest, or it cannot answer.
    """
    version = repository.resolve(name)
    recommender = Recommender.load(repository.folder(version, pause=pause))
    for array in _arrays(recommender):
        touched = array.view(np.uint8).reshape(-1)
        for start in range(0, len(touched), CHUNK_BYTES):
            touched[start : start + CHUNK_BYTES : PAGE_BYTES].max()
            pause()
    recommender.warm()
    live = LiveVersion(repository.manifest(version), recommender)
    for request in (_usual_request(recommender), *recorded):
        _probe(live, request)
        pause()
    return live


def release(version: LiveVersion) -> None:
    """Give a version's memory back in pieces. It still answers, slower, should anybody hold it."""
    pause = Pace()
    for array in _arrays(version.recommender):
        held = _map_of(array)
        if held is not None:
            for start in range(0, len(held), CHUNK_BYTES):
                held.madvise(mmap.MADV_DONTNEED, start, min(CHUNK_BYTES, len(held) - start))
                pause()


def _arrays(recommender: Recommender) -> Iterator[NDArray[Any]]:
    for part in (recommender.vocabulary, *recommender.models.values()):
        yield from part.arrays().values()


def _map_of(array: NDArray[Any]) -> mmap.mmap | None:
    """The map of a file that the array lies over."""
    held: Any = array
    while held is not None and not isinstance(held, mmap.mmap):
        held = getattr(held, "base", None)
    return held


def _usual_request(recommender: Recommender) -> RecommendRequest:
    """What HTTP brings: translating ids is no part of what `Recommender.warm` asks."""
    best_row = recommender.top_sellers(1).items
    best = recommender.vocabulary.ids(best_row[best_row != UNKNOWN])
    return RecommendRequest([Event(aid, EARLIEST_MS, "clicks") for aid in best], exclude=best, allow=best, limit=1)


def _probe(version: LiveVersion, request: RecommendRequest) -> None:
    """Answer as the server would, then without what the shop had left out, when there must be an answer.

    Raises:
        ArtifactCorrupt: there is none, or it holds items that the catalogue does not know.
    """
    recommender = version.recommender
    model = request.model if request.model in recommender.models else None
    plain = RecommendRequest(
        request.events, limit=request.limit, objective=request.objective, mode=request.mode, model=model
    )
    score(recommender, [request if model == request.model else plain])
    aids = score(recommender, [plain])[0].aids
    vocabulary: Vocabulary = recommender.vocabulary
    if not aids and len(request.events) < len(vocabulary):
        raise ArtifactCorrupt(f"{version.name}: answers nothing to a recorded request; {REMEDY}")
    if (vocabulary.rows(aids) == UNKNOWN).any():
        raise ArtifactCorrupt(f"{version.name}: answers with items that its catalogue does not hold; {REMEDY}")
