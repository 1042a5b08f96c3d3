"""One process at a time in a folder: the system's lock decides, a line in the lock file says who holds it."""

from __future__ import annotations

import fcntl
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from nextcart.errors import NextcartError

LOCK = ".lock"
PATIENCE_SECONDS = 2.0
"""How long a holder that has not said who it is yet is waited for; clearing up takes a moment, too."""
_POLL_SECONDS = 0.02
_MAX_COMMAND = 200
_MAX_LINE_BYTES = 4096


class Holder(msgspec.Struct, frozen=True):
    """A process as it names itself.

    Attributes:
        pid: its id on its host.
        host: the host's name.
        command: what was typed, as far as 200 characters go.
        since: when it took the lock, or began, UTC.
    """

    pid: int
    host: str
    command: str
    since: datetime

    @classmethod
    def here(cls) -> Holder:
        """This process, now."""
        return cls(os.getpid(), socket.gethostname(), _command(), datetime.now(UTC).replace(microsecond=0))

    def __str__(self) -> str:
        since = f"{self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        return f"'{_plain(self.command)}' (process {self.pid} on host {_plain(self.host)}, since {since})"

    def may_be_alive(self) -> bool:
        """False where the process is known to be gone; of another host nothing is known."""
        if self.host != socket.gethostname():
            return True
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            return True
        except (ProcessLookupError, OverflowError):
            return False
        return self.pid > 0


@contextmanager
def held(folder: Path, refusal: type[NextcartError], doing: str) -> Iterator[bool]:
    """Hold a folder, which is made where there is none; yields whether it was made.

    The lock is the system's, so it ends with the process, however that ends. The line about the holder only informs:
    one that a dead process left is never shown as the holder.

    Args:
        folder: what one process at a time may change.
        refusal: what is raised where another holds it.
        doing: what the holder does, for the message, as in "writing to this store".

    Raises:
        refusal: another process holds the folder; names process, command, host and since when.
        OSError: the folder or the lock cannot be made.
    """
    made, until = False, time.monotonic() + PATIENCE_SECONDS
    while True:
        made = _make(folder) or made
        taken = _take(folder)
        if isinstance(taken, int):
            break
        if taken is not None or time.monotonic() > until:
            raise refusal(
                f"{folder}: another nextcart process is {doing}: {taken or 'it has not said which'}; "
                "wait until it has finished, or end it"
            )
        time.sleep(_POLL_SECONDS)
    try:
        _write(taken)
        yield made
    finally:
        with suppress(OSError):
            os.ftruncate(taken, 0)
        os.close(taken)


@contextmanager
def held_if_free(folder: Path) -> Iterator[bool]:
    """Hold a folder that is there, to clear it away; yields False where another process has it.

    Says nothing about the holder: who meets this lock waits the moment that it takes, and is not refused.
    """
    taken = _take(folder)
    try:
        yield isinstance(taken, int)
    finally:
        if isinstance(taken, int):
            os.close(taken)


def drop_lock(folder: Path, *, with_folder: bool) -> None:
    """Remove the lock of a folder that this process holds, and the folder where nothing else is in it.

    The last thing that a holder does: whoever opened the file before sees that it is gone, and takes a new one.
    """
    (folder / LOCK).unlink(missing_ok=True)
    if with_folder:
        with suppress(OSError):
            folder.rmdir()


def _make(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if folder.is_file() or (folder.is_symlink() and not folder.is_dir()):
            raise
        # A folder; or it was one, and the holder that had made it has just removed it.
        return False
    return True


def _take(folder: Path) -> int | Holder | None:
    """The descriptor that holds the lock, else who holds it; None where neither is to be said yet."""
    file = folder / LOCK
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except FileNotFoundError:
        # A holder that failed has just removed the folder that it had made.
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _read(descriptor)
        os.close(descriptor)
        return holder
    if _has_name(descriptor, file):
        return descriptor
    # The last holder has removed the file since it was opened; the next process would lock another one.
    os.close(descriptor)
    return None


def _has_name(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        return False


def _write(descriptor: int) -> None:
    # On a full disk the lock is as good without its line.
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(Holder.here()) + b"\n", 0)


def _read(descriptor: int) -> Holder | None:
    """Who holds a lock; None where the line is not there yet, not whole, or of a process that is gone."""
    line, end, _ = os.pread(descriptor, _MAX_LINE_BYTES, 0).partition(b"\n")
    try:
        holder = msgspec.json.decode(line, type=Holder)
    except msgspec.DecodeError:
        return None
    return holder if end and holder.may_be_alive() else None


def _command() -> str:
    """What was typed: ``nextcart ingest events.jsonl``, without the program's path."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    return _plain(shlex.join([name or "python", *sys.argv[1:]]))


def _plain(text: str) -> str:
    """One line, and not a long one: it goes into messages."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:_MAX_COMMAND]
