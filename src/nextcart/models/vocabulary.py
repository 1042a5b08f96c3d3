"""Item ids to dense rows and back. Inside the models only rows exist; this is the edge."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from nextcart.config import Section
from nextcart.kernels.lookup import bytes_table, find_bytes, find_ints, int_table, pad_texts
from nextcart.models.model import frozen, load_model, save_model
from nextcart.types import UNKNOWN, Id, IdType, Int32s, Int64s, UInt8s

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "vocabulary"
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Vocabulary:
    """The catalogue. Rows are given by popularity: row 0 has most training events, ties go to the smaller id.

    Hence "the more popular item first, then the smaller id" is the same as "the smaller row first".

    Attributes:
        id_type: whether the shop's ids are int64 or strings.
        counts: int64, shape (n_items,), training events of each row, never ascending.
    """

    def __init__(self, id_type: IdType, ids: NDArray[Any], counts: Int64s, slots: Int32s | None = None) -> None:
        """Ids by row: int64 of shape (n,), or for strings NUL-padded UTF-8 as uint8 of shape (n, width)."""
        self.id_type: IdType = id_type
        self.counts = frozen(counts)
        self._ids = frozen(ids)
        if slots is None:
            slots = int_table(self._ids) if id_type == "int64" else bytes_table(self._ids)
        self._slots = frozen(slots)

    @classmethod
    def from_counts(cls, id_type: IdType, table: pa.Table) -> Vocabulary:
        """Build from a table of ``aid`` and ``events``, most events first, then by id."""
        counts = table.column("events").to_numpy().astype(np.int64)
        aids = table.column("aid").combine_chunks()
        ids = aids.to_numpy() if id_type == "int64" else padded_texts(aids)
        return cls(id_type, ids, counts)

    def __len__(self) -> int:
        return len(self.counts)

    def rows(self, ids: Sequence[Id]) -> Int32s:
        """The row of each id; `UNKNOWN` where the catalogue lacks it, or the id has the other type."""
        if not len(ids):
            return np.empty(0, np.int32)
        if self.id_type == "int64":
            wanted = np.asarray(ids)
            if wanted.dtype != np.int64:
                return self._rows_of_mixed(ids)
            return find_ints(self._slots, self._ids, wanted)
        # A lone surrogate is no text of UTF-8, hence of no item; it must not stop the others.
        texts = [value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b"" for value in ids]
        width = self._ids.shape[1]
        # An empty text or one with a NUL inside is no id: ingest lets neither in. One longer than all ids is unknown.
        matrix = np.array([b"" if b"\0" in text or len(text) > width else text for text in texts], f"S{width}")
        return find_bytes(self._slots, self._ids, matrix.view(np.uint8).reshape(-1, width))

    def rows_of_arrow(self, aids: pa.Array) -> Int32s:
        """The row of each id of an Arrow column, int64 or string, without a Python object an event."""
        import pyarrow as pa

        if pa.types.is_integer(aids.type) != (self.id_type == "int64"):
            return np.full(len(aids), UNKNOWN, np.int32)
        if self.id_type == "int64":
            return find_ints(self._slots, self._ids, aids.to_numpy(zero_copy_only=False))
        encoded = aids.dictionary_encode()
        rows = find_bytes(self._slots, self._ids, padded_texts(encoded.dictionary))
        found: Int32s = rows[encoded.indices.to_numpy(zero_copy_only=False)]
        return found

    def ids(self, rows: Int32s) -> list[Id]:
        """The ids of rows that the catalogue holds, in the shop's own form."""
        if self.id_type == "int64":
            return cast(list[Id], self._ids.take(rows).tolist())
        width = self._ids.shape[1]
        texts = np.ascontiguousarray(self._ids[rows]).view(f"S{width}").ravel().tolist()
        return [text.decode() for text in texts]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which they are saved."""
        return {"ids": self._ids, "counts": self.counts, "slots": self._slots}

    def save(self, folder: Path) -> None:
        """Write the vocabulary into an existing empty folder."""
        save_model(folder, KIND, Section(), self.arrays(), {"id_type": self.id_type})

    @classmethod
    def load(cls, folder: Path) -> Vocabulary:
        """Read a saved vocabulary, memory-mapped."""
        _, facts, arrays = load_model(folder, KIND)
        return cls(facts["id_type"], arrays["ids"], arrays["counts"], arrays["slots"])

    def _rows_of_mixed(self, ids: Sequence[Id]) -> Int32s:
        """For the rare list that holds strings or integers past int64."""
        rows = np.full(len(ids), UNKNOWN, np.int32)
        fits = [i for i, value in enumerate(ids) if isinstance(value, int) and INT64_MIN <= value <= INT64_MAX]
        rows[fits] = find_ints(self._slots, self._ids, np.array([ids[i] for i in fits], np.int64))
        return rows


def padded_texts(texts: pa.Array) -> UInt8s:
    """An Arrow string array as NUL-padded UTF-8, shape (n, longest)."""
    import pyarrow as pa

    plain = texts.cast(pa.large_string())
    _, offsets_buffer, data_buffer = plain.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[plain.offset : plain.offset + len(plain) + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.empty(0, np.uint8)
    width = max(1, int(np.diff(offsets).max(initial=0)))
    return pad_texts(offsets, data, width)
