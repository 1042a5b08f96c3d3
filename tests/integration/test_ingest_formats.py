"""Long CSV and Parquet, with other names of columns and types."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from nextcart.errors import InputError, TooManyRejects
from nextcart.events.ingest import ingest
from nextcart.events.store import Store
from tests.raw_files import START, stored, write

COLUMNS = {"session": "visitorid", "aid": "itemid", "ts": "timestamp", "type": "event"}
NAMES = {"view": "clicks", "addtocart": "carts", "transaction": "orders"}
HEAD = "timestamp,visitorid,event,itemid,transactionid"
RETAIL = [HEAD, f"{START + 5},7,view,355,", f"{START},7,addtocart,248,", f"{START + 9},3,transaction,355,12"]
RETAIL_ROWS = [(3, 355, START + 9, 2), (7, 248, START, 1), (7, 355, START + 5, 0)]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_csv_with_mapping(tmp_path: Path, name: str, end: bytes) -> None:
    ingest([write(tmp_path / name, RETAIL, end)], tmp_path / "store", columns=COLUMNS, types=NAMES)
    assert stored(tmp_path / "store") == RETAIL_ROWS


@pytest.mark.parametrize(("name", "delimiter"), [("a.tsv", "\t"), ("a.csv", ";"), ("a.csv", "|"), ("a.csv", "\t")])
def test_other_delimiters(tmp_path: Path, name: str, delimiter: str) -> None:
    lines = [text.replace(",", delimiter) for text in RETAIL]
    ingest([write(tmp_path / name, lines)], tmp_path / "store", columns=COLUMNS, types=NAMES)
    assert stored(tmp_path / "store") == RETAIL_ROWS


@pytest.mark.parametrize("name", ["a.tsv", "a.TSV", "a.tsv.gz"])
def test_a_tsv_file_is_split_at_tabs_alone(tmp_path: Path, name: str) -> None:
    lines = ["session,x\taid,x\tts,x\ttype,x", *(f"a,b\tc,d\t{START + n}\tclicks" for n in range(3))]
    columns = {field: f"{field},x" for field in COLUMNS}
    ingest([write(tmp_path / name, lines)], tmp_path / "store", columns=columns)
    assert stored(tmp_path / "store") == [("a,b", "c,d", START + n, 0) for n in range(3)]


def test_csv_text_ids_in_quotes(tmp_path: Path) -> None:
    lines = ["\ufeffsession,aid,ts,type", f'"a,""1""",x-1,{START},clicks', f"b,0012,{START},orders"]
    ingest([write(tmp_path / "a.csv", lines)], tmp_path / "store")
    assert stored(tmp_path / "store") == [('a,"1"', "x-1", START, 0), ("b", "0012", START, 2)]


def test_a_mapping_of_some_columns_leaves_the_others(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ["session,sku,ts,type", f"1,2,{START},clicks"])
    ingest([path], tmp_path / "store", columns={"aid": "sku"})
    assert stored(tmp_path / "store") == [(1, 2, START, 0)]


def test_bad_csv_records(tmp_path: Path) -> None:
    good = [f"{n},{n % 7},{START + n},clicks" for n in range(1500)]
    bad = {
        "x,1,1659304800025,clicks": "not_an_integer_id",
        ",1,1659304800025,clicks": "null_id",
        "1,,1659304800025,clicks": "null_id",
        "1,-1,1659304800025,clicks": "negative_id",
        "1,1,,clicks": "missing_field",
        "1,1,2022-08-01,clicks": "bad_timestamp",
        "1,1,1659304800025,": "missing_field",
        "1,1,1659304800025,view": "unknown_type",
        "1,1,1659304800": "invalid_csv",
        "1,1,1659304800025,clicks,more": "invalid_csv",
        "1,\xff,1659304800025,clicks": "invalid_encoding",
    }
    lines = [text.encode("latin-1") for text in ["session,aid,ts,type", *good, *bad]]
    summary = ingest([write(tmp_path / "a.csv", lines)], tmp_path / "store")
    assert summary.added_events == len(good)
    source = Store.open(tmp_path / "store").manifest.sources[0]
    assert source.rejects_file is not None
    rejects = pq.read_table(tmp_path / "store" / source.rejects_file).to_pylist()
    assert [(r["line"], r["reason"]) for r in rejects] == [(1502 + n, reason) for n, reason in enumerate(bad.values())]


