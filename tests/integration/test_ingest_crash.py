"""A run that is killed, meets a full disk or another writer leaves the store as it was."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nextcart.config import SplitConfig
from nextcart.errors import InputError, StoreError
from nextcart.events.ingest import ingest
from nextcart.events.split import split
from nextcart.events.store import Store
from nextcart.events.writing import writer
from tests.raw_files import many_lines, stored, write

PREPARE = """
import sys
from pathlib import Path
from nextcart.errors import NextcartError
from nextcart.events.ingest import ingest
from nextcart.events.split import split
root, raw = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
"""
ANSWER = """
try:
    ingest(raw, root) if raw else split(root)
except NextcartError as error:
    print(type(error).__name__, error)
    sys.exit(error.exit_code)
"""


def start(root: Path, *raw: Path, before: str = "") -> subprocess.Popen[str]:
    """A process that is about to ingest, or to split where no file is named; ready when it has said so."""
    code = PREPARE + before + "print('ready', flush=True)\n" + ANSWER
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(root), *map(str, raw)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> int:
    """The exit code of a process that says no more."""
    process.communicate()
    return process.returncode


def digest(root: Path) -> tuple[object, ...]:
    """What the store holds, whatever its files are called."""
    store = Store.open(root)
    with store.connect() as connection:
        rows = connection.execute(
            "select split, count(*), sum(hash(session, aid, ts, type, position)) from events group by all order by all"
        ).fetchall()
    return (store.manifest.fingerprint, *rows)


def unlisted(root: Path) -> set[str]:
    """Data files that the manifest does not list."""
    manifest = Store.open(root).manifest
    listed = {file.path for facts in manifest.splits.values() for file in facts.files}
    listed |= {source.rejects_file for source in manifest.sources if source.rejects_file}
    there = [*(root / "events").rglob("*.parquet"), *(root / "rejects").rglob("*.parquet")]
    return {path.relative_to(root).as_posix() for path in there} - listed


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one file, to be copied."""
    folder = tmp_path_factory.mktemp("first")
    ingest([write(folder / "first.jsonl", many_lines(200))], folder / "store")
    return folder / "store"


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that takes a while, some of its records bad."""
    lines = many_lines(8000, first=100)
    return write(tmp_path_factory.mktemp("more") / "more.jsonl", [*lines, *["bad"] * 100])


@pytest.mark.slow
def test_kill_at_ten_random_moments(tmp_path: Path, first: Path, more: Path) -> None:
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(first, undisturbed)
    process, began = start(undisturbed, more), time.monotonic()
    assert end(process) == 0
    seconds = time.monotonic() - began
    before, after = digest(first), digest(undisturbed)
    moments, killed = random.Random(7), 0
    for number in range(10):
        root = tmp_path / f"store{number}"
        shutil.copytree(first, root)
        process = start(root, more)
        time.sleep(moments.uniform(0, seconds))
        process.kill()
        killed += end(process) == -signal.SIGKILL
        assert digest(root) in (before, after)
        ingest([more], root)
        assert digest(root) == after
        assert unlisted(root) == set()
    assert killed >= 5
    assert stored(root) == stored(undisturbed)


KILL_AT_RENAME = """
import itertools, os, signal
rename, count = Path.rename, itertools.count(1)
def kill(self, target):
    number = next(count)
    if number == {number} and not {after}:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(self, target)
    if number == {number} and {after}:
        os.kill(os.getpid(), signal.SIGKILL)
Path.rename = kill
"""


# Renames of an ingest: the rejects, the events, the manifest.
@pytest.mark.parametrize(
    ("number", "after", "committed"), [(1, True, False), (2, True, False), (3, False, False), (3, True, True)]
)
def test_kill_around_each_rename_of_an_ingest(
    tmp_path: Path, first: Path, more: Path, number: int, after: bool, committed: bool
) -> None:
    root = tmp_path / "store"
    shutil.copytree(first, root)
    before = digest(root)
    process = start(root, more, before=KILL_AT_RENAME.format(number=number, after=after))
    assert end(process) == -signal.SIGKILL
    assert (digest(root) != before) == committed
    assert bool(unlisted(root)) != committed
    assert (root / "staging").exists()
    summary = ingest([more], root)
    assert summary.files[0].added != committed
    assert summary.events == 2000 + 79_000
    assert unlisted(root) == set()
    assert not (root / "staging").exists()


@pytest.mark.parametrize(("number", "committed"), [(1, False), (2, False), (3, True)])
def test_kill_after_each_rename_of_a_split(tmp_path: Path, first: Path, number: int, committed: bool) -> None:
    root = tmp_path / "store"
    shutil.copytree(first, root)
    process = start(root, before=KILL_AT_RENAME.format(number=number, after=True))
    assert end(process) == -signal.SIGKILL
    assert ("val_split" in Store.open(root).splits()) == committed
    assert split(root, SplitConfig()).already_there == committed
    assert unlisted(root) == set()


LIMIT = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({bytes}, {bytes}))
"""


