"""Sessions of an OTTO JSONL file, a chunk at a time, for batch requests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from nextcart.errors import InputError, UnreadableInput
from nextcart.events.rejects import REMEDIES, SECONDS_FROM, SECONDS_TO
from nextcart.events.schema import Session
from nextcart.events.sources import format_of, unreadable
from nextcart.events.unpack import unpacked

CHUNK_SESSIONS = 4096
_FORM = (
    'mend or remove the line; a session is {"session": 12, "events": [{"aid": 345, "ts": 1659304800025, '
    '"type": "clicks"}]}'
)


def read_sessions(path: Path) -> Iterator[list[Session]]:
    """The sessions of an OTTO JSONL file (plain, .gz or .zst), in file order, in lists of at most 4096.

    Blank lines are skipped; a byte order mark and CRLF are taken.

    Raises:
        UnreadableInput: the file cannot be read, or its name tells another format.
        InputError: a line is not a session, or its times are in seconds; the message names file and line.
    """
    decoder = msgspec.json.Decoder(Session)
    chunk: list[Session] = []
    with _lines(path) as lines:
        for number, line in enumerate(lines, 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.isspace():
                continue
            chunk.append(_session(decoder, line, path, number))
            if len(chunk) == CHUNK_SESSIONS:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


def _session(decoder: msgspec.json.Decoder[Session], line: bytes, path: Path, number: int) -> Session:
    try:
        session = decoder.decode(line)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}:{number}: not a session ({error}); {_FORM}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}:{number}: not valid JSON ({error}); {_FORM}") from None
    for place, event in enumerate(session.events):
        if SECONDS_FROM <= event.ts <= SECONDS_TO:
            raise InputError(
                f"{path}:{number}: events[{place}].ts is in seconds ({event.ts}), milliseconds are due; "
                f"{REMEDIES['timestamp_in_seconds']}"
            )
    return session


@contextmanager
def _lines(path: Path) -> Iterator[BinaryIO]:
    try:
        kind, compression = format_of(path)
    except UnreadableInput:
        kind, compression = None, "none"
    if kind != "jsonl":
        raise UnreadableInput(f"{path}: sessions are read from OTTO JSONL; name a .jsonl, .jsonl.gz or .jsonl.zst file")
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnreadableInput(f"{path}: {unreadable(error)}") from None
    with file, unpacked(path, file, compression) as lines:
        yield lines
