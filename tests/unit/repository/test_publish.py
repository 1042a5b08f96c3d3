import os
import re
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nextcart.errors import ArtifactCorrupt, RepositoryError, RunFailed, VersionMissing
from nextcart.repository import Manifest, Repository, VersionDraft
from nextcart.repository import artifacts as files
from nextcart.repository import repository as module

Write = Callable[[Path], None]


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The time that every publication sees."""
    now = datetime(2026, 11, 24, 2, 15, 59, 900_000, tzinfo=UTC)

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return now

    monkeypatch.setattr(module, "datetime", Clock)
    return now


def test_a_repository_that_does_not_exist_is_empty_and_stays_so(repository: Repository) -> None:
    assert repository.versions() == []
    assert repository.broken() == []
    assert repository.aliases().model_dump() == {"production": None, "previous": None, "candidate": None}
    for ask in (repository.resolve, repository.promote, repository.rollback, lambda: repository.resolve("latest")):
        with pytest.raises(VersionMissing, match="no version yet: run 'nextcart train' first"):
            ask()
    assert not repository.root.exists()


def test_a_published_version_is_listed_verified_and_candidate(
    repository: Repository, publish: Callable[[int], Manifest]
) -> None:
    manifest = publish(1)
    assert repository.versions() == [manifest]
    assert repository.manifest(manifest.version) == manifest
    assert repository.aliases().candidate == manifest.version
    assert repository.aliases().production is None
    folder = repository.folder(manifest.version)
    assert folder == repository.root / "versions" / manifest.version
    assert sorted(entry.name for entry in folder.iterdir()) == [
        "covisitation",
        "evaluations",
        "item2vec",
        "manifest.json",
    ]
    assert not list(repository.root.glob(".staging-*"))


def test_a_version_is_read_only_but_for_its_evaluations(
    repository: Repository, publish: Callable[[int], Manifest]
) -> None:
    folder = repository.folder(publish(1).version)
    paths = {folder, *folder.rglob("*")} - {folder / "evaluations"}
    assert {path.name for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o222} == set()
    assert (folder / "evaluations").stat().st_mode & 0o200
    # Others may read what the umask lets them: a server often runs as another user.
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((folder / "manifest.json").stat().st_mode) == 0o444 & ~umask
    assert stat.S_IMODE((folder / "covisitation").stat().st_mode) == 0o555 & ~umask


def test_all_is_on_disk_before_the_version_is_there(
    repository: Repository, publish: Callable[[int], Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    missed: list[str] = []
    fsync, rename = os.fsync, os.rename

    def recording_sync(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def checking_rename(source: Path, target: Path) -> None:
        missed.extend(path.name for path in (source, *source.rglob("*")) if path.stat().st_ino not in synced)
        rename(source, target)

    monkeypatch.setattr(os, "fsync", recording_sync)
    monkeypatch.setattr(os, "rename", checking_rename)
    publish(1)
    assert missed == []
    folders = (repository.root, repository.root / "versions", repository.root / "aliases.json")
    assert {path.stat().st_ino for path in folders} <= synced


def test_the_id_is_time_and_content(
    repository: Repository, publish: Callable[[int], Manifest], stopped_clock: datetime
) -> None:
    first, other = publish(1), publish(2)
    assert re.fullmatch(r"20261124T021559Z-[0-9a-f]{8}", first.version)
    assert first.version[:16] == other.version[:16]
    assert first.version != other.version
    assert first.created_at == stopped_clock


def test_the_same_content_in_the_same_second_takes_the_next_free_one(
    publish: Callable[[int], Manifest], stopped_clock: datetime
) -> None:
    ids = [publish(1).version for _ in range(3)]
    digest = ids[0][-8:]
    assert ids == [f"20261124T02{time}Z-{digest}" for time in ("1559", "1600", "1601")]


def test_config_and_data_are_part_of_the_content(
    repository: Repository, draft: VersionDraft, models: Callable[[int], Write], stopped_clock: datetime
) -> None:
    data = draft.data.model_copy(update={"fingerprint": "0" * 64})
    drafts = [draft, draft.model_copy(update={"config": {}}), draft.model_copy(update={"data": data})]
    assert len({repository.publish(models(1), each).version[-8:] for each in drafts}) == 3


def test_versions_come_oldest_first_whatever_their_ids(
    repository: Repository, publish: Callable[[int], Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = datetime(2026, 11, 24, tzinfo=UTC)
    times = iter(start + timedelta(milliseconds=number) for number in range(10))

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return next(times)

    monkeypatch.setattr(module, "datetime", Clock)
    ids = [publish(seed).version for seed in range(6)]
    assert ids != sorted(ids)
    assert [manifest.version for manifest in repository.versions()] == ids
    assert repository.resolve("latest") == ids[-1]


def test_a_write_that_fails_leaves_nothing(repository: Repository, draft: VersionDraft) -> None:
    def write(folder: Path) -> None:
        (folder / "covisitation").mkdir()
        (folder / "covisitation" / "model.json").write_text("{}")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        repository.publish(write, draft)
    assert repository.versions() == []
    assert repository.aliases().candidate is None
    assert not list(repository.root.glob(".staging-*"))


@pytest.mark.parametrize("step", ["sync", "make_read_only", "describe"])
def test_a_full_disk_at_any_step_leaves_nothing_and_says_so(
    repository: Repository, publish: Callable[[int], Manifest], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full_disk(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, step, full_disk)
        with pytest.raises(RunFailed, match=r"cannot be written \(No space left on device\); free space"):
            publish(1)
    assert repository.versions() == []
    assert not list(repository.root.glob(".staging-*"))
    assert publish(1).version == repository.aliases().candidate


def test_a_link_among_the_models_is_not_published(
    repository: Repository, draft: VersionDraft, models: Callable[[int], Write]
) -> None:
    def write(folder: Path) -> None:
        models(1)(folder)
        (folder / "covisitation" / "passwd").symlink_to("/etc/passwd")

    with pytest.raises(ArtifactCorrupt, match="covisitation/passwd is a link"):
        repository.publish(write, draft)
    assert repository.versions() == []


def test_leftovers_of_killed_runs_are_removed(repository: Repository, publish: Callable[[int], Manifest]) -> None:
    leftover = repository.root / ".staging-dead" / "covisitation"
    leftover.mkdir(parents=True)
    (leftover / "weights.npy").write_bytes(b"half")
    leftover.chmod(0o555)
    (repository.root / ".aliases.json.tmp").write_text('{"prod')
    publish(1)
    assert sorted(entry.name for entry in repository.root.iterdir()) == [
        ".aliases.lock",
        ".publish.lock",
        "aliases.json",
        "versions",
    ]


def test_a_second_publisher_waits_and_keeps_the_first_ones_staging(
    repository: Repository, draft: VersionDraft, models: Callable[[int], Write]
) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(folder: Path) -> None:
        inside.set()
        assert go_on.wait(10)
        models(1)(folder)

    first = threading.Thread(target=repository.publish, args=(slow, draft))
    second = threading.Thread(target=repository.publish, args=(models(2), draft))
    first.start()
    assert inside.wait(10)
    second.start()
    second.join(0.05)
    assert second.is_alive()
    go_on.set()
    first.join(10)
    second.join(10)
    assert len(repository.versions()) == 2


def test_promotion_does_not_wait_for_a_publication(
    repository: Repository, draft: VersionDraft, models: Callable[[int], Write], publish: Callable[[int], Manifest]
) -> None:
    version = publish(1).version

    def write(folder: Path) -> None:
        assert repository.promote(version).production == version
        models(2)(folder)

    repository.publish(write, draft)
    assert repository.aliases().production == version


@pytest.mark.parametrize("text", ["", "{", '{"version": "x"}'])
def test_an_unreadable_version_does_not_hide_the_others(
    repository: Repository, publish: Callable[[int], Manifest], text: str
) -> None:
    good, bad = publish(1).version, publish(2).version
    manifest = repository.folder(bad) / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(text)
    (repository.root / "versions" / "notes.txt").write_text("x")
    (repository.root / "versions" / ".DS_Store").write_text("x")
    (repository.root / "versions" / "20260101T000000Z-00000000").symlink_to(good)
    assert [each.version for each in repository.versions()] == [good]
    reasons = dict(repository.broken())
    assert list(reasons) == ["20260101T000000Z-00000000", bad, "notes.txt"]
    assert "manifest.json" in reasons[bad]
    assert "is a link" in reasons["20260101T000000Z-00000000"]
    assert repository.resolve("latest") == good


def test_where_no_version_is_readable_latest_says_so(
    repository: Repository, publish: Callable[[int], Manifest]
) -> None:
    folder = repository.folder(publish(1).version)
    folder.chmod(0o755)
    (folder / "manifest.json").unlink()
    with pytest.raises(VersionMissing, match=r"no readable version in .*: run 'nextcart train' again"):
        repository.resolve("latest")


def test_listing_hashes_nothing(
    repository: Repository, publish: Callable[[int], Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {publish(seed).version for seed in range(3)}

    def forbidden(file: Path) -> str:
        raise AssertionError(f"{file} was hashed")

    monkeypatch.setattr(files, "sha256_of", forbidden)
    assert {manifest.version for manifest in repository.versions()} == ids


@pytest.mark.parametrize("version", ["../../etc", "/etc", "", ".", "20260101T000000Z-00000000", "latest"])
def test_only_a_whole_id_opens_a_folder(
    repository: Repository, publish: Callable[[int], Manifest], version: str
) -> None:
    publish(1)
    for ask in (repository.folder, repository.manifest, repository.evaluations):
        with pytest.raises(VersionMissing, match="'nextcart models' lists what there is"):
            ask(version)


def test_a_root_that_is_a_file_is_one_error(
    tmp_path: Path, draft: VersionDraft, models: Callable[[int], Write]
) -> None:
    (tmp_path / "models").write_text("x")
    repository = Repository(tmp_path / "models")
    with pytest.raises(RepositoryError, match="models: cannot be read"):
        repository.versions()
    with pytest.raises(RunFailed, match="models: cannot be written"):
        repository.publish(models(1), draft)
