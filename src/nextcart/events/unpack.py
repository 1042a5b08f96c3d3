"""Compressed files as plain bytes, and the digest of a file whose compression is whole."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

import pyarrow as pa

from nextcart.errors import UnreadableInput
from nextcart.types import Progress

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Compression = Literal["none", "gzip", "zstd"]

CHUNK_BYTES = 4 * 1024 * 1024
_MAGIC: dict[bytes, str] = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}


@contextmanager
def unpacked(path: Path, file: BinaryIO, compression: Compression) -> Iterator[BinaryIO]:
    """The plain bytes of an open file.

    Raises:
        UnreadableInput: the compressed file ends early or is damaged; seen when the block reads that far.
    """
    try:
        if compression == "gzip":
            with gzip.open(file) as stream:
                yield cast("BinaryIO", stream)
        elif compression == "zstd":
            with io.BufferedReader(pa.CompressedInputStream(file, "zstd"), CHUNK_BYTES) as stream:
                yield cast("BinaryIO", stream)
        else:
            yield file
    except (EOFError, OSError, zlib.error) as error:
        raise UnreadableInput(f"{path}: {_meaning(error)}") from None


def whole_digest(path: Path, file: io.BufferedReader, compression: Compression, progress: Progress) -> tuple[str, int]:
    """SHA-256 and size of a file as it lies on disk; a compressed one is read to its end and checked on the way.

    DuckDB takes what it can get of a zstd file that is cut short or of a gzip file with a wrong checksum.

    Raises:
        UnreadableInput: the compressed file ends early, is damaged or is none, or its name lacks the ending.
    """
    total = file.seek(0, io.SEEK_END)
    file.seek(0)
    if compression == "none":
        start = file.read(4)
        file.seek(0)
        for magic, ending in _MAGIC.items():
            if start.startswith(magic):
                raise UnreadableInput(
                    f"{path}: the file is compressed, its name does not say so; append {ending} to it"
                )
    watched = _Digesting(file, f"check {path.name}", total, progress)
    raw = cast("BinaryIO", io.BufferedReader(watched, CHUNK_BYTES))
    with unpacked(path, raw, compression) as stream:
        while stream.read(CHUNK_BYTES):
            pass
    return watched.digest.hexdigest(), watched.done


class _Digesting(io.RawIOBase):
    """Takes the digest of what is read through it."""

    def __init__(self, file: io.BufferedReader, stage: str, total: int, progress: Progress) -> None:
        self.digest = hashlib.sha256()
        self.done = 0
        self._file, self._stage, self._total, self._progress = file, stage, total, progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)
        count = self._file.readinto(view)
        self.digest.update(view[:count])
        self.done += count
        self._progress(self._stage, self.done, self._total)
        return count


def _meaning(error: Exception) -> str:
    text = str(error)
    if isinstance(error, EOFError) or "Truncated" in text:
        return "the compressed file ends early; copy or export it again"
    return f"it is not the compressed file that its name says, or it is damaged ({text}); copy it again or rename it"
