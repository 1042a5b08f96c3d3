"""Bad records are kept and counted; bad files stop the run, and the store is as it was."""

from __future__ import annotations

import gzip
import json
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextcart.config import IngestConfig
from nextcart.errors import InputError, NextcartError, TooManyRejects, UnreadableInput
from nextcart.events.ingest import ingest
from nextcart.events.kept_rejects import FirstReject
from nextcart.events.rejects import REASONS
from nextcart.events.store import Store
from tests.raw_files import DAY, START, event, expected, line, many_lines, stored, write
from tests.running import environment

GOOD = many_lines(40)
LENIENT = IngestConfig(max_reject_share=0.6)
NOW = int(time.time() * 1000)


def rejected(root: Path, number: int = 0) -> list[dict[str, Any]]:
    name = Store.open(root).manifest.sources[number].rejects_file
    assert name is not None
    return pq.read_table(root / name).to_pylist()


def events_text(*events: str) -> str:
    return '{"session":777,"events":[' + ",".join(events) + "]}"


def with_field(name: str, value: str) -> str:
    fields = {"aid": "1", "ts": str(START), "type": '"clicks"', name: value}
    return "{" + ",".join(f'"{key}":{text}' for key, text in fields.items()) + "}"


BAD_LINES = [
    ("not json", "invalid_json"),
    ('{"session":1,"events":[', "invalid_json"),
    ("[1]", "invalid_json"),
    ("null", "invalid_json"),
    ("7", "invalid_json"),
    ('{"session":1,"events":5}', "invalid_json"),
    ('{"session":1,"events":{}}', "invalid_json"),
    ("a\x01b", "invalid_json"),
    ("\x00", "invalid_json"),
    (b'{"session":1,"events":[]} \xff\xfe', "invalid_encoding"),
    ('{"session":1}', "missing_field"),
    ('{"session":1,"events":null}', "missing_field"),
    ('{"events":[]}', "missing_field"),
    ("{}", "missing_field"),
    ('{"session":null,"events":[]}', "null_id"),
    ('{"session":"","events":[]}', "not_an_integer_id"),
    ('{"session":true,"events":[]}', "null_id"),
    ('{"session":-1,"events":[]}', "negative_id"),
    ('{"session":1.0,"events":[]}', "not_an_integer_id"),
    ('{"session":"abc","events":[]}', "not_an_integer_id"),
    ('{"session":9223372036854775808,"events":[]}', "not_an_integer_id"),
]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_a_bad_line_costs_that_line_only(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [*GOOD[:20], *(bad for bad, _ in BAD_LINES), *GOOD[20:]])
    summary = ingest([path], tmp_path / "store", config=LENIENT)
    assert summary.rejects == Counter(reason for _, reason in BAD_LINES)
    assert stored(tmp_path / "store") == expected([GOOD])
    assert [(r["source"], r["line"], r["event"], r["reason"]) for r in rejected(tmp_path / "store")] == [
        (name, 21 + n, None, reason) for n, (_, reason) in enumerate(BAD_LINES)
    ]


BAD_EVENTS = [
    ("null", "missing_field"),
    ("7", "missing_field"),
    ("{}", "missing_field"),
    ('{"ts":1659304800025,"type":"clicks"}', "missing_field"),
    ('{"aid":1,"type":"clicks"}', "missing_field"),
    ('{"aid":1,"ts":1659304800025}', "missing_field"),
    (with_field("ts", "null"), "missing_field"),
    (with_field("type", "null"), "missing_field"),
    (with_field("aid", "null"), "null_id"),
    (with_field("aid", "[1]"), "null_id"),
    (with_field("aid", "true"), "null_id"),
    (with_field("aid", "-5"), "negative_id"),
    (with_field("aid", '"x"'), "not_an_integer_id"),
    (with_field("aid", "1.5"), "not_an_integer_id"),
    (with_field("aid", "1e3"), "not_an_integer_id"),
    (with_field("aid", '"0012"'), "not_an_integer_id"),
    (with_field("aid", "9223372036854775808"), "not_an_integer_id"),
    (with_field("type", '"view"'), "unknown_type"),
    (with_field("type", '"Clicks"'), "unknown_type"),
    (with_field("type", "0"), "unknown_type"),
    (with_field("ts", "0"), "bad_timestamp"),
    (with_field("ts", "-1659304800025"), "bad_timestamp"),
    (with_field("ts", "1659304800025.5"), "bad_timestamp"),
    (with_field("ts", '"1659304800025"'), "bad_timestamp"),
    (with_field("ts", '"yesterday"'), "bad_timestamp"),
    (with_field("ts", "true"), "bad_timestamp"),
    (with_field("ts", "99999999999999999999"), "bad_timestamp"),
    (with_field("ts", "1659304800"), "timestamp_in_seconds"),
    (with_field("ts", str(NOW + 2 * DAY)), "timestamp_in_future"),
    (with_field("ts", "1659304800025000"), "timestamp_in_future"),
]


