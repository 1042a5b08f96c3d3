"""The event store: sorted Parquet files, a manifest that lists them, and DuckDB views over both."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import duckdb
import pyarrow as pa
from pydantic import ValidationError

from nextcart.errors import InputError, StoreError, StoreMissing
from nextcart.events.queries import asked
from nextcart.events.schema import SPLITS, SplitName, StoredFile, StoreManifest
from nextcart.types import Id, IdType

MANIFEST = "manifest.json"
ARRAYS = "arrays"
"""Folder of the training arrays that `models` keeps beside the events, one folder a split."""

BATCH_ROWS = 1_000_000
SQL_TYPES: dict[IdType, str] = {"int64": "BIGINT", "string": "VARCHAR"}


@dataclass(frozen=True, slots=True)
class Store:
    """A store as one manifest shows it; later writes do not change it.

    Attributes:
        root: the store's folder.
        manifest: what it holds.
    """

    root: Path
    manifest: StoreManifest

    @classmethod
    def open(cls, root: Path) -> Store:
        """Open the store in ``root``.

        Raises:
            StoreMissing: there is none.
            StoreError: its manifest cannot be read.
        """
        manifest = read_manifest(root)
        if manifest is None:
            raise StoreMissing(f"{root}: there is no event store; run 'nextcart ingest FILE' first")
        return cls(root, manifest)

    def splits(self) -> tuple[SplitName, ...]:
        """The splits there are, of: train, test, train_split, val_split."""
        return tuple(name for name in SPLITS if name in self.manifest.splits)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A fresh in-memory DuckDB connection with a view for each split (empty where there is none).

        Views: ``events_<split>`` (session, aid, ts, type, position), ``events`` (all of them behind a column split)
        and ``sessions`` of train and test. What does not fit into memory spills to the system's temporary folder.

        Raises:
            StoreError: a file that the manifest lists is not there or cannot be read.
        """
        connection = connect(Path(tempfile.gettempdir()) / f"nextcart-{uuid4().hex}")
        try:
            for name in SPLITS:
                connection.execute(f"create view events_{name} as {self.events_sql(name)}")
        except duckdb.Error as error:
            connection.close()
            raise StoreError(
                f"{self.root}: a file of the store cannot be read ({first_line(error)}); "
                "remove the folder and ingest again"
            ) from None
        for view, sql in views_over_splits().items():
            connection.execute(f"create view {view} as {sql}")
        return connection

    def run(self, name: str, **params: object) -> pa.Table:
        """The answer of the query ``name`` of ``queries.sql``, with its named parameters.

        Raises:
            InputError: there is no such query, a parameter is missing or unknown, or the query reads a kept table.
        """
        sql = asked(name, params).sql
        with self.connect() as connection:
            try:
                return connection.sql(sql, params=params).to_arrow_table()
            except duckdb.CatalogException:
                raise InputError(f"query '{name}' reads a table that an engine keeps; ask it by that engine") from None

    def batches(self, split: str) -> Iterator[pa.RecordBatch]:
        """The events of a split, sorted by (session, ts, position), streamed in batches of at most a million rows.

        Columns: session and aid (int64 or string), ts (int64, Unix milliseconds), type (uint8).

        Raises:
            StoreMissing: there is no such split.
        """
        name = self.require(split)
        order = " order by session, ts, position" if overlapping(self.manifest.splits[name].files) else ""
        with self.connect() as connection:
            relation = connection.sql(f"select session, aid, ts, type from events_{name}{order}")
            yield from relation.to_arrow_reader(BATCH_ROWS)

    def item_counts(self, split: str) -> pa.Table:
        """Columns aid and events (int64) of a split, most events first, ties by the smaller id.

        Raises:
            StoreMissing: there is no such split.
        """
        return self.run("item_counts", split=self.require(split))

    def session_events(self, session: Id) -> pa.Table:
        """Columns aid, ts, type of one session over train and test, in order; no rows where it is not known."""
        if isinstance(session, str) != (self.manifest.session_type == "string"):
            return self.run("session_events", session=None)
        return self.run("session_events", session=session)

    def require(self, split: str) -> SplitName:
        """The split's name, when the store has it.

        Raises:
            StoreMissing: there is no such split.
        """
        for name in self.splits():
            if name == split:
                return name
        if split not in SPLITS:
            raise InputError(f"there is no split '{split}'; the names are {', '.join(SPLITS)}")
        remedy = (
            "run 'nextcart split', then 'nextcart train' again"
            if split.endswith("_split")
            else f"run 'nextcart ingest FILE --split {split}'"
        )
        raise StoreMissing(f"{self.root}: has no split '{split}' (it has {', '.join(self.splits())}); {remedy}")

    def events_sql(self, split: SplitName) -> str:
        """SQL for the events of a split, in their files' order."""
        facts = self.manifest.splits.get(split)
        if facts is None:
            session, aid = SQL_TYPES[self.manifest.session_type], SQL_TYPES[self.manifest.aid_type]
            return (
                f"select null::{session} as session, null::{aid} as aid, null::bigint as ts, null::utinyint as type, "
                "null::bigint as position where false"
            )
        return f"select session, aid, ts, type, position from {parquet(self.root / file.path for file in facts.files)}"


