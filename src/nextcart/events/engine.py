"""Who answers the named queries of ``queries.sql``: DuckDB here, or Spark (see `spark_engine`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal, Protocol

import duckdb
import pyarrow as pa

from nextcart.config import SparkConfig
from nextcart.events.merge import STORED_AS
from nextcart.events.progress import watched
from nextcart.events.queries import asked
from nextcart.events.store import BATCH_ROWS, Store, literal
from nextcart.types import Progress

EngineName = Literal["local", "spark"]
ENGINES: tuple[EngineName, ...] = ("local", "spark")
"""``local`` is this machine: DuckDB for queries, the kernels for counting pairs."""


class Engine(Protocol):
    """Answers named queries over the views of `Store.connect`; ends with the context that opened it."""

    def run(self, name: str, **params: object) -> pa.Table:
        """The answer of a query, with its named parameters."""
        ...

    def batches(self, name: str, **params: object) -> Iterator[pa.RecordBatch]:
        """The same in batches, for an answer that need not be in memory at once."""
        ...

    def keep(self, table: str, name: str, **params: object) -> None:
        """Keep the answer of a query as a table, which later queries may name."""
        ...

    def write(self, target: Path, progress: Progress, stage: str, name: str, **params: object) -> int:
        """Write events as a file of the store, in the order of the query's answer; the number of events."""
        ...


EngineOpener = Callable[[Store], AbstractContextManager[Engine]]
"""Opens an engine over a store."""


class DuckdbEngine:
    """DuckDB on a connection that has the store's views."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def run(self, name: str, **params: object) -> pa.Table:
        """See `Engine.run`."""
        return self._connection.sql(asked(name, params).sql, params=params).to_arrow_table()

    def batches(self, name: str, **params: object) -> Iterator[pa.RecordBatch]:
        """See `Engine.batches`."""
        yield from self._connection.sql(asked(name, params).sql, params=params).to_arrow_reader(BATCH_ROWS)

    def keep(self, table: str, name: str, **params: object) -> None:
        """See `Engine.keep`."""
        self._connection.execute(f"create temp table {table} as {asked(name, params).sql}", params)

    def write(self, target: Path, progress: Progress, stage: str, name: str, **params: object) -> int:
        """See `Engine.write`."""
        statement = f"copy ({asked(name, params).sql}) to {literal(target)} {STORED_AS}"
        with watched(self._connection, progress, stage, 100):
            return int(self._connection.execute(statement, params).fetchall()[0][0])


@contextmanager
def duckdb_engine(store: Store) -> Iterator[DuckdbEngine]:
    """DuckDB over a store, for as long as the context lasts."""
    with store.connect() as connection:
        yield DuckdbEngine(connection)


def opener(name: str, config: SparkConfig) -> EngineOpener | None:
    """What opens the engine of that name; None for ``local``, which each step opens as it needs it."""
    if name != "spark":
        return None
    # PySpark and SQLGlot are an extra, and Spark takes seconds to start: nobody else is to pay for it.
    from nextcart.events.spark_engine import spark_engine

    return lambda store: spark_engine(store, config)
