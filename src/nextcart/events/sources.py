"""Raw files: what their names say, whether they can be read, and what DuckDB's errors about them mean."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from nextcart.errors import InputError, RunFailed, UnreadableInput
from nextcart.events.unpack import Compression, whole_digest
from nextcart.types import Progress, no_progress

Format = Literal["jsonl", "csv", "parquet"]

_FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
_DIRECTORY = "this is a directory; name the files in it"
_FULL = (
    "No space left",
    "File too large",
    "Disk quota exceeded",
    "max_temp_directory_size",
    "No usable temporary directory",
)


@dataclass(frozen=True, slots=True)
class RawFile:
    """A readable file of raw events.

    Attributes:
        path: as it was named, for messages.
        at: where to read it; another file where a part of it is enough.
        format: what its name tells.
        compression: of the file at ``at``.
        sha256: of its bytes as they lie on disk.
        bytes: how many they are.
    """

    path: Path
    at: Path
    format: Format
    compression: Compression
    sha256: str
    bytes: int


def open_raw(path: Path, progress: Progress = no_progress) -> RawFile:
    """Look at a raw file, read it once to see that it is whole, and take its digest.

    Raises:
        UnreadableInput: it is missing, a directory, empty, may not be read, is cut short or damaged, or its name tells
            no format.
    """
    if path.is_dir():
        raise UnreadableInput(f"{path}: {_DIRECTORY}")
    kind, compression = format_of(path)
    try:
        with path.open("rb") as file:
            digest, size = whole_digest(path, file, compression, progress)
    except OSError as error:
        raise UnreadableInput(f"{path}: {unreadable(error)}") from None
    if size == 0:
        raise UnreadableInput(f"{path}: the file is empty, it holds no events; export it again")
    return RawFile(path, path, kind, compression, digest, size)


def format_of(path: Path) -> tuple[Format, Compression]:
    """Format and compression that a file's name tells.

    Raises:
        UnreadableInput: the name's ending is none that nextcart reads.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1], "none") if suffixes else "none"
    ending = suffixes[:-1] if compression != "none" else suffixes
    kind = _FORMATS.get(ending[-1]) if ending else None
    if kind is None or (kind == "parquet" and compression != "none"):
        raise UnreadableInput(
            f"{path}: its name tells no format; name it .jsonl (OTTO, one session a line) or .csv or .tsv, "
            "each plain or with .gz or .zst behind it, or .parquet"
        )
    return kind, compression


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what DuckDB says about a raw file into an `UnreadableInput` that names the file.

    Raises:
        UnreadableInput: the file is cut short or is not what its name says.
    """
    try:
        yield
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        if disk_is_full(error):
            raise
        said = str(error).splitlines()[0]
        if "sniffing" in said:
            raise UnreadableInput(
                f"{path}: its CSV form cannot be made out; give each line the same columns, and all lines, the header "
                "too, the same ending (LF or CRLF)"
            ) from None
        raise UnreadableInput(
            f"{path}: cannot be read ({said}); check that it is what its name says, or export it again"
        ) from None


@contextmanager
def writing_to(root: Path) -> Iterator[None]:
    """Turn a full disk or too little memory into a `RunFailed` that says what to free.

    Raises:
        RunFailed: the store's disk is full, its folder may not be written, or DuckDB had too little memory.
        InputError: a part of the store's path is a file.
    """
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        if disk_is_full(error):
            raise RunFailed(_full(root)) from None
        raise RunFailed(
            f"{root}: DuckDB had too little memory; raise ingest.memory_limit_mib; the store is as it was"
        ) from None
    except (duckdb.Error, OSError) as error:
        if disk_is_full(error):
            raise RunFailed(_full(root)) from None
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise RunFailed(f"{root}: cannot be written ({error.strerror}); make the folder writable") from None
        if isinstance(error, FileExistsError | NotADirectoryError):
            raise InputError(f"{root}: the folder cannot be made ({error.strerror}); name another --store") from None
        raise


def disk_is_full(error: Exception) -> bool:
    """Whether an error of Python or DuckDB means that nothing more can be written."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return True
    return any(text in str(error) for text in _FULL)


def _full(root: Path) -> str:
    return (
        f"{root}: the disk is full (or a limit on file size is met); free some space on it, about twice the size of "
        "the unpacked raw files, and run the same command again; the store is as it was"
    )


def unreadable(error: OSError) -> str:
    """Why a raw file cannot be opened, and what to do."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "there is no such file; check the path"
    if isinstance(error, IsADirectoryError):
        return _DIRECTORY
    if isinstance(error, PermissionError):
        return "permission denied; make the file readable for this user"
    return f"cannot be read ({error.strerror}); check the path and the disk"
