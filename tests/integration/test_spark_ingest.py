"""A store made with ``--engine spark`` is the one made without it: rows, rejects, counts and fingerprint."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from nextcart.cli.main import app
from nextcart.config import IngestConfig, SparkConfig
from nextcart.errors import InputError, RunFailed, TooManyRejects
from nextcart.events import spark_ingest
from nextcart.events.ingest import ingest
from nextcart.events.schema import StoreManifest
from nextcart.events.spark_engine import spark_engine
from nextcart.events.store import Store, overlapping, read_manifest
from nextcart.events.synth import SynthConfig, generate
from tests.running import shared

SPARK = SparkConfig(
    memory_mib=1024,
    conf={
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
        # So that a small file has many blocks, and lines that lie over the end of one.
        "spark.sql.files.maxPartitionBytes": "40000",
    },
)
EMPTY = Store(
    Path("nowhere"),
    StoreManifest(session_type="int64", aid_type="int64", fingerprint="", next_position=0, sources=(), splits={}),
)
LENIENT = IngestConfig(max_reject_share=1.0)
GOOD = (
    '{"session":%s,"events":[{"aid":5,"ts":1661724000278,"type":"clicks"},{"aid":6,"ts":1661724000278,"type":"carts"}]}'
)
ODD = (
    '{"session":9,"events":[{"aid":5.0,"ts":1661724000278,"type":"clicks"},{"aid":7,"ts":1661724000279,"type":"carts"}]}',
    '{"session":9,"events":[]}',
    "no json",
    "   ",
    '{"events":[]}',
    '{"session":null,"events":[{"aid":1,"ts":1661724000278,"type":"clicks"}]}',
    '{"session":8,"events":[{"aid":-1,"ts":1661724000278,"type":"clicks"},null,{"ts":1}]}',
    '{"session":8,"events":[{"aid":1,"ts":1661724000,"type":"clicks"},{"aid":1,"ts":9661724000278,"type":"clicks"}]}',
    '{"session":8,"events":[{"aid":1,"ts":1661724000278,"type":"views"},{"aid":1,"ts":0,"type":"orders"}]}',
    '{ "session" : 7, "events":[ {"type":"orders","ts":1661724000278,"aid":1} ], "more": 1 }',
    "{'session':6,'events':[{'aid':1,'ts':1661724000278,'type':'clicks'}]}",
    '{"session":6,"session":5,"events":[{"aid":1,"ts":1661724000278,"type":"clicks"}]}',
    '{"session":true,"events":[{"aid":[1],"ts":1661724000278,"type":"clicks"}]}',
    '{"session":"11","events":[{"aid":"\\u0035","ts":1661724000278,"type":"clicks"}]}',
    '{"session":99999999999999999999,"events":[{"aid":5,"ts":1661724000278,"type":"clicks"}]} tail',
    '{"session":3,"events":[{"aid":5,"ts":1661724000278,"type":"clicks"}]} tail',
    '{"session":"' + "é" * 65 + '","events":[{"aid":"ü, : ","ts":1661724000278,"type":"clicks"}]}',
)


@pytest.fixture(scope="module", autouse=True)
def _running() -> Iterator[None]:
    """Spark starts once; each ingest joins it."""
    with spark_engine(EMPTY, SPARK):
        yield


def odd_lines(folder: Path, *more: bytes) -> Path:
    """Good lines, some of them again, between odd ones; the last without an end."""
    lines = []
    for number in range(300):
        lines += [GOOD % (number % 280), ODD[number % len(ODD)] if number % 3 else ""]
    path = folder / "odd.jsonl"
    path.write_bytes("\n".join(lines).encode() + b"".join(b"\n" + each for each in more))
    return path


def both(folder: Path, runs: Sequence[tuple[Sequence[Path], dict[str, Any]]]) -> Store:
    """Ingest the same files by both engines, one run after the other, and compare the stores."""
    for files, options in runs:
        local, spark = (
            ingest(files, folder / name, config=LENIENT, spark=config, **options).as_dict() | {"store": ""}
            for name, config in (("local", None), ("spark", SPARK))
        )
        assert {**spark, "show_rejects": None} == {**local, "show_rejects": None}
    wanted, found = Store.open(folder / "local"), Store.open(folder / "spark")
    assert found.manifest.sources == wanted.manifest.sources
    assert found.manifest.fingerprint == wanted.manifest.fingerprint
    assert found.manifest.next_position == wanted.manifest.next_position
    for name in wanted.splits():
        tables = [
            [rows(store.root / file.path) for file in store.manifest.splits[name].files] for store in (wanted, found)
        ]
        assert tables[1] == tables[0]
    for source in wanted.manifest.sources:
        if source.rejects_file:
            assert pq.read_table(found.root / source.rejects_file) == pq.read_table(wanted.root / source.rejects_file)
    return found


def rows(path: Path) -> pa.Table:
    """A file's events; of Parquet without nulls DuckDB says so in the store's file, Spark does not."""
    table = pq.read_table(path)
    return table.cast(pa.schema([(field.name, field.type) for field in table.schema]))


@pytest.mark.parametrize("name", ["google_merch", "bol_serenade"])
def test_real_logs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, odd = spark_ingest._texts, list[int]()

    def seen(lines: pa.Table) -> pa.Table | None:
        odd.append(len(lines))
        return texts(lines)

    monkeypatch.setattr(spark_ingest, "_texts", seen)
    store = both(tmp_path, [([shared(f"{name}.jsonl.gz")], {})])
    assert store.manifest.splits["train"].events > 10_000
    assert odd == [0], "Spark itself is to read the lines of such a log"


@pytest.mark.parametrize("ids", ["int64", "string"])
def test_a_shop_in_several_runs(ids: Any, tmp_path: Path) -> None:
    """Two files at once, one that the store has in part, and one for another split."""
    paths = [tmp_path / name for name in ("a.jsonl", "b.jsonl.zst", "c.jsonl", "d.parquet")]
    for seed, path in enumerate(paths[:2]):
        generate(SynthConfig(preset="small", scale=0.02, seed=seed, days=7, ids=ids), path)
    paths[2].write_bytes(b"\r\n".join(paths[0].read_bytes().splitlines()[::2]) + b"\r\n")
    generate(SynthConfig(preset="small", scale=0.02, seed=1, days=7, ids=ids), paths[3])
    store = both(tmp_path, [(paths[:2], {}), (paths[2:3], {}), (paths[3:], {"split": "test"})])
    again = store.manifest.sources[2]
    assert (again.events, again.duplicates > 100) == (0, True)


@pytest.mark.parametrize("ids", ["int64", "string"])
@pytest.mark.parametrize("more", [(), (b"\xff\xfe bad", b'{"session":1}')], ids=["text", "not all text"])
def test_bad_lines(ids: Any, more: tuple[bytes, ...], tmp_path: Path) -> None:
    store = both(tmp_path, [([odd_lines(tmp_path, *more)], {"ids": ids, "types": {"views": "clicks"}})])
    (source,) = store.manifest.sources
    assert len(source.rejects) >= 5
    assert source.duplicates > 0
    assert source.empty_sessions > 0


def test_parts_are_cut_between_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_ingest, "EVENTS_PER_PART", 301)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(GOOD % number for number in range(1000)).encode()))
    ingest([path], tmp_path / "store", spark=SPARK)
    files = Store.open(tmp_path / "store").manifest.splits["train"].files
    assert sum(file.events for file in files) == 2000
    assert not overlapping(files)
    assert len(files) == 2


def test_a_store_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = odd_lines(tmp_path)
    with pytest.raises(TooManyRejects, match=r"odd.jsonl: .* rejected"):
        ingest([path], tmp_path / "store", spark=SPARK)
    assert read_manifest(tmp_path / "store") is None
    monkeypatch.setattr(spark_ingest, "spark_path", lambda place: f"file:///nowhere{place}")
    with pytest.raises(RunFailed, match=r"Spark: \[PATH_NOT_FOUND\]"):
        ingest([path], tmp_path / "store", spark=SPARK)
    assert read_manifest(tmp_path / "store") is None


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text(GOOD % 1)
    command = ["ingest", "a.jsonl", "--store", "store", "--json", "--engine"]
    done = CliRunner().invoke(app, [*command, "spark"])
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["events"] == 2
    refused = CliRunner().invoke(app, [*command, "flink"])
    assert isinstance(refused.exception, InputError)
    assert "--engine: 'flink' is none of local, spark" in str(refused.exception)
