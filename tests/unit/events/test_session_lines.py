"""Sessions read from OTTO JSONL for batch requests."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from nextcart.config import IngestConfig
from nextcart.errors import InputError, UnreadableInput
from nextcart.events.ingest import ingest
from nextcart.events.readers import read_sessions
from nextcart.events.rejects import SECONDS_FROM, SECONDS_TO
from nextcart.events.schema import Event, Session
from tests.raw_files import START, event, line, many_lines, write


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_sessions_come_in_file_order_in_chunks(tmp_path: Path, name: str) -> None:
    chunks = list(read_sessions(write(tmp_path / name, many_lines(5000, events=2))))
    assert [len(chunk) for chunk in chunks] == [4096, 904]
    sessions = [session for chunk in chunks for session in chunk]
    assert [session.session for session in sessions] == list(range(5000))
    assert sessions[1].events[1] == Event(aid=2, ts=START + 3_660_000, type="clicks")


def test_text_ids_blank_lines_mark_and_crlf(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ["\ufeff" + line("s", event("x")), "", line(2), "  "], end=b"\r\n")
    assert list(read_sessions(path)) == [
        [Session(session="s", events=[Event(aid="x", ts=START, type="clicks")]), Session(session=2, events=[])]
    ]


def test_an_empty_file_has_no_sessions(tmp_path: Path) -> None:
    assert list(read_sessions(write(tmp_path / "a.jsonl", []))) == []


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("not json", r"not valid JSON \(.*malformed.*\); mend or remove the line; a session is \{\"session\": 12"),
        ("{", "not valid JSON"),
        ('{"session":1}', "not a session .*missing required field `events`.*; mend or remove the line"),
        (line(1, event(kind="view")), "Invalid enum value 'view'"),
        (b'{"session":"\xff","events":[]}', "utf-?8"),
        (line(1, event(ts=1.5)), "Expected `int`, got `float`"),  # type: ignore[arg-type]  # that is the point
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: str | bytes, says: str) -> None:
    path = write(tmp_path / "a.jsonl", [line(1), bad])
    with pytest.raises(InputError, match=f"(?i){says}") as caught:
        list(read_sessions(path))
    assert str(caught.value).startswith(f"{path}:2: ")


@pytest.mark.parametrize(("ts", "refused"), [(SECONDS_FROM - 1, 0), (SECONDS_FROM, 1), (SECONDS_TO, 1)])
def test_seconds_are_named(tmp_path: Path, ts: int, refused: bool) -> None:
    path = write(tmp_path / "a.jsonl", [line(1, event()), line(2, event(), event(ts=ts))])
    if not refused:
        assert [len(chunk) for chunk in read_sessions(path)] == [2]
        return
    with pytest.raises(InputError) as caught:
        list(read_sessions(path))
    assert str(caught.value) == (
        f"{path}:2: events[1].ts is in seconds ({ts}), milliseconds are due; multiply the timestamps by 1000"
    )


def test_batch_requests_take_no_times_that_ingest_rejects_as_seconds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [line(1, event(), event(2), event(ts=SECONDS_FROM))])
    summary = ingest([path], tmp_path / "store", config=IngestConfig(max_reject_share=0.5))
    assert summary.rejects == {"timestamp_in_seconds": 1}
    with pytest.raises(InputError, match="in seconds"):
        list(read_sessions(path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join(many_lines(500)).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-500])
    with pytest.raises(UnreadableInput, match=r"cut\.jsonl\.gz: the compressed file ends early"):
        list(read_sessions(tmp_path / "cut.jsonl.gz"))
    with pytest.raises(UnreadableInput, match="there is no such file"):
        list(read_sessions(tmp_path / "no.jsonl"))
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(UnreadableInput, match="this is a directory"):
        list(read_sessions(tmp_path / "folder.jsonl"))
    for name in ("a.csv", "a.txt", "a"):
        with pytest.raises(UnreadableInput, match=r"name a \.jsonl, \.jsonl\.gz or \.jsonl\.zst file"):
            list(read_sessions(tmp_path / name))