def test_a_bad_event_costs_that_event_only(tmp_path: Path) -> None:
    good = [with_field("aid", "1"), with_field("aid", "2")]
    mixed = events_text(good[0], *(bad for bad, _ in BAD_EVENTS), good[1])
    summary = ingest([write(tmp_path / "a.jsonl", [*GOOD, mixed])], tmp_path / "store", config=LENIENT, ids="int64")
    assert summary.rejects == summary.files[0].rejects == Counter(reason for _, reason in BAD_EVENTS)
    assert stored(tmp_path / "store") == expected([[*GOOD, events_text(*good)]])
    records = rejected(tmp_path / "store")
    assert [(r["line"], r["event"], r["reason"]) for r in records] == [
        (41, 1 + n, reason) for n, (_, reason) in enumerate(BAD_EVENTS)
    ]
    assert [json.loads(r["raw"]) for r in records] == [json.loads(bad) for bad, _ in BAD_EVENTS]


BAD_TEXT_IDS = [
    ('""', "null_id"),
    ("null", "null_id"),
    ("{}", "null_id"),
    (json.dumps("é" * 65), "id_too_long"),
    ('"a\\u0000b"', "id_with_control_characters"),
    ('"a\\nb"', "id_with_control_characters"),
    ('"a\\u0085b"', "id_with_control_characters"),
]
GOOD_TEXT_IDS = ["x" * 128, "\U0001f600", "a b", "12", "-1", 'quote"', "back\\slash", "{}", "null"]


def test_string_ids(tmp_path: Path) -> None:
    ids = [*(aid for aid, _ in BAD_TEXT_IDS), *map(json.dumps, GOOD_TEXT_IDS)]
    path = write(tmp_path / "a.jsonl", [events_text(*(with_field("aid", aid) for aid in ids))])
    summary = ingest([path], tmp_path / "store", config=LENIENT)
    assert [row[1] for row in stored(tmp_path / "store")] == GOOD_TEXT_IDS
    assert summary.rejects == Counter(reason for _, reason in BAD_TEXT_IDS)
    assert [(r["event"], r["reason"]) for r in rejected(tmp_path / "store")] == [
        (n, reason) for n, (_, reason) in enumerate(BAD_TEXT_IDS)
    ]


def test_every_reason_is_met_by_a_test_and_explained() -> None:
    met = {reason for _, reason in [*BAD_LINES, *BAD_EVENTS, *BAD_TEXT_IDS]}
    assert met | {"invalid_csv", "line_too_long"} == set(REASONS)


def test_a_line_beyond_the_limit(tmp_path: Path) -> None:
    huge = line(1, *(event(i, START + i) for i in range(350_000)))
    path = write(tmp_path / "a.jsonl", [*GOOD, huge, "no"])
    assert ingest([path], tmp_path / "store").rejects == {"invalid_json": 1, "line_too_long": 1}
    assert [(r["line"], r["reason"], len(r["raw"])) for r in rejected(tmp_path / "store")] == [
        (41, "line_too_long", 200),
        (42, "invalid_json", 2),
    ]


def test_line_numbers_count_the_lines_that_are_not_even_text(tmp_path: Path) -> None:
    bad = [b"\xff", "x", b"\xfe", b"\xfd", "", "y"]
    config = IngestConfig(max_reject_share=0.5)
    ingest([write(tmp_path / "a.jsonl", [*bad, *GOOD, b"\xfc", "z"])], tmp_path / "store", config=config)
    assert [(r["line"], r["reason"]) for r in rejected(tmp_path / "store")] == [
        (1, "invalid_encoding"),
        (2, "invalid_json"),
        (3, "invalid_encoding"),
        (4, "invalid_encoding"),
        (6, "invalid_json"),
        (47, "invalid_encoding"),
        (48, "invalid_json"),
    ]


