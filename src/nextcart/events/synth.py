"""A seeded synthetic shop of clicks, carts and orders, written as OTTO JSONL.

The preset ``otto`` has the published shape of the OTTO dataset at any scale: types, session lengths, the long tail of
items, repeats, days and hours. What is learnable in it is set by `nextcart.events.synth_shop`.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Annotated, Literal, cast

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from nextcart.config import Positive, PositiveReal, Section
from nextcart.errors import InputError, RunFailed
from nextcart.events.synth_shop import Shop, Walk, walk
from nextcart.events.synth_times import event_times, hourly_calendar
from nextcart.types import TYPE_NAMES, IdType, Int64s, Progress, no_progress

Floats = NDArray[np.float64]

START_MS = 1_659_304_800_000
"""2022-07-31T22:00Z, the start of the OTTO dataset: midnight of a Monday in Germany."""
MAX_EVENTS = 500
SESSIONS_PER_CHUNK = 50_000
"""Sessions generated at a time; part of what a seed means, since each chunk has a random stream of its own."""
CATALOGUE_STREAM = 2**32
"""Number of the catalogue's random stream, past those of the chunks."""

LENGTH_MEDIAN, LENGTH_SIGMA = 6.0, 1.46
"""Events of a session: log-normal, rounded, 2 to 500."""


