"""Which items of a version were shown at all: one byte an item, mapped by all workers, so that it is exact.

A byte is only ever set to 1: workers that write at once cannot disturb each other, and there is nothing to merge. At
1.86 million items a version takes 5.6 MB, in which a page that holds no shown item takes none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nextcart.types import TYPE_NAMES, Int32s, UInt8s

FOLD = 64
"""So many lists are marked at once: one numpy call for all, which is six times cheaper than one for each."""

PREFIX = "shown-"


class ShownItems:
    """Marks what was shown.

    Args:
        folder: where the workers' files are; None keeps the marks in memory, for one process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._marks: dict[str, UInt8s] = {}
        self._waiting: dict[tuple[str, str], list[Int32s]] = {}

    def open(self, version: str, n_items: int) -> None:
        """Begin to mark, or go on marking, a version of `n_items` items."""
        if version in self._marks:
            return
        # The last cell takes the padding of short lists: row -1.
        shape = (len(TYPE_NAMES), n_items + 1)
        if self._folder is None:
            self._marks[version] = np.zeros(shape, np.uint8)
        else:
            path = self._folder / f"{PREFIX}{version}"
            with path.open("ab") as file:
                file.truncate(shape[0] * shape[1])
            self._marks[version] = np.memmap(path, np.uint8, "r+", shape=shape)
        self._waiting.update({(version, objective): [] for objective in TYPE_NAMES})

    def mark(self, version: str, objective: str, rows: Int32s) -> None:
        """`rows`, dense item rows of any shape, were shown; they are kept by reference for a while, so leave them be.

        A version that is not open is not marked.
        """
        waiting = self._waiting.get((version, objective))
        if waiting is None:
            return
        waiting.append(rows)
        if len(waiting) >= FOLD:
            self._fold(version, objective, waiting)

    def fold(self) -> None:
        """Mark all that waits."""
        for (version, objective), waiting in self._waiting.items():
            if waiting:
                self._fold(version, objective, waiting)

    def counts(self) -> Iterator[tuple[str, int, dict[str, int]]]:
        """Each version, its number of items, and how many of them were shown by objective, by any worker."""
        for version in sorted(self.versions()):
            marks = self._marks.get(version)
            if marks is None:
                marks = self._of_others(version)
            if marks.shape[1] == 0:
                continue
            # Of booleans, because numpy counts those forty times faster than bytes.
            shown = [int(np.count_nonzero(row)) for row in marks[:, :-1].view(np.bool_)]
            yield version, marks.shape[1] - 1, dict(zip(TYPE_NAMES, shown, strict=True))

    def versions(self) -> set[str]:
        """The versions that are marked in any worker."""
        if self._folder is None:
            return set(self._marks)
        return {path.name.removeprefix(PREFIX) for path in self._folder.glob(f"{PREFIX}*")}

    def close(self, version: str) -> None:
        """Forget a version that is gone."""
        self._marks.pop(version, None)
        for objective in TYPE_NAMES:
            self._waiting.pop((version, objective), None)
        if self._folder is not None:
            (self._folder / f"{PREFIX}{version}").unlink(missing_ok=True)

    def _of_others(self, version: str) -> UInt8s:
        """Marks of a version that this worker has not had; none where it goes, or comes, at this moment."""
        try:
            marks = np.fromfile(f"{self._folder}/{PREFIX}{version}", np.uint8)
        except FileNotFoundError:
            marks = np.empty(0, np.uint8)
        return marks.reshape(len(TYPE_NAMES), -1)

    def _fold(self, version: str, objective: str, waiting: list[Int32s]) -> None:
        rows = np.concatenate(waiting, axis=None)
        waiting.clear()
        self._marks[version][TYPE_NAMES.index(objective), rows] = 1