def test_too_many_rejects_store_nothing_and_say_where(tmp_path: Path) -> None:
    root = tmp_path / "store"
    ingest([write(tmp_path / "good.jsonl", GOOD)], root)
    before = (root / "manifest.json").read_bytes()
    bad = write(tmp_path / "bad.jsonl", ["x", line(1, event(kind="view"), event(), event(2), event(kind="view"))])
    with pytest.raises(TooManyRejects) as caught:
        ingest([bad], root)
    assert str(caught.value) == (
        f"{bad}: 3 of 5 records rejected (60.0%, ingest.max_reject_share is 0.01): 2 unknown_type, 1 invalid_json; "
        "first bad.jsonl:1 invalid_json, bad.jsonl:2 event 0 unknown_type, bad.jsonl:2 event 3 unknown_type; "
        "nothing was stored; map the file's types with --types THEIRS=clicks,…, or raise ingest.max_reject_share"
    )
    assert (root / "manifest.json").read_bytes() == before
    assert sorted(p.name for p in root.iterdir()) == [".lock", "events", "manifest.json"]
    assert len([*(root / "events").rglob("*.parquet")]) == 1


def test_the_first_reject_of_each_reason_is_told(tmp_path: Path) -> None:
    view, negative = event(kind="view"), event(-1)
    path = write(tmp_path / "a.jsonl", [line(1, event(), view), *GOOD, "x", line(2, view, negative), "y" * 300])
    first = (
        FirstReject("invalid_json", 2, 42, None, "x"),
        FirstReject("unknown_type", 2, 1, 1, json.dumps(view, separators=(",", ":"))),
        FirstReject("negative_id", 1, 43, 1, json.dumps(negative, separators=(",", ":"))),
    )
    root = tmp_path / "store"
    assert ingest([path], root, config=LENIENT).files[0].first_rejects == first
    assert ingest([path], root, config=LENIENT).files[0].first_rejects == first
    for kept in (root / "rejects").iterdir():
        kept.unlink()
    again = ingest([path], root, config=LENIENT)
    assert (again.files[0].first_rejects, again.show_rejects) == ((), None)


