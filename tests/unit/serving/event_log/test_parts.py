"""Names of segments, known ids, lines, locks."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.serving.event_log import Exposure, closed_segments
from nextcart.serving.event_log.known_ids import KnownIds
from nextcart.serving.event_log.lines import event_ids, event_line, exposure_lines, starts
from nextcart.serving.event_log.locks import FileLock
from nextcart.serving.event_log.segments import Segment, closed, read, segments
from tests.event_logs import click


def test_segments_are_in_the_order_in_which_they_were_written_whatever_the_clock_said(folder: Path) -> None:
    folder.mkdir()
    for name in (
        "events-20261124T021500Z-000002.jsonl",
        "events-20261124T031500Z-000001.jsonl.zst",
        "events-20261123T231500Z-1000000.open",
        ".lock",
        "events-20261124T021500Z-000003.part",
        "mine.jsonl",
    ):
        (folder / name).touch()
    assert [segment.number for segment in segments(folder)] == [1, 2, 1_000_000]
    assert [segment.path.is_file() for segment in segments(folder)] == [True] * 3
    assert [path.suffix for path in closed_segments(folder)] == [".zst", ".jsonl"]
    assert [segment.number for segment in closed(folder)] == [1, 2]


def test_a_folder_that_is_not_there_has_no_segments(folder: Path) -> None:
    assert segments(folder) == closed_segments(folder) == []


def test_of_two_forms_of_a_segment_the_compressed_one_is_read_once(folder: Path) -> None:
    folder.mkdir()
    (folder / "events-20261124T021500Z-000001.jsonl").write_bytes(b"{}\n")
    (folder / "events-20261124T021500Z-000001.jsonl.zst").write_bytes(pa.compress(b"{}\n", "zstd", asbytes=True))
    assert [path.suffix for path in closed_segments(folder)] == [".zst"]


def test_a_segment_that_is_compressed_between_listing_and_reading_is_read_in_its_new_form(folder: Path) -> None:
    folder.mkdir()
    (folder / "events-20261124T021500Z-000001.jsonl.zst").write_bytes(pa.compress(b"{}\n", "zstd", asbytes=True))
    listed = Segment(1, "20261124T021500Z", "events", ".jsonl", folder)
    assert list(read(listed)) == [b"{}\n"]


@given(st.lists(st.integers(0, 30).map(str) | st.none()), st.integers(1, 8))
def test_the_newest_ids_are_known(added: list[str | None], limit: int) -> None:
    known, newest = KnownIds(limit), []
    for name in added:
        known.add([name])
        if name is not None and name not in newest:
            newest = [*newest, name][-limit:]
    assert [name for name in map(str, range(31)) if name in known] == sorted(newest, key=int)
    assert len(known) == len(newest)


@given(st.lists(st.lists(st.integers(0, 30).map(str) | st.none()), max_size=4), st.integers(1, 8))
def test_ids_recalled_from_the_newest_segment_to_the_oldest_are_the_newest(
    parts: list[list[str | None]], limit: int
) -> None:
    known = KnownIds(limit)
    for part in reversed(parts):
        if not known.add_older(part):
            break
    latest = dict.fromkeys(name for part in reversed(parts) for name in reversed(part) if name is not None)
    assert {name for name in map(str, range(31)) if name in known} == set(list(latest)[:limit])


def test_a_line_is_a_session_of_one_event_with_what_else_is_known_behind() -> None:
    line = event_line(click('a,"b', "e1", aid=9), 123)
    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "session": 'a,"b',
        "events": [{"aid": 9, "ts": click().ts, "type": "clicks"}],
        "event_id": "e1",
        "received_ts": 123,
    }


def test_exposures_are_lines_too() -> None:
    shown = [Exposure(12, f"r{number}", 5, "v1", "clicks", ["x", 2]) for number in range(1000)]
    lines = exposure_lines(shown).splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == [exposure.request_id for exposure in shown]
    assert json.loads(lines[0]) == {
        "session": 12, "request_id": "r0", "ts": 5, "version": "v1", "objective": "clicks", "aids": ["x", 2]
    }  # fmt: skip


def test_a_damaged_line_hides_no_other_id() -> None:
    good = event_line(click(event_id="a"), 1) + event_line(click(), 1)
    assert event_ids(good) == ["a", None]
    assert event_ids(good + b'{"event_id":\xff"b"}\n' + b"{\n" + event_line(click(event_id="c"), 1)) == ["a", None, "c"]


@given(st.integers() | st.text(), st.integers() | st.text())
def test_only_the_lines_of_a_session_begin_as_it_says(session: int | str, other: int | str) -> None:
    line = event_line(click(session), 1)
    assert line.startswith(starts([session])[0])
    same = session == other and type(session) is type(other)
    assert line.startswith(starts([other])[0]) == same


def test_a_lock_is_held_by_one(folder: Path) -> None:
    first, second = FileLock(folder / ".lock"), FileLock(folder / ".lock")
    with first.held(), second.held_if_free() as is_mine:
        assert not is_mine
    with second.held_if_free() as is_mine:
        assert is_mine
    first.close()
    second.close()


def test_a_lock_whose_file_was_removed_is_not_taken_for_the_new_one(folder: Path) -> None:
    first, second = FileLock(folder / ".lock"), FileLock(folder / ".lock")
    with first.held():
        pass
    (folder / ".lock").unlink()
    with second.held():
        taken = threading.Event()

        def take() -> None:
            with first.held():
                taken.set()

        thread = threading.Thread(target=take)
        thread.start()
        assert not taken.wait(0.05)
    thread.join()
    assert taken.is_set()
    first.close()
    second.close()


def test_a_lock_in_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lock = FileLock(tmp_path / "file" / "x" / ".lock")
    with pytest.raises(OSError, match="Not a directory"), lock.held():
        pass
    lock.close()
