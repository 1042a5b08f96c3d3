"""What is written down of erasures: ids that wait for the event store, and receipts that name nobody."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from nextcart.disk import FOR_ITS_OWNER, sync
from nextcart.events.digests import digest, new_salt
from nextcart.serving.erasing.receipts import Receipt
from nextcart.serving.event_log.locks import FileLock


class _Kept(msgspec.Struct):
    """A receipt with what tells its sessions to who knows their ids."""

    receipt: Receipt
    digests: list[str]


class ErasureRecords:
    """The folder ``erasures`` of the service's state, shared by all its processes and by ``nextcart erase``.

    ``pending.jsonl``, a JSON text a line: ids that are still to be taken out of the event store, for the owner's eyes
    alone. ``receipts.jsonl``: receipts with salted digests of the ids.

    Args:
        state: the service's folder; made with the first record.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state / "erasures"
        self._pending = self._folder / "pending.jsonl"

    def add_pending(self, sessions: Sequence[str]) -> None:
        """Write down ids that wait; they are on disk when this returns.

        Raises:
            OSError: the disk is full, or the folder may not be written.
        """
        with self._held():
            _append(self._pending, b"".join(msgspec.json.encode(session) + b"\n" for session in sessions))

    def pending(self) -> list[str]:
        """The ids that wait, each once, in the order they came."""
        try:
            lines = self._pending.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        found: dict[str, None] = {}
        for line in lines:
            # What is no JSON was cut short by a crash, and was never acknowledged.
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                found[msgspec.json.decode(line, type=str)] = None
        return list(found)

    def clear(self, done: Collection[str]) -> None:
        """Strike out ids that wait no more; those that came meanwhile stay.

        Raises:
            OSError: the disk is full, or the folder may not be written.
        """
        if not self._pending.exists():
            return
        with self._held():
            left = [session for session in self.pending() if session not in done]
            beside = self._pending.with_suffix(".tmp")
            beside.unlink(missing_ok=True)
            _append(beside, b"".join(msgspec.json.encode(session) + b"\n" for session in left))
            beside.rename(self._pending)
            sync(self._folder)

    def keep(self, receipt: Receipt, sessions: Sequence[str]) -> None:
        """Write a receipt down.

        Raises:
            OSError: the disk is full, or the folder may not be written.
        """
        with self._held():
            salt = self._salt()
            kept = _Kept(receipt, [digest(salt, session) for session in sessions])
            _append(self._folder / "receipts.jsonl", msgspec.json.encode(kept) + b"\n")

    def _salt(self) -> str:
        file = self._folder / "salt"
        with suppress(FileNotFoundError):
            if salt := file.read_text("ascii"):
                return salt
        salt = new_salt()
        _append(file, salt.encode())
        return salt

    @contextmanager
    def _held(self) -> Iterator[None]:
        lock = FileLock(self._folder / ".lock")
        try:
            with lock.held():
                yield
        finally:
            lock.close()


def _append(file: Path, data: bytes) -> None:
    """Append to a file that only its owner reads, durably; a line that a crash cut short is ended first."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FOR_ITS_OWNER)
    with os.fdopen(descriptor, "rb+", buffering=0) as raw:
        size = raw.seek(0, os.SEEK_END)
        is_cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        rest = memoryview(b"\n" + data if is_cut else data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    if not size:
        sync(file.parent)