def table(**columns: Any) -> pa.Table:
    good = {"session": [7, 7, 3], "aid": [355, 248, 355], "ts": [START + 5, START, START + 9]}
    return pa.table({**good, "type": ["clicks", "carts", "orders"], **columns})


WHEN = [datetime.fromtimestamp(ms / 1000, UTC) for ms in (START + 5, START, START + 9)]


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"session": pa.array([7, 7, 3], pa.uint16()), "aid": pa.array([355, 248, 355], pa.int32())},
        {"aid": pa.array([355.0, 248.0, 355.0])},
        {"ts": pa.array(WHEN, pa.timestamp("ms", "UTC"))},
        {"ts": pa.array(WHEN, pa.timestamp("us", "Europe/Berlin"))},
        {"ts": pa.array([when.replace(tzinfo=None) for when in WHEN], pa.timestamp("ms"))},
        {"ts": pa.array([when.replace(tzinfo=None) for when in WHEN], pa.timestamp("ns"))},
        {"type": pa.array(["clicks", "carts", "orders"]).dictionary_encode()},
    ],
)
def test_parquet_columns_of_many_types(tmp_path: Path, columns: dict[str, Any]) -> None:
    pq.write_table(table(**columns), tmp_path / "a.parquet")
    ingest([tmp_path / "a.parquet"], tmp_path / "store")
    assert stored(tmp_path / "store") == RETAIL_ROWS


def test_parquet_numbers_as_types_when_they_are_mapped(tmp_path: Path) -> None:
    pq.write_table(table(type=[0, 1, 2]), tmp_path / "a.parquet")
    with pytest.raises(TooManyRejects, match="3 unknown_type"):
        ingest([tmp_path / "a.parquet"], tmp_path / "store")
    ingest([tmp_path / "a.parquet"], tmp_path / "store", types={"0": "clicks", "1": "carts", "2": "orders"})
    assert stored(tmp_path / "store") == RETAIL_ROWS


def test_parquet_text_columns_are_text_ids(tmp_path: Path) -> None:
    pq.write_table(table(session=["7", "7", "3"]), tmp_path / "a.parquet")
    ingest([tmp_path / "a.parquet"], tmp_path / "store")
    assert [row[0] for row in stored(tmp_path / "store")] == ["3", "7", "7"]


def test_bad_parquet_records(tmp_path: Path) -> None:
    rows = 600
    columns = {
        "session": pa.array([1] * (rows - 1) + [None]),
        "aid": pa.array([1.5, *range(1, rows)]),
        "ts": pa.array([START, None, *(START + n for n in range(2, rows))]),
        "type": ["clicks", "clicks", "view"] + ["clicks"] * (rows - 3),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    summary = ingest([tmp_path / "a.parquet"], tmp_path / "store")
    assert summary.rejects == {"missing_field": 1, "not_an_integer_id": 1, "null_id": 1, "unknown_type": 1}
    assert summary.added_events == rows - 4


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (
            None,
            r"there is no column 'session' for session; the file has: timestamp, visitorid, event, itemid, transact",
        ),
        ({**COLUMNS, "aid": "sku"}, r"no column 'sku' for aid; the file has: .*; name it with --columns aid=COLUMN"),
        (
            {**COLUMNS, "item": "itemid"},
            r"--columns item=…: no field is named so; the fields are session, aid, ts, type",
        ),
    ],
)
def test_wrong_columns(tmp_path: Path, columns: dict[str, str] | None, says: str) -> None:
    with pytest.raises(InputError, match=says):
        ingest([write(tmp_path / "a.csv", RETAIL)], tmp_path / "store", columns=columns)


def test_a_column_of_an_unusable_type(tmp_path: Path) -> None:
    pq.write_table(table(aid=[[1], [2], [3]]), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"column 'aid' for aid is of type BIGINT\[\]; give integers or text"):
        ingest([tmp_path / "a.parquet"], tmp_path / "store")


def test_jsonl_takes_no_columns(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--columns is for CSV and Parquet"):
        ingest([write(tmp_path / "a.jsonl", ["{}"])], tmp_path / "store", columns=COLUMNS)


def test_one_run_over_several_formats(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "a.parquet")
    pa.csv.write_csv(table(aid=[1, 2, 3]), tmp_path / "b.csv")
    ingest([tmp_path / "a.parquet", tmp_path / "b.csv"], tmp_path / "store")
    assert [row[1] for row in stored(tmp_path / "store")] == [355, 3, 248, 2, 355, 1]