_SESSIONS = """
select '{name}' as split, session, min(ts) as start_ts, max(ts) as end_ts, count(*) as events,
    count(*) filter (where type = 0) as clicks, count(*) filter (where type = 1) as carts,
    count(*) filter (where type = 2) as orders
from events_{name} group by session"""


def views_over_splits() -> dict[str, str]:
    """SQL of the views ``events`` and ``sessions``, which rest on those of the splits."""
    return {
        "events": _union(f"select '{name}' as split, * from events_{name}" for name in SPLITS),
        "sessions": _union(_SESSIONS.format(name=name) for name in SPLITS[:2]),
    }


def read_manifest(root: Path) -> StoreManifest | None:
    """The manifest of the store in ``root``; None where there is no store.

    Raises:
        StoreError: it cannot be read.
    """
    path = root / MANIFEST
    try:
        return StoreManifest.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        what = error.errors()[0]
        where = ".".join(str(part) for part in what["loc"])
        raise StoreError(
            f"{path}: {where}: {what['msg']}; use the nextcart that wrote the store, or remove it and ingest again"
        ) from None
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); make it readable") from None


def connect(spill: Path, threads: int | None = None, memory_limit_mib: int | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB connection that spills to ``spill`` and loads nothing from the network."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "temp_directory": str(spill),
        "autoinstall_known_extensions": False,
        "preserve_insertion_order": True,
        "TimeZone": "UTC",
    }
    if threads is not None:
        config["threads"] = threads
    if memory_limit_mib is not None:
        config["memory_limit"] = f"{memory_limit_mib}MiB"
    return duckdb.connect(config=config)


def literal(value: Path | str) -> str:
    """A text as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def parquet(paths: Iterable[Path]) -> str:
    """SQL that reads Parquet files, their rows in the order of the list."""
    return f"read_parquet([{', '.join(map(literal, paths))}])"


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def first_line(error: Exception) -> str:
    """The first line of what DuckDB says, without the name of the kind of error."""
    return str(error).splitlines()[0].removeprefix("IO Error: ")


def overlapping(files: Iterable[StoredFile]) -> bool:
    """Whether a session may lie in two files, or the files are not in the order of their sessions."""
    return any(not _less(a.last_session, b.first_session) for a, b in pairwise(files))


def _less(a: Id, b: Id) -> bool:
    if isinstance(a, int) and isinstance(b, int):
        return a < b
    # DuckDB compares strings by their bytes, which for UTF-8 is the order of code points.
    return str(a) < str(b)


def _union(parts: Iterable[str]) -> str:
    return " union all ".join(parts)
