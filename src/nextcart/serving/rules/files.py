"""The files of a shop's rules: the document in force, and each one that was, replaced whole and under a lock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from nextcart.disk import make_private
from nextcart.repository.artifacts import locked, write_whole
from nextcart.serving.rules.document import Rules, RulesRefused

RULES_FILE, HISTORY = "rules.json", "rules-history"
MAX_BYTES = 256 * 2**20
KEPT = 100
"""Documents in the history, the newest."""
SETTLED_SECONDS = 2.0
"""A file that changed so lately may change again without a new time, size or inode: it is read again."""

Signature = tuple[int, int, int]


class RulesFiles:
    """``rules.json`` and ``rules-history/`` in a state folder, which may be of several processes.

    Attributes:
        file: the document in force.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / RULES_FILE
        self._history = folder / HISTORY

    def signature(self) -> Signature | None:
        """What changes with the document: when it was written, its size and its inode; None where there is none."""
        try:
            facts = self.file.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return facts.st_mtime_ns, facts.st_size, facts.st_ino

    @staticmethod
    def is_settled(signature: Signature | None) -> bool:
        """Whether a document of that signature can be told from any later one."""
        return signature is None or time.time_ns() - signature[0] > SETTLED_SECONDS * 1e9

    def read(self) -> bytes | None:
        """The document as it is now, None where there is none.

        Raises:
            RulesRefused: it is longer than any document that could be taken.
            OSError: it cannot be read.
        """
        try:
            with self.file.open("rb") as stream:
                if os.fstat(stream.fileno()).st_size > MAX_BYTES:
                    raise RulesRefused("", f"larger than {MAX_BYTES >> 20} MiB; leave out what no longer sells")
                return stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock under which documents are written; waits for whoever has it."""
        make_private(self.file.parent)
        with locked(self.file.with_name(f".{RULES_FILE}.lock")):
            yield

    def write(self, rules: Rules) -> bytes:
        """Put a document in the place of the last one; callers hold the lock. Gives back what was written."""
        text = msgspec.json.format(msgspec.json.encode(rules), indent=1).decode() + "\n"
        write_whole(self.file, text)
        return text.encode()

    def keep(self, version: int, data: bytes) -> None:
        """Add a document that was taken to the history, once, and let the oldest go; callers hold the lock."""
        make_private(self._history)
        name, number = f"rules-{version:06}", 1
        file = self._history / f"{name}.json"
        while file.is_file():
            if file.read_bytes() == data:
                # Put back by hand, perhaps: it is the newest again.
                os.utime(file)
                return
            # Edited by hand without a new version: both are worth keeping.
            number += 1
            file = self._history / f"{name}-{number}.json"
        write_whole(file, data.decode())
        for old in self.kept()[:-KEPT]:
            old.unlink(missing_ok=True)

    def kept(self) -> list[Path]:
        """The documents of the history, oldest first."""
        found = [(file.stat().st_mtime_ns, file) for file in self._history.glob("rules-*.json")]
        return [file for _, file in sorted(found)]
