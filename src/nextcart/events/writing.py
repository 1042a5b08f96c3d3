"""Changing a store: one writer at a time, files beside first, then one rename that commits them all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nextcart.disk import sync
from nextcart.errors import StoreError
from nextcart.events.lock import LOCK, drop_lock, held
from nextcart.events.schema import SCHEMA_VERSION, SPLITS, StoreManifest
from nextcart.events.sources import writing_to
from nextcart.events.store import ARRAYS, MANIFEST, read_manifest

STAGING = "staging"
_DATA_FOLDERS = ("events", "rejects", "erased")


@dataclass(frozen=True, slots=True)
class Writer:
    """The right to change a store, and an empty folder beside its data.

    Attributes:
        root: the store's folder.
        manifest: what the store holds now; None for a store that is yet to be.
        staging: a folder on the store's disk that is removed in the end.
    """

    root: Path
    manifest: StoreManifest | None
    staging: Path

    def place(self, staged: Path, path: str) -> None:
        """Move a finished file from staging to its place, durably; readers see it only after `commit`."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        sync(staged)
        staged.rename(target)
        for folder in (target.parent, target.parent.parent):
            sync(folder)

    def commit(self, manifest: StoreManifest) -> None:
        """Make ``manifest`` the store's, in one rename, and drop the training arrays of splits that are now others."""
        staged = self.staging / MANIFEST
        manifest = manifest.model_copy(update={"schema_version": SCHEMA_VERSION})
        staged.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        sync(staged)
        staged.rename(self.root / MANIFEST)
        sync(self.root)
        before = self.manifest.splits if self.manifest else {}
        for name in SPLITS:
            if before.get(name) != manifest.splits.get(name):
                for folder in (self.root / ARRAYS).glob(f"*{name}-*"):
                    shutil.rmtree(folder, ignore_errors=True)

    def clear(self) -> None:
        """Remove now the files that the last commit dropped, which else stay for those who read them."""
        _clear_data(self.root, read_manifest(self.root))


@contextmanager
def writer(root: Path) -> Iterator[Writer]:
    """Hold the store in ``root`` for writing; what an earlier run left unfinished is removed first.

    Raises:
        StoreError: another process is writing to it; or the folder is no store, and has files under a store's names.
        RunFailed: the folder cannot be written, or its disk is full.
    """
    if root.exists() and not root.is_dir():
        raise StoreError(f"{root}: the store's folder cannot be made, this is a file; name another --store")
    _refuse_others_files(root)
    with writing_to(root), held(root, StoreError, "writing to this store") as made:
        manifest = read_manifest(root)
        _clean(root, manifest)
        staging = root / STAGING
        staging.mkdir()
        try:
            yield Writer(root, manifest, staging)
        except BaseException:
            # Frees the disk at once. After a success, files that the commit dropped stay for those who read them.
            committed = read_manifest(root)
            _clean(root, committed)
            if committed is None:
                for name in _DATA_FOLDERS:
                    shutil.rmtree(root / name, ignore_errors=True)
                drop_lock(root, with_folder=made)
            raise
        shutil.rmtree(staging, ignore_errors=True)


def _refuse_others_files(root: Path) -> None:
    """Cleaning up removes what no manifest lists, which must be the leavings of an ingest and nobody's work."""
    there = [name for name in (*_DATA_FOLDERS, STAGING) if (root / name).exists()]
    if there and not (root / MANIFEST).exists() and not (root / LOCK).exists():
        raise StoreError(
            f"{root}: is no event store, and its '{there[0]}' would be in the way; name another --store, or move it"
        )


def _clean(root: Path, manifest: StoreManifest | None) -> None:
    shutil.rmtree(root / STAGING, ignore_errors=True)
    _clear_data(root, manifest)


def _clear_data(root: Path, manifest: StoreManifest | None) -> None:
    listed = set(_listed(manifest)) if manifest else set()
    for folder in _DATA_FOLDERS:
        for file in (root / folder).rglob("*"):
            if file.is_file() and file.relative_to(root).as_posix() not in listed:
                file.unlink()


def _listed(manifest: StoreManifest) -> Iterator[str]:
    for facts in manifest.splits.values():
        yield from (file.path for file in facts.files)
    yield from (source.rejects_file for source in manifest.sources if source.rejects_file)
    if manifest.erasures:
        yield manifest.erasures.file
