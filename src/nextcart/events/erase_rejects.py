"""Rejected records that name an erased session, out of the kept rejects.

Of a rejected record a store keeps the start of its text. Records of CSV and Parquet and whole lines of JSONL have their
session in it, unless it lies past the 200th character. A single event that was rejected out of a line of JSONL stands
there without its session: it can be told to be nobody's, and stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nextcart.types import Id

_WORD = re.compile(r"\w+")


class Rejects:
    """Finds texts that name one of many sessions, each in the time of reading it.

    Args:
        sessions: ids in the store's type.
    """

    def __init__(self, sessions: Sequence[Id]) -> None:
        # As the file has them: a text in JSON may be escaped.
        names = {form for session in sessions for form in (str(session), json.dumps(str(session))[1:-1])}
        self._by_word: dict[str, list[str]] = {}
        for name in names:
            word = _WORD.search(name)
            self._by_word.setdefault(word[0] if word else "", []).append(name)

    def named_in(self, text: str | None) -> bool:
        """Whether the text names a session: its first word stands there as a word, and all of it as it is."""
        if text is None:
            return False
        words = {"", *_WORD.findall(text)}
        return any(name in text for word in words for name in self._by_word.get(word, ()))

    def copy_without(self, path: Path, target: Path) -> int:
        """Write the rejects that name no session to ``target``, where there are any; how many do name one.

        Where none does, nothing is written.
        """
        total = found = 0
        with pq.ParquetFile(path) as file:
            masks = []
            for number in range(file.num_row_groups):
                raw = file.read_row_group(number, ["raw"]).column("raw").to_pylist()
                masks.append(pa.array([not self.named_in(text) for text in raw], pa.bool_()))
                total, found = total + len(raw), found + len(raw) - (masks[-1].true_count if len(raw) else 0)
            if not found or found == total:
                return found
            with pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as written:
                for number, mask in enumerate(masks):
                    written.write_table(file.read_row_group(number).filter(mask))
        return found
