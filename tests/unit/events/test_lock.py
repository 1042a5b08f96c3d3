import fcntl
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from nextcart.errors import StoreError
from nextcart.events import lock
from nextcart.events.lock import LOCK, Holder, drop_lock, held, held_if_free

DOING = "writing to this store"


def take(folder):
    return held(folder, StoreError, DOING)


@pytest.fixture(scope="module")
def gone() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.05)


@contextmanager
def locked(folder, line: bytes):
    """The lock held by somebody, and a line in it that somebody wrote."""
    folder.mkdir(exist_ok=True)
    with (folder / LOCK).open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(line)
        file.flush()
        yield file


def line(**changes) -> bytes:
    return msgspec.json.encode(msgspec.structs.replace(Holder.here(), **changes)) + b"\n"


def test_the_refused_one_is_told_process_host_command_and_since_when(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/nextcart", "ingest", "a b.jsonl"])
    with take(tmp_path / "store"), pytest.raises(StoreError) as refused, take(tmp_path / "store"):
        pass
    said = str(refused.value)
    assert said.startswith(
        f"{tmp_path}/store: another nextcart process is writing to this store: 'nextcart ingest 'a b.jsonl'' "
        f"(process {os.getpid()} on host {socket.gethostname()}, since 20"
    )
    assert said.endswith(" UTC); wait until it has finished, or end it")
    assert abs(datetime.now(UTC) - Holder.here().since) < timedelta(seconds=2)


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/opt/venv/lib/nextcart/__main__.py", "train"], "nextcart train"),
        (["-c"], "-c"),
        ([""], "python"),
        (["nextcart", "a\nb\x1b[31m"], "nextcart 'a?b?[31m'"),
        (["nextcart", "x" * 1000], "nextcart " + "x" * 191),
    ],
)
def test_the_command_is_one_line_and_not_a_long_one(monkeypatch, argv, command):
    monkeypatch.setattr(sys, "argv", argv)
    assert Holder.here().command == command


def test_a_folder_is_made_held_and_free_again(tmp_path):
    folder = tmp_path / "deep" / "store"
    with take(folder) as made:
        assert made
        assert (folder / LOCK).read_bytes().endswith(b"}\n")
    assert (folder / LOCK).read_bytes() == b""
    with take(folder) as made:
        assert not made


def test_the_line_of_a_dead_holder_keeps_nobody_out(tmp_path, gone):
    (tmp_path / LOCK).write_bytes(line(pid=gone) + b"rest of a longer line\n")
    with take(tmp_path):
        assert msgspec.json.decode((tmp_path / LOCK).read_bytes(), type=Holder).pid == os.getpid()


@pytest.mark.parametrize(
    "stale",
    [b"", b"garbage\n", b'{"pid":1}\n', b"\xff\xfe\n", line(pid=-1), line(pid=2**70), line()[:-1]],
    # A line names a moment and a process; a test's name may not.
    ids=["empty", "garbage", "too little", "no text", "below 0", "too large", "without its end"],
)
def test_a_line_that_names_no_living_process_is_never_shown(tmp_path, impatient, stale):
    with (
        locked(tmp_path, stale),
        pytest.raises(StoreError, match="this store: it has not said which; wait"),
        take(tmp_path),
    ):
        pass


def test_the_line_of_a_dead_process_is_never_shown_as_the_holder(tmp_path, impatient, gone):
    with locked(tmp_path, line(pid=gone)), pytest.raises(StoreError, match="has not said which"), take(tmp_path):
        pass


def test_of_another_host_the_line_is_believed_and_shown_plainly(tmp_path, gone):
    there = line(pid=gone, host="db\n2", command="nextcart \x1b[2Jtrain")
    with (
        locked(tmp_path, there),
        pytest.raises(StoreError, match=rf"'nextcart \?\[2Jtrain' \(process {gone} on host db\?2, "),
        take(tmp_path),
    ):
        pass


def test_a_holder_that_is_about_to_say_who_it_is_is_waited_for(tmp_path, gone):
    with locked(tmp_path, line(pid=gone)) as file:

        def write() -> None:
            time.sleep(0.1)
            os.ftruncate(file.fileno(), 0)
            os.pwrite(file.fileno(), line(command="nextcart split"), 0)

        writer = threading.Thread(target=write)
        writer.start()
        with pytest.raises(StoreError, match="'nextcart split'"), take(tmp_path):
            pass
        writer.join()


def test_a_holder_that_only_clears_up_is_waited_for(tmp_path):
    held_now, clearing = threading.Event(), tmp_path / "old"
    clearing.mkdir()

    def clear() -> None:
        with held_if_free(clearing) as free:
            assert free
            held_now.set()
            time.sleep(0.1)
            drop_lock(clearing, with_folder=True)

    cleaner = threading.Thread(target=clear)
    cleaner.start()
    held_now.wait()
    with take(clearing) as made:
        assert made
        with held_if_free(clearing) as free:
            assert not free
    cleaner.join()
    assert clearing.exists()


@pytest.mark.parametrize("what", ["the folder", "the file"])
def test_a_lock_file_that_was_removed_after_it_was_opened_is_no_lock(tmp_path, monkeypatch, what):
    folder, flock = tmp_path / "store", fcntl.flock
    removed = []

    def late(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append(True)
            (folder / LOCK).unlink()
            if what == "the folder":
                shutil.rmtree(folder)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with take(folder):
        assert removed
        with pytest.raises(StoreError, match="another nextcart process"), take(folder):
            pass


def test_what_is_in_a_folder_keeps_it_from_being_removed(tmp_path):
    with take(tmp_path / "store"):
        (tmp_path / "store" / "records").mkdir()
        drop_lock(tmp_path / "store", with_folder=True)
    assert [entry.name for entry in (tmp_path / "store").iterdir()] == ["records"]


@pytest.mark.parametrize("what", ["a file", "a link to nowhere"])
def test_what_is_no_folder_is_an_error_of_the_system(tmp_path, what):
    if what == "a file":
        (tmp_path / "store").write_text("")
    else:
        (tmp_path / "store").symlink_to(tmp_path / "not mounted")
    with pytest.raises(FileExistsError), take(tmp_path / "store"):
        pass


def test_a_lock_is_as_good_on_a_full_disk(tmp_path, monkeypatch, impatient):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with take(tmp_path), pytest.raises(StoreError, match="has not said which"), take(tmp_path):
        pass