@pytest.mark.parametrize("size", [0, 1000, 100_000])
def test_a_full_disk(tmp_path: Path, first: Path, more: Path, size: int) -> None:
    root = tmp_path / "store"
    shutil.copytree(first, root)
    before = digest(root)
    process = start(root, more, before=LIMIT.format(bytes=size))
    said, _ = process.communicate()
    assert process.returncode == 1
    assert said.startswith(f"RunFailed {root}: the disk is full")
    assert "free some space on it" in said
    assert said.endswith("the store is as it was\n")
    assert digest(root) == before
    assert unlisted(root) == set()
    assert not (root / "staging").exists()
    ingest([more], root)


@pytest.mark.parametrize("size", [0, 1000])
def test_a_full_disk_while_a_split_is_written(tmp_path: Path, first: Path, size: int) -> None:
    root = tmp_path / "store"
    shutil.copytree(first, root)
    before = digest(root)
    process = start(root, before=LIMIT.format(bytes=size))
    said, _ = process.communicate()
    assert process.returncode == 1
    assert said.startswith(f"RunFailed {root}: the disk is full")
    assert digest(root) == before
    assert unlisted(root) == set()
    assert not (root / "staging").exists()
    assert not split(root).already_there


def test_one_writer_at_a_time(tmp_path: Path, first: Path, more: Path) -> None:
    root = tmp_path / "store"
    shutil.copytree(first, root)
    with writer(root):
        me = rf"another nextcart process is writing to this store: '.+' \(process {os.getpid()} on host .+\); wait"
        with pytest.raises(StoreError, match=me):
            ingest([more], root)
        with pytest.raises(StoreError, match="another nextcart process"):
            split(root)
        process = start(root, more)
        said, _ = process.communicate()
        assert process.returncode == 1
        assert f"(process {os.getpid()} on host" in said
        assert len(stored(root)) == 2000
    assert ingest([more], root).files[0].added


def test_who_reads_while_a_split_is_replaced_reads_to_the_end(tmp_path: Path, first: Path) -> None:
    root = tmp_path / "store"
    shutil.copytree(first, root)
    split(root, SplitConfig())
    reader = Store.open(root)
    ingest([write(tmp_path / "b.jsonl", many_lines(3, first=900))], root)
    assert sum(len(batch) for batch in reader.batches("val_split")) == reader.manifest.splits["val_split"].events


def test_a_first_ingest_that_fails_leaves_nothing_of_its_own(tmp_path: Path) -> None:
    for root in (tmp_path / "new", tmp_path / "old"):
        if root.name == "old":
            (root / "records").mkdir(parents=True)
        with pytest.raises(InputError, match="no events"):
            ingest([write(tmp_path / "empty.jsonl", ['{"session": 1, "events": []}'])], root)
    assert not (tmp_path / "new").exists()
    assert [entry.name for entry in (tmp_path / "old").iterdir()] == ["records"]


@pytest.mark.parametrize("name", ["events", "rejects", "staging"])
def test_a_folder_with_somebodys_files_is_no_store_to_clean_up(tmp_path: Path, first: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("years of work")
    with pytest.raises(StoreError, match=f"is no event store, and its '{name}' would be in the way"):
        ingest([write(tmp_path / "raw.jsonl", many_lines(3))], tmp_path)
    assert (tmp_path / name / "thesis.txt").read_text() == "years of work"


def test_records_stay_whatever_happens_to_the_store(tmp_path: Path, first: Path, more: Path) -> None:
    root = tmp_path / "store"
    shutil.copytree(first, root)
    (root / "records").mkdir()
    (root / "records" / "ingest-1.json").write_text("{}")
    process = start(root, more, before=LIMIT.format(bytes=1000))
    assert end(process) == 1
    split(root)
    assert (root / "records" / "ingest-1.json").read_text() == "{}"
