import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nextcart.errors import ArtifactCorrupt
from nextcart.repository import Manifest, Repository
from nextcart.repository import artifacts as files


@pytest.fixture
def published(repository: Repository, publish: Callable[[int], Manifest]) -> tuple[Path, Manifest]:
    """A version's folder, writable again, and its manifest."""
    manifest = publish(1)
    folder = repository.folder(manifest.version)
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)
    return folder, manifest


def test_artifacts_are_described(published: tuple[Path, Manifest]) -> None:
    folder, manifest = published
    by_path = {artifact.path: artifact for artifact in manifest.artifacts}
    assert list(by_path) == [
        "covisitation/model.json",
        "covisitation/weights.npy",
        "item2vec/model.json",
        "item2vec/search.index",
        "item2vec/weights.npy",
    ]
    weights = by_path["covisitation/weights.npy"]
    content = (folder / weights.path).read_bytes()
    assert weights.name == "covisitation/weights"
    assert weights.kind == "array"
    assert weights.bytes == len(content)
    assert weights.sha256 == hashlib.sha256(content).hexdigest()
    assert weights.description == "float32 array of shape (6, 4)"
    assert by_path["item2vec/weights.npy"].description == "float32 array of shape (0, 8)"
    assert by_path["item2vec/model.json"].kind == "json"
    assert by_path["item2vec/search.index"].kind == "binary"


def test_an_intact_version_verifies(published: tuple[Path, Manifest]) -> None:
    folder, manifest = published
    (folder / "evaluations" / "next_event-test.json").write_text("{}")
    before = sorted(file for file in folder.rglob("*"))
    files.verify(folder, manifest.artifacts)
    assert sorted(file for file in folder.rglob("*")) == before


def flip(folder: Path) -> None:
    file = folder / "covisitation" / "weights.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def cut(folder: Path) -> None:
    os.truncate(folder / "covisitation" / "weights.npy", 100)


def delete(folder: Path) -> None:
    (folder / "covisitation" / "weights.npy").unlink()


def link(folder: Path) -> None:
    # The very same bytes: it is the link that is refused.
    file = folder / "covisitation" / "weights.npy"
    file.rename(folder.parent / "elsewhere.npy")
    file.symlink_to(folder.parent / "elsewhere.npy")


def link_folder(folder: Path) -> None:
    (folder / "covisitation").rename(folder.parent / "elsewhere")
    (folder / "covisitation").symlink_to(folder.parent / "elsewhere")


def pipe(folder: Path) -> None:
    delete(folder)
    os.mkfifo(folder / "covisitation" / "weights.npy")


def directory(folder: Path) -> None:
    delete(folder)
    (folder / "covisitation" / "weights.npy").mkdir()


def add(folder: Path) -> None:
    np.save(folder / "covisitation" / "extra.npy", np.zeros(1))


def add_model(folder: Path) -> None:
    (folder / "zzz").mkdir()
    (folder / "zzz" / "model.json").write_text("{}")


def link_evaluations(folder: Path) -> None:
    (folder / "evaluations").rmdir()
    (folder / "evaluations").symlink_to("/etc")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip, "covisitation/weights.npy differs from its manifest"),
        (cut, "covisitation/weights.npy differs from its manifest"),
        (delete, "covisitation/weights.npy is missing"),
        (link, "covisitation/weights.npy is a link or no regular file"),
        (link_folder, "covisitation is a link or no regular file"),
        (pipe, "covisitation/weights.npy is a link or no regular file"),
        (directory, "covisitation/weights.npy is missing"),
        (add, "covisitation/extra.npy is not in its manifest"),
        (add_model, "zzz/model.json is not in its manifest"),
        (link_evaluations, "evaluations is a link or no regular file"),
    ],
)
def test_damage_is_found_and_named(
    repository: Repository, published: tuple[Path, Manifest], damage: Callable[[Path], None], message: str
) -> None:
    folder, manifest = published
    damage(folder)
    with pytest.raises(ArtifactCorrupt) as caught:
        repository.folder(manifest.version)
    assert str(caught.value) == f"{manifest.version}/{message}; run 'nextcart rollback' or train again"
    assert repository.folder(manifest.version, verify=False) == folder


def test_a_file_that_cannot_be_read_is_corrupt(
    published: tuple[Path, Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_disk(file: Path, pause: object) -> str:
        raise OSError(5, "Input/output error", str(file))

    folder, manifest = published
    monkeypatch.setattr(files, "sha256_of", broken_disk)
    with pytest.raises(ArtifactCorrupt, match=r"model\.json cannot be read \(Input/output error\); run"):
        files.verify(folder, manifest.artifacts)


def test_an_array_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "item2vec").mkdir()
    (tmp_path / "item2vec" / "vectors.npy").write_bytes(b"not an array")
    with pytest.raises(ArtifactCorrupt, match=r"item2vec/vectors\.npy is no array"):
        files.describe(tmp_path)


def test_writing_whole_keeps_the_old_text_until_the_new_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "aliases.json"
    files.write_whole(file, "old")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_disk)
        with pytest.raises(OSError, match="No space left"):
            files.write_whole(file, "new")
    assert file.read_text() == "old"
    files.write_whole(file, "new")
    assert file.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["aliases.json"]


def test_writing_whole_replaces_the_file_under_a_reader(tmp_path: Path) -> None:
    file = tmp_path / "aliases.json"
    files.write_whole(file, "old")
    with file.open() as reader:
        files.write_whole(file, "new")
        assert reader.read() == "old"


def test_removing_a_tree_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    staged = tmp_path / ".staging-1"
    (staged / "sealed").mkdir(parents=True)
    (staged / "sealed" / "file").write_text("x")
    (staged / "sealed" / "link").symlink_to(outside)
    (staged / "sealed").chmod(0o555)
    linked = tmp_path / ".staging-2"
    linked.symlink_to(outside)
    for folder in (staged, linked, tmp_path / ".staging-3"):
        files.remove_tree(folder)
    assert [entry.name for entry in tmp_path.iterdir()] == ["outside"]
    assert (outside / "kept").exists()