@pytest.mark.parametrize("name", ["store", 'it\'s [1]* a "store"'])
def test_the_command_that_shows_all_rejects_runs_as_it_stands(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    for number in range(2):
        summary = ingest([write(tmp_path / f"{number}.jsonl", [*GOOD, f"bad {number}"])], root)
    assert summary.show_rejects is not None
    command = ["sh", "-c", summary.show_rejects]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for number in range(2):
        assert f"{number}.jsonl" in done.stdout
        assert f"bad {number}" in done.stdout


def test_no_rejects_need_no_command(tmp_path: Path) -> None:
    summary = ingest([write(tmp_path / "a.jsonl", GOOD)], tmp_path / "store")
    assert (summary.show_rejects, summary.files[0].first_rejects) == (None, ())


@pytest.mark.parametrize(("good", "fits"), [(99, True), (98, False)])
def test_the_share_of_rejects(tmp_path: Path, good: int, fits: bool) -> None:
    path = write(tmp_path / "a.jsonl", [line(1, *(event(i) for i in range(good))), "x"])
    if fits:
        assert ingest([path], tmp_path / "store").rejects == {"invalid_json": 1}
    else:
        with pytest.raises(TooManyRejects, match="1 of 99"):
            ingest([path], tmp_path / "store")


def test_one_bad_file_of_two_stores_neither(tmp_path: Path) -> None:
    good, bad = write(tmp_path / "a.jsonl", GOOD), write(tmp_path / "b.jsonl", ["x"])
    with pytest.raises(TooManyRejects):
        ingest([good, bad], tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_folder_that_was_there_stays_when_the_first_ingest_fails(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with pytest.raises(TooManyRejects):
        ingest([write(tmp_path / "b.jsonl", ["x"])], tmp_path / "store")
    assert not (tmp_path / "store" / "manifest.json").exists()
    assert ingest([write(tmp_path / "a.jsonl", GOOD)], tmp_path / "store").events == 400


def test_seconds_are_named_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [line(1, event(1, 1_659_304_800), event(2, 1_659_304_801), event(3))])
    with pytest.raises(InputError, match=r"a\.jsonl: its timestamps are in seconds \(such as 165930480.\).*by 1000"):
        ingest([path], tmp_path / "store", config=IngestConfig(max_reject_share=1))


def test_seconds_are_named_however_many_records_have_no_time_at_all(tmp_path: Path) -> None:
    timeless = [events_text('{"aid":1,"type":"clicks"}')] * 5
    path = write(tmp_path / "a.jsonl", [*timeless, line(1, event(1, 1_659_304_800)), "x"])
    with pytest.raises(InputError, match=r"its timestamps are in seconds \(such as 1659304800\)"):
        ingest([path], tmp_path / "store", config=IngestConfig(max_reject_share=1))


def test_the_future_begins_where_the_configuration_says(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [line(1, event(1, NOW + 3 * DAY), event(2))])
    lenient = IngestConfig(max_future_days=4)
    assert ingest([path], tmp_path / "store", config=lenient).rejects == {}
    with pytest.raises(TooManyRejects, match="1 timestamp_in_future"):
        ingest([path], tmp_path / "other")


def _truncated(packed: bytes) -> bytes:
    return packed[: len(packed) // 2]


def _flipped(packed: bytes) -> bytes:
    middle = len(packed) // 2
    return packed[:middle] + bytes([packed[middle] ^ 0x55]) + packed[middle + 1 :]


PLAIN = "\n".join(many_lines(2000)).encode()
ZSTD = pa.compress(PLAIN, codec="zstd", asbytes=True)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.jsonl", b"", "the file is empty"),
        ("a.parquet", b"", "the file is empty"),
        ("a.csv", b"", "the file is empty"),
        ("a.jsonl", b"\n\n", "the file holds no events"),
        ("a.jsonl", b'{"session":1,"events":[]}', "the file holds no events"),
        ("a.csv", b"session,aid,ts,type\n", "the file holds no events"),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0), "the file holds no events"),
        ("a.jsonl.gz", _truncated(gzip.compress(PLAIN)), "ends early; copy or export it again"),
        ("a.csv.gz", _truncated(gzip.compress(PLAIN)), "ends early; copy or export it again"),
        ("a.jsonl.zst", _truncated(ZSTD), "ends early; copy or export it again"),
        ("a.jsonl.gz", _flipped(gzip.compress(PLAIN)), "damaged"),
        ("a.jsonl.zst", b"plain", "it is not the compressed file that its name says"),
        ("a.jsonl.gz", PLAIN, "it is not the compressed file that its name says"),
        ("a.jsonl", gzip.compress(PLAIN, mtime=0), r"append \.gz to it"),
        ("a.csv", ZSTD, r"append \.zst to it"),
        ("a.parquet", PLAIN, "cannot be read .* check that it is what its name says"),
        ("a.jsonl", bytes(range(256)) * 100, "records rejected"),
        ("a.txt", PLAIN, r"its name tells no format; name it \.jsonl"),
        ("a", PLAIN, "its name tells no format"),
        ("a.parquet.gz", PLAIN, "its name tells no format"),
        (".gz", PLAIN, "its name tells no format"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(InputError, match=says) as caught:
        ingest([path], tmp_path / "store")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()


def test_a_directory_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(UnreadableInput, match="this is a directory; name the files in it"):
        ingest([tmp_path / "folder.jsonl"], tmp_path / "store")
    with pytest.raises(UnreadableInput, match="this is a directory; name the files in it"):
        ingest([tmp_path], tmp_path / "store")
    with pytest.raises(UnreadableInput, match="there is no such file; check the path"):
        ingest([tmp_path / "no.jsonl"], tmp_path / "store")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests may run as root, whom no permission stops.
    path = write(tmp_path / "a.jsonl", GOOD)

    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UnreadableInput, match="permission denied; make the file readable"):
        ingest([path], tmp_path / "store")


def test_a_store_that_cannot_be_made(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", GOOD)
    with pytest.raises(NextcartError, match=r"a\.jsonl: the store's folder .* is a file; name another"):
        ingest([path], path)
    with pytest.raises(
        InputError, match=r"a\.jsonl/store: the folder cannot be made \(Not a dir.*; name another --store"
    ):
        ingest([path], path / "store")
    with pytest.raises(InputError, match="there is no such file; check the path"):
        ingest([path / "b.jsonl"], tmp_path / "store")


def test_csv_lines_that_end_in_two_ways_are_named(tmp_path: Path) -> None:
    file = tmp_path / "mixed.csv"
    file.write_bytes(b"session,aid,ts,type\n" + b"1,2,1659304800025,clicks\r\n" * 3)
    with pytest.raises(UnreadableInput, match=r"mixed\.csv: its CSV form .* the same ending \(LF or CRLF\)"):
        ingest([file], tmp_path / "store")
