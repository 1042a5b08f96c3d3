"""The active segment: shared by several, cut where it is torn, and left as it was by what fails."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nextcart.serving.event_log import active as module
from nextcart.serving.event_log.active import ActiveSegment
from nextcart.serving.event_log.packing import pack_all
from nextcart.serving.event_log.segments import closed, read, segments

A, B, C, D = b'{"event_id":"a"}\n', b'{"event_id":"b"}\n', b'{"event_id":"c"}\n', b'{"event_id":"d"}\n'


class Worker(ActiveSegment):
    """What one process has of the segment, and what it learned of others."""

    def __init__(self, folder: Path) -> None:
        self.learned: list[bytes] = []
        super().__init__(folder, "events", lambda lines: self.learned.extend(lines.splitlines(keepends=True)))

    def add(self, line: bytes, *, durable: bool = True) -> None:
        with self.held():
            self.append(line, durable=durable)

    def end(self) -> None:
        with self.held():
            self.end_segment()

    def look(self) -> list[bytes]:
        with self.held():
            return self.learned


Workers = Callable[[], Worker]


@pytest.fixture
def worker(folder: Path) -> Iterator[Workers]:
    made: list[Worker] = []

    def make() -> Worker:
        made.append(Worker(folder))
        return made[-1]

    yield make
    for one in made:
        one.close()


def content(folder: Path) -> bytes:
    return b"".join(segment.path.read_bytes() for segment in segments(folder))


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, name: str, code: int, after_bytes: int = 0) -> Iterator[None]:
    """A system call fails, a write after some bytes."""
    real = os.pwrite

    def call(descriptor: int, data: bytes | memoryview = b"", at: int = 0) -> int:
        if name == "pwrite" and at < after_bytes:
            return real(descriptor, data[: after_bytes - at], at)
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(module.os, name, call)
        yield


def test_what_others_wrote_is_learned_once_and_in_order(worker: Workers, folder: Path) -> None:
    one, two = worker(), worker()
    one.add(A)
    two.add(B)
    one.add(C)
    two.add(D)
    assert (one.learned, two.learned) == ([B], [A, C])
    assert one.look() == [B, D]
    assert content(folder) == A + B + C + D


@pytest.mark.parametrize("torn", [b'{"event_id":"half', b"\0\0\0", b'{"ev\0\0\0\n{}\n'])
def test_what_a_killed_process_left_half_written_is_cut_off(worker: Workers, folder: Path, torn: bytes) -> None:
    one, two = worker(), worker()
    one.add(A)
    with segments(folder)[0].path.open("ab") as file:
        file.write(B + torn)
    assert two.look() == [A, B]
    assert content(folder) == A + B
    one.add(C)
    assert content(folder) == A + B + C
    assert one.learned == [B]


def test_a_line_longer_than_what_is_read_at_once(worker: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 20)
    one, two = worker(), worker()
    long = b'{"event_id":"' + b"x" * 50 + b'"}\n'
    one.add(A + long + B)
    assert two.look() == [A, long, B]


def test_a_segment_that_another_closed_is_read_to_its_end(worker: Workers, folder: Path) -> None:
    one, two = worker(), worker()
    one.add(A)
    two.add(B)
    two.end()
    two.add(C)
    two.end()
    pack_all(folder)
    two.add(D)
    assert one.look() == [B, C, D]
    one.add(A)
    assert [segment.ending for segment in segments(folder)] == [".jsonl.zst", ".jsonl.zst", ".open"]
    assert [b"".join(read(segment)) for segment in closed(folder)] == [A + B, C]
    assert segments(folder)[-1].path.read_bytes() == D + A


def test_an_empty_segment_is_never_closed(worker: Workers, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = worker()
    one.end()
    one.add(b"")
    assert segments(folder) == []
    with failing(monkeypatch, "pwrite", errno.ENOSPC), pytest.raises(OSError, match="No space"):
        one.add(A)
    one.end()
    assert [segment.ending for segment in segments(folder)] == [".open"]


@pytest.mark.parametrize("after_bytes", [0, 5, 20])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_write_that_fails_leaves_nothing(
    worker: Workers, folder: Path, monkeypatch: pytest.MonkeyPatch, code: int, after_bytes: int
) -> None:
    one, two = worker(), worker()
    one.add(A)
    with failing(monkeypatch, "pwrite", code, len(A) + after_bytes), pytest.raises(OSError, match=os.strerror(code)):
        one.add(B + C)
    assert content(folder) == A
    two.add(D)
    one.add(B)
    assert content(folder) == A + D + B
    assert one.learned == [D]


def test_after_a_sync_that_failed_the_segment_is_written_anew(
    worker: Workers, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = worker(), worker()
    one.add(A)
    two.add(B)
    before = segments(folder)[0].path.stat().st_ino
    with failing(monkeypatch, "fdatasync", errno.EIO), pytest.raises(OSError, match="Input/output"):
        one.add(C)
    assert content(folder) == A + B
    # Until that is done nothing is taken, since the system may say that all is well.
    with failing(monkeypatch, "fsync", errno.EIO), pytest.raises(OSError, match="Input/output"):
        one.add(C)
    one.add(C)
    assert segments(folder)[0].path.stat().st_ino != before
    two.add(D)
    assert content(folder) == A + B + C + D
    assert set(two.learned) == {A, B, C}


def test_a_segment_whose_sync_fails_is_not_closed(
    worker: Workers, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = worker()
    one.add(A)
    with failing(monkeypatch, "fsync", errno.EIO), pytest.raises(OSError, match="Input/output"):
        one.end()
    assert [segment.ending for segment in segments(folder)] == [".open"]
    one.add(B)
    one.end()
    assert [b"".join(read(segment)) for segment in closed(folder)] == [A + B]


def test_lines_that_are_not_synced_are(worker: Workers, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = worker()
    with failing(monkeypatch, "fdatasync", errno.EIO):
        one.add(A, durable=False)
    assert content(folder) == A


def test_a_segment_is_due_by_size_and_by_age_on_a_clock_that_jumps(
    worker: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = worker()
    assert not one.is_due(1, 0)
    one.add(A)
    assert one.is_due(len(A), 3600)
    assert not one.is_due(len(A) + 1, 3600)
    now = time.time()
    for jump in (3700, -3700):
        monkeypatch.setattr(module.time, "time", lambda jump=jump: now + jump)
        assert one.is_due(len(A) + 1, 3600)


def test_segments_that_were_taken_away_do_not_stop_the_log(worker: Workers, folder: Path) -> None:
    one, two = worker(), worker()
    one.add(A)
    two.add(B)
    for segment in segments(folder):
        segment.path.unlink()
    one.add(C)
    two.add(D)
    assert content(folder) == C + D
    assert len(segments(folder)) == 1


def test_a_log_without_a_segment_has_no_lines(worker: Workers) -> None:
    one = worker()
    assert list(one.parts()) == []
    one.add(A + B)
    with one.held():
        assert list(one.parts()) == [A + B]


def test_segments_are_numbered_on_by_a_process_that_finds_closed_ones(worker: Workers, folder: Path) -> None:
    one = worker()
    for line in (A, B):
        one.add(line)
        one.end()
    two = worker()
    two.add(C)
    assert [segment.number for segment in segments(folder)] == [1, 2, 3]
