"""Changing a store: one writer at a time, files beside first, then one rename that commits them all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nextcart.errors import StoreError
from nextcart.events.schema import SPLITS, StoreManifest
from nextcart.events.sources import writing_to
from nextcart.events.store import ARRAYS, MANIFEST, read_manifest

LOCK, STAGING = ".lock", "staging"
_DATA_FOLDERS = ("events", "rejects")


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
        _sync(staged)
        staged.rename(target)
        for folder in (target.parent, target.parent.parent):
            _sync(folder)

    def commit(self, manifest: StoreManifest) -> None:
        """Make ``manifest`` the store's, in one rename, and drop the training arrays of splits that are now others."""
        staged = self.staging / MANIFEST
        staged.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
        _sync(staged)
        staged.rename(self.root / MANIFEST)
        _sync(self.root)
        before = self.manifest.splits if self.manifest else {}
        for name in SPLITS:
            if before.get(name) != manifest.splits.get(name):
                for folder in (self.root / ARRAYS).glob(f"*{name}-*"):
                    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def writer(root: Path) -> Iterator[Writer]:
    """Hold the store in ``root`` for writing; what an earlier run left unfinished is removed first.

    Raises:
        StoreError: another process is writing to it.
        RunFailed: the folder cannot be written, or its disk is full.
    """
    if root.exists() and not root.is_dir():
        raise StoreError(f"{root}: the store's folder cannot be made, this is a file; name another --store")
    made = not root.exists()
    with writing_to(root):
        root.mkdir(parents=True, exist_ok=True)
        with _lock(root):
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
                if made and committed is None:
                    shutil.rmtree(root, ignore_errors=True)
                raise
            shutil.rmtree(staging, ignore_errors=True)


@contextmanager
def _lock(root: Path) -> Iterator[None]:
    # The kernel gives a flock back when its process ends, however it ends.
    with (root / LOCK).open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"{root}: another nextcart process is writing to this store; wait until it has finished"
            ) from None
        yield


def _clean(root: Path, manifest: StoreManifest | None) -> None:
    shutil.rmtree(root / STAGING, ignore_errors=True)
    listed = set(_listed(manifest)) if manifest else set()
    for folder in _DATA_FOLDERS:
        for file in (root / folder).rglob("*"):
            if file.is_file() and file.relative_to(root).as_posix() not in listed:
                file.unlink()


def _listed(manifest: StoreManifest) -> Iterator[str]:
    for facts in manifest.splits.values():
        yield from (file.path for file in facts.files)
    yield from (source.rejects_file for source in manifest.sources if source.rejects_file)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
