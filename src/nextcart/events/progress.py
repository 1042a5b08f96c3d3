"""Progress of a running DuckDB statement, polled from a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from nextcart.types import Progress, no_progress

POLL_SECONDS = 0.25


@contextmanager
def watched(connection: duckdb.DuckDBPyConnection, progress: Progress, stage: str, total: int) -> Iterator[None]:
    """Report how far the statement in the ``with`` block is, as a part of ``total``."""
    if progress is no_progress:
        yield
        return
    connection.execute("set enable_progress_bar = true")
    connection.execute("set enable_progress_bar_print = false")
    ended = threading.Event()

    def poll() -> None:
        furthest = 0
        while not ended.wait(POLL_SECONDS):
            done = min(int(connection.query_progress() / 100 * total), total)
            if done > furthest:
                furthest = done
                progress(stage, done, total)

    thread = threading.Thread(target=poll, name="progress", daemon=True)
    progress(stage, 0, total)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    progress(stage, total, total)
