"""A compression or an erasure killed at any step: each line is there once, and the next one finishes the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from nextcart.serving.event_log import erase
from nextcart.serving.event_log.packing import pack_all
from tests.event_logs import click, endings, fill, logged, with_log
from tests.running import ROOT

STEPS = {"open", "os.remove", "os.rename", "os.truncate", "fcntl.flock"}
"""Audit events between which the disk changes."""


def die_at(step: int, work: Callable[[Path], object], folder: Path) -> bool:
    """Work in a process that is killed at a step; whether it was."""
    child = os.fork()
    if child == 0:
        steps = count()

        def hook(event: str, arguments: object) -> None:
            if event in STEPS and next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        work(folder)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def each_once(folder: Path, expected: str) -> None:
    found = logged(folder)
    assert "".join(str(line["session"]) for line in found) == expected
    assert len({line["event_id"] for line in found}) == len(found)


def packing(root: Path) -> int:
    for step in count():
        folder = root / f"{step}"
        fill(folder, "ab", "c")
        killed = die_at(step, pack_all, folder)
        each_once(folder, "abc")
        pack_all(folder)
        # Both forms of a segment go on being there until a process has something to compress.
        each_once(folder, "abc")
        if not killed:
            assert endings(folder) == [".jsonl.zst"] * 2
            return step
    raise AssertionError


def erasing(root: Path) -> int:
    for step in count():
        folder = root / f"{step}"
        fill(folder, "ab", "a", pack=True)
        with_log(folder, lambda log: log.append([click("a", "x"), click("b", "y")]))
        killed = die_at(step, lambda folder: erase(folder, ["a"]), folder)
        found = logged(folder)
        assert [line["event_id"] for line in found if line["session"] == "b"] == ["1", "y"]
        assert len({line["event_id"] for line in found}) == len(found)
        erase(folder, ["a"])
        each_once(folder, "bb")
        assert not list(folder.glob("*.part"))
        if not killed:
            return step
    raise AssertionError


@pytest.mark.parametrize("work", ["packing", "erasing"])
def test_killed_at_every_step(tmp_path: Path, work: str) -> None:
    # In a process of its own, which is small and has one thread when it forks.
    command = [sys.executable, "-m", __name__, work, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 8


if __name__ == "__main__":
    sys.stdout.write(f"{globals()[sys.argv[1]](Path(sys.argv[2]))}\n")
