"""The segments of a folder: their names, their order, and their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from nextcart.events.unpack import unpacked

OPEN, PLAIN, PACKED = ".open", ".jsonl", ".jsonl.zst"
"""Endings of the active segment, of a closed one, and of a compressed one. `ingest` reads the last two."""
CHUNK_BYTES = 4 * 1024 * 1024

_NAME = re.compile(r"([a-z]+)-(\d{8}T\d{6}Z)-(\d{6,})(\.open|\.jsonl|\.jsonl\.zst)")
_STAMP = "%Y%m%dT%H%M%SZ"


class Segment(NamedTuple):
    """One segment, by its name; segments sort as they were written, whatever the clock said.

    Attributes:
        number: counts up, from 1.
        stamp: when it was begun, UTC, as in ``20261124T021500Z``.
        prefix: of what it is a log.
        ending: `OPEN`, `PLAIN` or `PACKED`.
        folder: where it lies.
    """

    number: int
    stamp: str
    prefix: str
    ending: str
    folder: Path

    @classmethod
    def begun(cls, folder: Path, prefix: str, number: int) -> Segment:
        """The segment that begins now."""
        return cls(number, datetime.now(UTC).strftime(_STAMP), prefix, OPEN, folder)

    @property
    def stem(self) -> str:
        """Its name without the ending: the same for as long as it is there."""
        return f"{self.prefix}-{self.stamp}-{self.number:06d}"

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / f"{self.stem}{self.ending}"

    @property
    def begun_at(self) -> float:
        """Unix seconds when it was begun."""
        return datetime.strptime(self.stamp, _STAMP).replace(tzinfo=UTC).timestamp()

    @property
    def written_ns(self) -> int:
        """Unix nanoseconds of its last line, or shortly after."""
        return self.path.stat().st_mtime_ns

    def ended(self, ending: str) -> Segment:
        """The same segment in another form."""
        return self._replace(ending=ending)


def segments(folder: Path) -> list[Segment]:
    """All segments of a folder, oldest first; both forms of one that was being compressed when its process died."""
    try:
        names = [entry.name for entry in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = (_NAME.fullmatch(name) for name in names)
    return sorted(Segment(int(match[3]), match[2], match[1], match[4], folder) for match in found if match)


def closed(folder: Path) -> list[Segment]:
    """The closed segments of a folder, oldest first, each once."""
    # Of two forms the compressed one sorts last, and is whole.
    return list({segment.stem: segment for segment in segments(folder) if segment.ending != OPEN}.values())


def closed_segments(folder: Path) -> list[Path]:
    """The files of the closed segments, oldest first: what `ingest` may read."""
    return [segment.path for segment in closed(folder)]


def read(segment: Segment) -> Iterator[bytes]:
    """The lines of a closed segment, many at a time; each part ends with a newline.

    Raises:
        OSError: it cannot be read.
        UnreadableInput: it is compressed, and damaged.
    """
    with (
        _opened(segment) as (name, file),
        unpacked(name.path, file, "zstd" if name.ending == PACKED else "none") as data,
    ):
        while chunk := data.read(CHUNK_BYTES) + data.readline():
            yield chunk


@contextmanager
def _opened(segment: Segment) -> Iterator[tuple[Segment, BinaryIO]]:
    """The segment in the form that it has now: another process may compress it at any moment."""
    try:
        file = segment.path.open("rb")
    except FileNotFoundError:
        segment = segment.ended(PACKED)
        file = segment.path.open("rb")
    with file:
        yield segment, file