class SynthConfig(Section):
    """What shop to make."""

    preset: Literal["small", "otto"] = "small"
    """``small``: 20,000 sessions of 4,000 items; ``otto``: 12.9 M sessions of 1.86 M items. Both over 28 days."""
    scale: PositiveReal = 1.0
    """Factor on the preset's sessions and items."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """The same settings and seed give the same bytes."""
    days: Positive = 28
    """Days from the first event to the last."""
    ids: IdType = "int64"
    """``string``: sessions are UUIDs and items are SKUs."""

    @property
    def n_sessions(self) -> int:
        """Sessions to write."""
        return max(1, round({"small": 20_000, "otto": 12_899_779}[self.preset] * self.scale))

    @property
    def n_items(self) -> int:
        """Size of the catalogue; a few of its items may never be seen."""
        return max(8, round({"small": 4_000, "otto": 1_855_603}[self.preset] * self.scale))


@dataclass(frozen=True, slots=True)
class SynthSummary:
    """What was written: counts, the time range in Unix milliseconds, and the file."""

    output: str
    bytes: int
    sessions: int
    events: int
    items: int
    clicks: int
    carts: int
    orders: int
    first_ts: int
    last_ts: int

    def as_dict(self) -> dict[str, int | str]:
        """The fields by name, for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Consecutive sessions with their times; `first` is the number of the first one."""

    first: int
    walk: Walk
    ts: Int64s


def generate(config: SynthConfig, output: Path, progress: Progress = no_progress) -> SynthSummary:
    """Write the shop of `config` to `output`; a name ending in ``.gz`` or ``.zst`` is compressed.

    Works through chunks of sessions, so memory does not grow with their number. The file appears when it is whole.

    Raises:
        InputError: `output` is a directory, or cannot be created.
        RunFailed: writing failed, such as on a full disk; an older file of that name is untouched.
    """
    shop = Shop.build(config.n_items, -(-config.days // 7), np.random.default_rng([config.seed, CATALOGUE_STREAM]))
    calendar = hourly_calendar(config.days)
    seen = np.zeros(len(shop), np.bool_)
    by_type = np.zeros(len(TYPE_NAMES), np.int64)
    first_ts, last_ts = np.iinfo(np.int64).max, 0
    with duckdb.connect() as connection, _written_whole(output) as file:
        text = _Text(connection, config, shop)
        for start in range(0, config.n_sessions, SESSIONS_PER_CHUNK):
            chunk = _chunk(config, shop, calendar, start)
            text.write(chunk, file)
            seen[chunk.walk.items] = True
            by_type += np.bincount(chunk.walk.types, minlength=len(TYPE_NAMES))
            first_ts, last_ts = min(first_ts, int(chunk.ts.min())), max(last_ts, int(chunk.ts.max()))
            progress("synth", min(start + SESSIONS_PER_CHUNK, config.n_sessions), config.n_sessions)
    clicks, carts, orders = by_type.tolist()
    return SynthSummary(
        output=str(output),
        bytes=output.stat().st_size,
        sessions=config.n_sessions,
        events=clicks + carts + orders,
        items=int(np.count_nonzero(seen)),
        clicks=clicks,
        carts=carts,
        orders=orders,
        first_ts=first_ts,
        last_ts=last_ts,
    )


def _chunk(config: SynthConfig, shop: Shop, calendar: Floats, start: int) -> _Chunk:
    """Sessions `start` and following, from their own random stream."""
    rng = np.random.default_rng([config.seed, start // SESSIONS_PER_CHUNK])
    n = min(SESSIONS_PER_CHUNK, config.n_sessions - start)
    lengths = _lengths(n, rng)
    # Ascending in time over the whole file, as in OTTO; the early start makes room for the visits that follow.
    begin = 1 - (1 - (start + np.arange(n) + rng.random(n)) / config.n_sessions) ** 0.73
    weeks = np.minimum(np.interp(begin, calendar, np.arange(len(calendar))) // (7 * 24), (config.days - 1) // 7)
    order = np.argsort(-lengths, kind="stable")
    walked = _in_order(walk(shop, lengths[order], weeks[order].astype(np.int64), rng), order)
    return _Chunk(start, walked, START_MS + event_times(walked, begin, calendar, rng))


def _lengths(n: int, rng: np.random.Generator) -> Int64s:
    """Events of `n` sessions; draws past the maximum are drawn again, and the rare rest is cut."""
    lengths = rng.lognormal(np.log(LENGTH_MEDIAN), LENGTH_SIGMA, n)
    long = np.flatnonzero(lengths > MAX_EVENTS)
    lengths[long] = rng.lognormal(np.log(LENGTH_MEDIAN), LENGTH_SIGMA, len(long))
    return np.clip(np.rint(lengths), 2, MAX_EVENTS).astype(np.int64)


def _in_order(walked: Walk, order: Int64s) -> Walk:
    """The walk with session ``i`` put at ``order[i]``."""
    lengths = np.diff(walked.offsets)
    place = np.argsort(order)
    offsets = np.concatenate([[0], np.cumsum(lengths[place])])
    take = np.repeat(walked.offsets[place] - offsets[:-1], lengths[place]) + np.arange(offsets[-1])
    return Walk(offsets, walked.items[take], walked.types[take])


class _Text:
    """Turns chunks into OTTO JSONL, inside DuckDB."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, config: SynthConfig, shop: Shop) -> None:
        self._connection = connection
        self._types = pa.array(TYPE_NAMES)
        self._session = "session"
        self._aids = pa.array(shop.aids)
        connection.execute("SET threads = 1")  # one thread keeps the lines in order at no cost in CPU
        if config.ids == "string":
            self._session = f"CAST(CAST(md5('{config.seed}/' || session) AS UUID) AS VARCHAR)"
            connection.register("aids", pa.table({"aid": self._aids}))
            skus = connection.sql("SELECT printf('SKU-%07d', aid) AS aid FROM aids").to_arrow_table()
            self._aids = skus.column("aid").combine_chunks()

    def write(self, chunk: _Chunk, file: IO[bytes]) -> None:
        """Append the chunk's sessions, a line each."""
        walked = chunk.walk
        aids, types = self._aids.take(pa.array(walked.items)), self._types.take(pa.array(walked.types))
        events = pa.StructArray.from_arrays([aids, pa.array(chunk.ts), types], ["aid", "ts", "type"])
        offsets = pa.array(walked.offsets.astype(np.int32))
        sessions = pa.array(np.arange(chunk.first, chunk.first + len(walked.offsets) - 1))
        table = pa.table({"session": sessions, "events": pa.ListArray.from_arrays(offsets, events)})
        self._connection.register("chunk", table)
        lines = self._connection.sql(
            f"SELECT to_json({{session: {self._session}, events: events}}) || chr(10) AS line FROM chunk"
        ).to_arrow_table()
        for part in lines.column("line").chunks:
            # The values of a string array lie end to end: they are the text as it goes into the file.
            file.write(part.buffers()[2])


@contextmanager
def _written_whole(output: Path) -> Iterator[IO[bytes]]:
    """A file to write into, compressed by the name of `output`, which takes that name when all went well."""
    if output.is_dir():
        raise InputError(f"--output {output}: is a directory; name a file")
    partial = output.with_name(f".{output.name}.partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        raw = partial.open("wb")
    except OSError as error:
        raise InputError(f"--output {output}: cannot be created ({error.strerror}); name another file") from error
    try:
        with raw, _compressed(raw, output.suffix) as file:
            yield file
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(output)
    except OSError as error:
        raise RunFailed(
            f"--output {output}: cannot be written ({error.strerror}); free some space or name another file"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _compressed(raw: IO[bytes], suffix: str) -> Iterator[IO[bytes]]:
    """A stream whose bytes depend on what is written alone: no name and no time in a header."""
    if suffix == ".gz":
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=3, mtime=0) as file:
            yield cast("IO[bytes]", file)
    elif suffix == ".zst":
        with pa.CompressedOutputStream(pa.PythonFile(raw, "w"), "zstd") as file:
            yield file
    else:
        yield raw
