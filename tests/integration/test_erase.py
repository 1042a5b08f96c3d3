"""Erased sessions are gone from every file of the store, at once or not at all, and do not come back."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from nextcart.config import IngestConfig, SplitConfig
from nextcart.errors import InputError, StoreError, StoreMissing
from nextcart.events import merge
from nextcart.events.erase import erase_sessions
from nextcart.events.facts import count_split
from nextcart.events.ingest import ingest
from nextcart.events.schema import fingerprint
from nextcart.events.split import split
from nextcart.events.store import Store
from nextcart.events.writing import writer
from nextcart.models.arrays import training_arrays
from tests.raw_files import START, event, line, many_lines, stored, write

LOOSE = IngestConfig(max_reject_share=0.5)


def in_every_split(root: Path) -> set[int | str]:
    """The sessions of all splits."""
    with Store.open(root).connect() as connection:
        return {row[0] for row in connection.execute("select distinct session from events").fetchall()}


def assert_counts_are_right(root: Path) -> None:
    """Every figure of the manifest is that of the files."""
    manifest = Store.open(root).manifest
    with duckdb.connect() as connection:
        for facts in manifest.splits.values():
            assert count_split(connection, root, facts.files, 2) == facts
            for file in facts.files:
                table = pq.read_table(root / file.path)
                assert file.events == len(table)
                assert file.bytes == (root / file.path).stat().st_size
                rows = list(zip(*(table[name].to_pylist() for name in ("session", "ts", "position")), strict=True))
                assert rows == sorted(rows)
                assert (file.first_session, file.last_session) == (rows[0][0], rows[-1][0])
    kind = (manifest.session_type, manifest.aid_type)
    assert manifest.fingerprint == fingerprint(manifest.sources, *kind, manifest.split, manifest.erasures)


def assert_nothing_else_lies_there(root: Path) -> None:
    """The files that the manifest lists are the only ones."""
    manifest = Store.open(root).manifest
    listed = {file.path for facts in manifest.splits.values() for file in facts.files}
    assert {file.relative_to(root).as_posix() for file in (root / "events").rglob("*.parquet")} == listed
    assert len(list((root / "erased").glob("*"))) == (manifest.erasures is not None)


def everywhere(root: Path) -> bytes:
    """All bytes of the store's files but its events'."""
    return b"".join(file.read_bytes() for file in sorted(root.rglob("*")) if file.is_file())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of integer ids with all four splits, each of many files; and the file that train came from."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge, "EVENTS_PER_PART", 400)
        # From last to first, so that no short cut finds them in order.
        ingest([write(folder / "a.jsonl", many_lines(200)[::-1])], folder / "store")
        ingest([write(folder / "b.jsonl", many_lines(60, first=150)[::-1])], folder / "store", split="test")
    split(folder / "store", SplitConfig())
    return folder


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    """A copy of that store."""
    shutil.copytree(whole / "store", tmp_path / "store")
    return tmp_path / "store"


def test_a_session_is_gone_from_every_split(root: Path) -> None:
    before = Store.open(root).manifest
    erased = erase_sessions(root, [155, 3, 999_999])
    after = Store.open(root).manifest
    assert (erased.sessions, erased.events) == (2, 50)
    assert erased.splits == {"train": 20, "test": 10, "train_split": 20}
    assert (erased.first_ts, erased.last_ts) == (START + 3 * 3_600_000, START + 155 * 3_600_000 + 9 * 60_000)
    assert erased.stale_splits == ()
    assert erased.fingerprint == after.fingerprint != before.fingerprint
    assert in_every_split(root) == set(range(210)) - {3, 155}
    assert after.splits["val_split"] == before.splits["val_split"]
    assert_counts_are_right(root)
    assert_nothing_else_lies_there(root)


def test_only_files_that_hold_a_session_are_written_anew(root: Path) -> None:
    before = {file.path for file in Store.open(root).manifest.splits["train"].files}
    assert len(before) > 3
    erase_sessions(root, [3])
    after = {file.path for file in Store.open(root).manifest.splits["train"].files}
    assert len(before - after) == len(after - before) == 1
    assert not [path for path in before - after if (root / path).exists()]


def test_all_other_events_stay_as_they_were(root: Path) -> None:
    expected = {
        name: [row for row in stored(root, name) if row[0] not in (7, 180)] for name in Store.open(root).splits()
    }
    erase_sessions(root, [7, 180])
    assert {name: stored(root, name) for name in Store.open(root).splits()} == expected


def test_nowhere_is_no_error_and_changes_no_event(root: Path) -> None:
    before = Store.open(root).manifest
    erased = erase_sessions(root, [999_999, "no integer", "007", -3, 2**70])
    assert (erased.sessions, erased.events, erased.splits, erased.rejects) == (0, 0, {}, 0)
    assert (erased.first_ts, erased.last_ts) == (None, None)
    after = Store.open(root).manifest
    assert (after.fingerprint, after.splits) == (before.fingerprint, before.splits)
    written = (root / "manifest.json").read_bytes()
    assert erase_sessions(root, [999_999]) == erased
    assert (root / "manifest.json").read_bytes() == written


def test_ids_that_no_store_could_hold_leave_no_trace(root: Path) -> None:
    before = (root / "manifest.json").read_bytes()
    erase_sessions(root, ["no integer"])
    erase_sessions(root, [])
    assert (root / "manifest.json").read_bytes() == before


def test_texts(tmp_path: Path) -> None:
    names = ["a", "ab", "ü", "😀", "12", 'with "quotes"', "z"]
    ingest(
        [write(tmp_path / "a.jsonl", [line(name, event("x"), event("y", START + 1)) for name in names])], tmp_path / "s"
    )
    erased = erase_sessions(tmp_path / "s", ["ab", "😀", 12, "Z", 'with "quotes"'])
    assert erased.sessions == 4
    assert in_every_split(tmp_path / "s") == {"a", "ü", "z"}
    assert_counts_are_right(tmp_path / "s")


def test_many_in_one_pass(root: Path) -> None:
    gone = random.Random(1).sample(range(210), 100)
    assert erase_sessions(root, [str(number) for number in gone] + list(range(10**6, 10**6 + 50_000))).sessions == 100
    assert in_every_split(root) == set(range(210)) - set(gone)
    assert_counts_are_right(root)


def test_files_in_which_sessions_overlap(tmp_path: Path) -> None:
    for name, ts in (("a", START), ("b", START + 5)):
        lines = [line(session, event(1, ts), event(2, ts + 1)) for session in range(1, 9)]
        ingest([write(tmp_path / f"{name}.jsonl", lines)], tmp_path / "s")
    erased = erase_sessions(tmp_path / "s", [4, 5])
    assert (erased.sessions, erased.events) == (2, 8)
    assert in_every_split(tmp_path / "s") == {1, 2, 3, 6, 7, 8}
    assert_counts_are_right(tmp_path / "s")


def test_a_split_that_loses_all_its_sessions_is_gone(tmp_path: Path) -> None:
    ingest([write(tmp_path / "a.jsonl", many_lines(10))], tmp_path / "s")
    ingest([write(tmp_path / "b.jsonl", many_lines(2))], tmp_path / "s", split="test")
    split(tmp_path / "s", SplitConfig())
    erased = erase_sessions(tmp_path / "s", [0, 1, 9])
    assert erased.stale_splits == ("train_split", "val_split")
    assert_nothing_else_lies_there(tmp_path / "s")
    assert Store.open(tmp_path / "s").splits() == ("train",)
    assert not split(tmp_path / "s", SplitConfig(quantile=0.5)).already_there
    assert_counts_are_right(tmp_path / "s")
    erase_sessions(tmp_path / "s", range(10))
    assert Store.open(tmp_path / "s").splits() == ()
    assert in_every_split(tmp_path / "s") == set()
    ingest([write(tmp_path / "c.jsonl", many_lines(3, first=50))], tmp_path / "s")
    assert in_every_split(tmp_path / "s") == {50, 51, 52}


def test_the_training_arrays_go_with_the_events(root: Path) -> None:
    training_arrays(Store.open(root), "train_split")
    assert list((root / "arrays").glob("train_split-*"))
    erase_sessions(root, [3])
    assert not list((root / "arrays").glob("train_split-*"))
    _, arrays = training_arrays(Store.open(root), "train_split")
    assert len(arrays.sessions) == Store.open(root).manifest.splits["train_split"].sessions


def test_rejects_that_name_a_session(tmp_path: Path) -> None:
    rows = ["session,aid,ts,type", *(f"{s},{s + 1},{START},clicks" for s in range(10)), "4,5,x,clicks", "5,4,x,clicks"]
    ingest([write(tmp_path / "a.csv", [*rows, "44,7,x,clicks"])], tmp_path / "s", config=LOOSE)
    whole = ['{"session": 5, "events": 1}', '{"session": 6, "events": 1}', *many_lines(5, first=4)]
    ingest([write(tmp_path / "b.jsonl", whole)], tmp_path / "s", config=LOOSE)
    only = [*many_lines(3, first=70), '{"session": 5, "events": 2}']
    ingest([write(tmp_path / "c.jsonl", only)], tmp_path / "s", config=LOOSE)
    # The second names 4 as its item, which cannot be told apart, and goes too.
    assert erase_sessions(tmp_path / "s", [5]).rejects == 4
    sources = Store.open(tmp_path / "s").manifest.sources
    kept = [pq.read_table(tmp_path / "s" / s.rejects_file)["raw"].to_pylist() for s in sources if s.rejects_file]
    assert [[json.loads(raw)["session"] for raw in raws] for raws in kept] == [["44"], [6]]
    assert [bool(source.rejects_file) for source in sources] == [True, True, False]
    assert [sum(source.rejects.values()) for source in sources] == [3, 2, 1]
    assert len(list((tmp_path / "s" / "rejects").iterdir())) == 2
    # A file of rejects that somebody deleted is no obstacle.
    shutil.rmtree(tmp_path / "s" / "rejects")
    assert erase_sessions(tmp_path / "s", [6]).rejects == 0


def test_an_erased_session_does_not_come_back(whole: Path, root: Path, tmp_path: Path) -> None:
    erase_sessions(root, [155, 3, 500])
    assert ingest([whole / "a.jsonl"], root).already_there
    again = write(tmp_path / "again.jsonl", many_lines(260, events=11)[::-1])
    ordered = write(tmp_path / "ordered.jsonl", many_lines(2, first=500))
    summary = ingest([again, ordered], root)
    # 155 and 3 again with all their events, of each other session the eleventh; of 500 and 501 the latter.
    assert summary.erased == 22 + 10
    assert summary.duplicates == 198 * 10
    assert summary.added_events == 198 + 60 * 11 + 10
    assert in_every_split(root) == set(range(260)) - {3, 155} | {501}
    assert_counts_are_right(root)
    assert [source.erased for source in Store.open(root).manifest.sources] == [0, 0, 22, 10]


def test_a_file_of_erased_sessions_alone(tmp_path: Path) -> None:
    ingest([write(tmp_path / "a.jsonl", many_lines(3))], tmp_path / "s")
    erase_sessions(tmp_path / "s", ["77"])
    file = write(tmp_path / "b.jsonl", many_lines(1, first=77))
    summary = ingest([file], tmp_path / "s")
    assert (summary.added_events, summary.erased, summary.events) == (0, 10, 30)
    before = everywhere(tmp_path / "s")
    with pytest.raises(InputError, match="no events but those of erased sessions"):
        ingest([file], tmp_path / "s", split="test")
    assert everywhere(tmp_path / "s") == before


def test_no_id_is_written_down(tmp_path: Path) -> None:
    ingest(
        [write(tmp_path / "a.jsonl", [line(s, event("x"), event("y")) for s in ("keep", "secret-visitor")])],
        tmp_path / "s",
    )
    assert b"secret-visitor" in everywhere(tmp_path / "s")
    erase_sessions(tmp_path / "s", ["secret-visitor", "another-visitor"])
    assert b"-visitor" not in everywhere(tmp_path / "s")


def test_what_is_written_down(root: Path) -> None:
    erase_sessions(root, [3])
    erase_sessions(root, [4, 5])
    erase_sessions(root, [3, 888])
    erasures = Store.open(root).manifest.erasures
    assert erasures
    assert [(run.sessions, run.events) for run in erasures.runs] == [(1, 20), (2, 40)]
    assert pq.read_metadata(root / erasures.file).num_rows == 4
    assert len(list((root / "erased").iterdir())) == 1


def test_equal_counts_are_no_equal_data(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "other")
    assert erase_sessions(root, [3]).fingerprint != erase_sessions(tmp_path / "other", [4]).fingerprint


def test_a_store_of_the_first_layout_is_read_and_keeps_its_fingerprint(root: Path) -> None:
    document = json.loads((root / "manifest.json").read_text())
    document["schema_version"] = 1
    del document["erasures"]
    for source in document["sources"]:
        del source["erased"]
    (root / "manifest.json").write_text(json.dumps(document))
    manifest = Store.open(root).manifest
    kind = (manifest.session_type, manifest.aid_type)
    assert fingerprint(manifest.sources, *kind, manifest.split) == document["fingerprint"]
    erase_sessions(root, [3])
    assert json.loads((root / "manifest.json").read_text())["schema_version"] == 2


def test_it_needs_a_store_that_nobody_writes_to(root: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreMissing):
        erase_sessions(tmp_path / "none", [3])
    assert not (tmp_path / "none").exists()
    with writer(root), pytest.raises(StoreError, match="another nextcart process"):
        erase_sessions(root, [3])


def test_who_reads_a_file_that_is_open_reads_it_to_its_end(root: Path) -> None:
    (batch, *_) = batches = list(Store.open(root).batches("train"))
    reading = iter(Store.open(root).batches("test"))
    first = next(reading)
    erase_sessions(root, [155])
    assert len(batch) <= sum(map(len, batches))
    assert len(first) + sum(map(len, reading)) == 600


KILL = """
import itertools, os, signal, sys
from pathlib import Path
from nextcart.events.erase import erase_sessions
real, count = Path.{name}, itertools.count(1)
def kill(*args, **kwargs):
    if next(count) == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
