"""Processes that take a folder, remove it and take it again are never in it together; a killed one keeps nobody out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nextcart.errors import StoreError
from nextcart.events.lock import LOCK, drop_lock, held
from nextcart.events.writing import writer

PROCESSES, ROUNDS = 4, 150


def come_and_go(folder: Path) -> None:
    """Hold the folder time and again, alone; remove it each time, as a first ingest that fails does."""
    done = 0
    until = time.monotonic() + 60
    while done < ROUNDS and time.monotonic() < until:
        try:
            with held(folder, StoreError, "here"):
                (folder / "alone").mkdir()
                os.sched_yield()
                (folder / "alone").rmdir()
                drop_lock(folder, with_folder=True)
            done += 1
        except StoreError:
            os.sched_yield()
    sys.stdout.write(f"{done}\n")


def hold(root: Path) -> None:
    """Write to a store until killed."""
    with writer(root) as held_store:
        (held_store.staging / "half").write_text("half")
        sys.stdout.write("held\n")
        sys.stdout.flush()
        sys.stdin.read()


def script(*arguments: object) -> list[str]:
    return [sys.executable, __file__, *map(str, arguments)]


def test_who_removes_the_folder_and_who_comes_just_then_never_meet(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    processes = [subprocess.Popen(script("come", folder), stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)]
    for process in processes:
        said, _ = process.communicate()
        assert (process.returncode, said) == (0, f"{ROUNDS}\n")
    assert not folder.exists()


def test_a_killed_writer_is_named_while_it_lives_and_keeps_nobody_out_after(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with subprocess.Popen(script("hold", root), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=rf"'.*hold.*' \(process {holder.pid} on host "), writer(root):
            pass
        holder.kill()
    assert holder.returncode == -signal.SIGKILL
    assert str(holder.pid) in (root / LOCK).read_text()
    with writer(root) as now:
        assert list(now.staging.iterdir()) == []
        assert str(os.getpid()) in (root / LOCK).read_text()
    assert (root / LOCK).read_text() == ""


if __name__ == "__main__":
    {"come": come_and_go, "hold": hold}[sys.argv[1]](Path(sys.argv[2]))
