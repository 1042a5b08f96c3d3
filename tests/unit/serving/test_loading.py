from __future__ import annotations

from pathlib import Path

import pytest

from nextcart.errors import ArtifactCorrupt
from nextcart.repository import Repository
from nextcart.serving.schemas import EARLIEST_MS, Event, RecommendRequest
from nextcart.serving.scoring import Scored, score
from nextcart.serving.versions import loading
from nextcart.serving.versions.live import LiveVersion
from nextcart.serving.versions.loading import load_version, release
from tests.published import fit, publish

REQUEST = RecommendRequest([Event(1030, EARLIEST_MS, "clicks")], limit=5, exclude=[1040], allow=[5, 6], model="ranker")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    root = tmp_path_factory.mktemp("models")
    publish(fit("int64", only=("covisitation",)), root)
    return Repository(root)


def resident_bytes(folder: Path) -> int:
    """Memory that this process has of a folder's files."""
    total, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            counts = str(folder) in line
        elif counts and line.startswith("Rss:"):
            total += 1024 * int(line.split()[1])
    return total


def test_a_version_is_verified_touched_and_asked_with_a_pause_between(repository: Repository) -> None:
    pauses: list[int] = []
    version = load_version(repository, None, [REQUEST, REQUEST], lambda: pauses.append(1))
    assert version.name == repository.resolve()
    # At least one for each file that was hashed.
    assert len(pauses) >= len(version.manifest.artifacts)


def test_a_version_that_was_let_go_has_no_memory_and_answers_still(repository: Repository) -> None:
    version = load_version(repository)
    folder = repository.folder(version.name)
    ask = [RecommendRequest(REQUEST.events, limit=5)]
    before = score(version.recommender, ask)[0].aids
    assert resident_bytes(folder) > 0
    release(version)
    assert resident_bytes(folder) == 0
    assert score(version.recommender, ask)[0].aids == before


def test_a_version_that_answers_nothing_or_unknown_items_is_refused(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = load_version(repository)
    for aids, reason in (([], "answers nothing"), ([7], "does not hold")):
        with monkeypatch.context() as patched:
            patched.setattr(loading, "score", lambda *_, aids=aids: [scored(version, aids)])
            with pytest.raises(ArtifactCorrupt, match=reason):
                load_version(repository, None, [REQUEST])


def scored(version: LiveVersion, aids: list[int]) -> Scored:
    rows = version.recommender.vocabulary.rows(aids)
    return Scored(list(aids), [1.0] * len(aids), [1] * len(aids), None, rows)