Path.{name} = kill
erase_sessions(Path(sys.argv[1]), [3])
"""


# Renames: the digests, a file of train, one of train_split, the manifest; then the old files are removed.
@pytest.mark.parametrize(
    ("name", "number", "committed"), [*(("rename", number, False) for number in range(1, 5)), ("unlink", 1, True)]
)
def test_a_kill_leaves_the_old_state_or_the_new_one(root: Path, name: str, number: int, committed: bool) -> None:
    before = Store.open(root).manifest
    code = subprocess.run([sys.executable, "-c", KILL.format(name=name, number=number), str(root)]).returncode
    assert code == -signal.SIGKILL
    assert in_every_split(root) == set(range(210)) - ({3} if committed else set())
    assert (Store.open(root).manifest != before) == committed
    erase_sessions(root, [3])
    assert in_every_split(root) == set(range(210)) - {3}
    assert_counts_are_right(root)
    assert_nothing_else_lies_there(root)


LIMIT = """
import resource, sys
from pathlib import Path
from nextcart.errors import RunFailed
from nextcart.events.erase import erase_sessions
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
try:
    erase_sessions(Path(sys.argv[1]), [3])
except RunFailed as error:
    sys.exit(str(error))
"""


def test_a_full_disk_leaves_the_store_as_it_was(root: Path) -> None:
    before = (root / "manifest.json").read_bytes()
    done = subprocess.run([sys.executable, "-c", LIMIT, str(root)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "the store is as it was" in done.stderr
    assert (root / "manifest.json").read_bytes() == before
    assert in_every_split(root) == set(range(210))
    assert_counts_are_right(root)
    assert_nothing_else_lies_there(root)
