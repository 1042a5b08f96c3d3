"""The files of the repository: listed, hashed, made durable and read-only, and checked against their manifest.

What the repository does to the disk stands here, so that another kind of storage has one seam.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nextcart.disk import sync
from nextcart.errors import ArtifactCorrupt
from nextcart.repository.manifest import EVALUATIONS, MANIFEST, Artifact

REMEDY = "run 'nextcart rollback' or train again"

CHUNK_BYTES = 256 * 1024

_WRITE_BITS = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def artifact_paths(folder: Path, remedy: str = REMEDY) -> list[str]:
    """Every file of a version but its manifest and its evaluations, relative, sorted.

    Raises:
        ArtifactCorrupt: something is neither a regular file nor a folder; symbolic links are never followed.
    """
    found, pending = [], [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                path = f"{prefix}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{path}/")
                elif entry.is_file(follow_symlinks=False):
                    found.append(path)
                else:
                    raise ArtifactCorrupt(f"{folder.name}/{path} is a link or no regular file; {remedy}")
    return sorted(path for path in found if path != MANIFEST and not path.startswith(f"{EVALUATIONS}/"))


def no_pause() -> None:
    """Go on at once."""


def sha256_of(file: Path, pause: Callable[[], None] = no_pause) -> str:
    """The file's sha256 as 64 hexadecimal digits, read in chunks, `pause` called after each."""
    digest, chunk = hashlib.sha256(), memoryview(bytearray(CHUNK_BYTES))
    with file.open("rb", buffering=0) as stream:
        while count := stream.readinto(chunk):
            digest.update(chunk[:count])
            pause()
    return digest.hexdigest()


def describe(folder: Path) -> list[Artifact]:
    """Hash and describe every file of a version that is about to be published."""
    return [_artifact(folder / path, path) for path in artifact_paths(folder)]


def _artifact(file: Path, path: str) -> Artifact:
    name, size, sha256 = path.removesuffix(file.suffix), file.stat().st_size, sha256_of(file)
    if file.suffix == ".npy":
        text = _array_text(file)
        return Artifact(name=name, path=path, kind="array", bytes=size, sha256=sha256, description=text)
    if file.suffix == ".json":
        text = f"configuration and facts of {file.parent.name}" if file.name == "model.json" else "facts"
        return Artifact(name=name, path=path, kind="json", bytes=size, sha256=sha256, description=text)
    if file.suffix == ".md":
        text = "for people to read"
        return Artifact(name=name, path=path, kind="text", bytes=size, sha256=sha256, description=text)
    return Artifact(
        name=name, path=path, kind="binary", bytes=size, sha256=sha256, description="the model's own format"
    )


def _array_text(file: Path) -> str:
    # Only the header is read: an empty array cannot be mapped, and a large one need not be read a second time.
    with file.open("rb") as stream:
        try:
            major = np.lib.format.read_magic(stream)[0]
            header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(stream)
        except ValueError as error:
            raise ArtifactCorrupt(f"{file.parent.name}/{file.name} is no array ({error}); train again") from None
    return f"{dtype} array of shape {shape}"


def verify(
    folder: Path, artifacts: Sequence[Artifact], remedy: str = REMEDY, pause: Callable[[], None] = no_pause
) -> None:
    """Check that a version's folder holds the artifacts of its manifest, byte for byte, and nothing else.

    Args:
        folder: the version's.
        artifacts: what its manifest lists.
        remedy: what the error says to do.
        pause: called after each chunk that was read, so that what answers meanwhile has the processor.

    Raises:
        ArtifactCorrupt: names the first file that is missing, differs, is a link, or is not in the manifest.
    """
    try:
        found = set(artifact_paths(folder, remedy))
        for artifact in artifacts:
            if artifact.path not in found:
                raise ArtifactCorrupt(f"{folder.name}/{artifact.path} is missing; {remedy}")
            file = folder / artifact.path
            # The size alone often tells, and costs nothing.
            if file.stat().st_size != artifact.bytes or sha256_of(file, pause) != artifact.sha256:
                raise ArtifactCorrupt(f"{folder.name}/{artifact.path} differs from its manifest; {remedy}")
    except OSError as error:
        raise ArtifactCorrupt(f"{error.filename or folder} cannot be read ({error.strerror}); {remedy}") from None
    unlisted = found - {artifact.path for artifact in artifacts}
    if unlisted:
        raise ArtifactCorrupt(f"{folder.name}/{min(unlisted)} is not in its manifest; {remedy}")


def seal(folder: Path) -> None:
    """Make what the folder holds read-only, the evaluations' folder but not the folder itself apart, and durable."""
    for base, _, names in os.walk(folder, topdown=False):
        here = Path(base)
        for file in (here / name for name in names):
            make_read_only(file)
            sync(file)
        if here not in (folder, folder / EVALUATIONS):
            make_read_only(here)
        sync(here)


def make_read_only(path: Path) -> None:
    """Take away the right to write; who may read stays as the umask of the run had it."""
    path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_WRITE_BITS)


def write_whole(file: Path, content: str | NDArray[np.float32]) -> None:
    """Replace a file so that a reader, or a crash, meets the old text or the new one; callers hold the lock.

    An array is written as ``.npy``.
    """
    # One fixed name beside it: what a killed run left there is overwritten, not gathered.
    beside = file.with_name(f".{file.name}.tmp")
    beside.unlink(missing_ok=True)
    try:
        with beside.open("xb") as stream:
            if isinstance(content, str):
                stream.write(content.encode("utf-8"))
            else:
                np.save(stream, content, allow_pickle=False)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
    sync(file.parent)


def remove_tree(folder: Path) -> None:
    """Remove a staged folder, sealed or not; nothing happens where there is none."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    folder.chmod(stat.S_IRWXU)
    for base, names, _ in os.walk(folder):
        for child in (Path(base, name) for name in names):
            if not child.is_symlink():
                child.chmod(stat.S_IRWXU)
    shutil.rmtree(folder)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock that the system gives back when this process ends, however it ends."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
