"""What goes into the event log comes out of `ingest`, once; workers that are killed lose nothing they acknowledged."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from nextcart.events.ingest import ingest
from nextcart.events.store import Store
from nextcart.serving.event_log import EventLog, LoggedEvent, closed_segments
from tests.event_logs import endings, with_log
from tests.raw_files import START, TYPES, Row, stored
from tests.running import ROOT, as_json

Batch = Sequence[LoggedEvent]


def shop(ids: str, n_events: int = 400) -> list[LoggedEvent]:
    """Events of sessions that come again and again, some sent twice with an id, some twice without."""
    moments = random.Random(5)
    events = []
    for number in range(n_events):
        session, aid = moments.randrange(40), moments.randrange(30)
        event = LoggedEvent(
            session if ids == "int64" else f"s-{session}",
            aid if ids == "int64" else f'sku "{aid}" ü',
            START + moments.randrange(1000) * 1000,
            moments.choice(TYPES),
            f"id-{number}" if number % 3 else None,
            f"request-{number}" if number % 2 else None,
        )
        events += [event] * moments.choice((1, 1, 2))
    return events


def rows(events: Batch) -> set[Row]:
    return {(e.session, e.aid, e.ts, TYPES.index(e.type)) for e in events}


def write(folder: Path, events: Batch, segment_bytes: int) -> None:
    async def use(log: EventLog) -> None:
        for first in range(0, len(events), 7):
            await log.append(events[first : first + 7])
        await log.tick()

    with_log(folder, use, segment_bytes=segment_bytes)


@pytest.mark.parametrize("ids", ["int64", "string"])
def test_closed_segments_are_ingested_as_they_are(tmp_path: Path, ids: str) -> None:
    folder, store = tmp_path / "event_log", tmp_path / "store"
    events = shop(ids)
    write(folder, events[:-1], segment_bytes=9000)
    write(folder, events[-1:], segment_bytes=1)
    write(folder, [LoggedEvent(events[0].session, events[0].aid, START, "clicks")], segment_bytes=9000)
    assert endings(folder)[-1] == ".open"
    assert len(closed_segments(folder)) > 3
    ingest(closed_segments(folder), store)
    found = stored(store)
    assert found == sorted(found, key=lambda row: (row[0], row[2]))
    assert len(found) == len(rows(events))
    assert set(found) == rows(events)
    manifest = Store.open(store).manifest
    assert (manifest.session_type, manifest.aid_type) == (ids, ids)
    assert not any(source.rejects for source in manifest.sources)


def test_the_command_line_reads_what_the_shell_finds_and_the_next_day_what_is_new(tmp_path: Path) -> None:
    folder = tmp_path / "var/state/event_log"
    events = shop("int64")
    half = len(events) // 2
    write(folder, events[:half], segment_bytes=9000)
    as_json("ingest", *sorted(folder.glob("*.jsonl*")), cwd=tmp_path)
    before = len(closed_segments(folder))
    write(folder, events[half:], segment_bytes=9000)
    # Closed since then, and compressed since then: the latter were read under another name and other bytes.
    assert len(closed_segments(folder)) > before
    as_json("ingest", *sorted(folder.glob("*.jsonl*")), cwd=tmp_path)
    write(folder, [LoggedEvent(1, 1, START, "clicks")], segment_bytes=1)
    as_json("ingest", *sorted(folder.glob("*.jsonl*")), cwd=tmp_path)
    found = stored(tmp_path / "var/store")
    assert len(found) == len(set(found))
    assert set(found) == rows(events) | {(1, 1, START, 0)}


def test_workers_killed_at_random_lose_nothing_they_acknowledged_and_write_nothing_twice(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/event_log_kill.py", "--events", "6000", "--kill-after", "0.04"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path / "log")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["acknowledged"], found["lost"], found["twice"]) == (6000, 0, 0)
    assert found["kills"] > 3
    assert found["segments"] > 1
