"""A full disk ends every command in one line and exit code 1; what was there before stays, and nothing half-written."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from nextcart.events.store import Store
from nextcart.repository.repository import Repository
from tests.raw_files import DAY, START, event, line, write
from tests.running import ROOT, as_json, environment, nextcart

KIB = 1024
LIMITED = """
import resource, sys
from nextcart.cli.main import main
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.argv[0] = "nextcart"
main()
"""


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300, check=False)


def said_in_one_line(stderr: str) -> None:
    """All that is not progress is one line of ours."""
    assert "Traceback" not in stderr
    assert stderr.count("nextcart: ") == 1
    assert stderr.splitlines()[-1].startswith("nextcart: ")


def files(folder: Path) -> set[str]:
    """What a store or a repository is made of; records, locks and kept models apart."""
    apart = {"records", "unfinished"}
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return {
        str(path) for path in found if path.suffix != ".lock" and path.name != ".lock" and not apart & {*path.parts}
    }


@pytest.mark.parametrize("limit", [0, 4000])
@pytest.mark.parametrize("command", ["ingest shop.jsonl", "split", "train"])
def test_a_limit_on_file_size_ends_a_command_cleanly(tmp_path: Path, shop: Path, command: str, limit: int) -> None:
    if command != "ingest shop.jsonl":
        shutil.copytree(shop / "var", tmp_path / "var")
    (tmp_path / "shop.jsonl").symlink_to(shop / "shop.jsonl")
    before = files(tmp_path)
    done = run([sys.executable, "-c", LIMITED, str(limit), *command.split()], tmp_path)
    assert done.returncode == 1, done.stderr
    said_in_one_line(done.stderr)
    assert files(tmp_path) == before
    nextcart(*command.split(), cwd=tmp_path)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    moments = random.Random(7)
    lines = (
        line(session, *(event(moments.randrange(2000), START + moments.randrange(20 * DAY)) for _ in range(10)))
        for session in range(5000)
    )
    write(folder / "shop.jsonl", lines)
    nextcart("ingest", "shop.jsonl", cwd=folder)
    # Compiles what is not compiled yet.
    nextcart("train", "--models", "other", cwd=folder)
    return folder


def mounting() -> list[str] | None:
    """A command after which a disk may be mounted that only its process sees; None where nobody may here."""
    for unshare in (
        ["unshare", "--mount", "--propagation", "unchanged"],
        ["unshare", "--user", "--map-root-user", "--mount"],
    ):
        with tempfile.TemporaryDirectory() as disk:
            mount = [*unshare, "mount", "-t", "tmpfs", "-o", "size=1m", "none", disk]
            if shutil.which("unshare") and not subprocess.run(mount, capture_output=True, check=False).returncode:
                return unshare
    return None


@pytest.mark.slow
def test_a_disk_that_is_full_at_every_step(tmp_path: Path, shop: Path) -> None:
    """On a small disk of its own; where none may be mounted, files must not grow past what would be left of it."""
    unshare = mounting()
    raw = shop / "shop.jsonl"
    if unshare is None:
        every_step(tmp_path, raw, partial(ends_at_a_limit, tmp_path))
        return
    done = run([*unshare, sys.executable, "-m", __name__, str(tmp_path), str(raw)], ROOT)
    assert done.returncode == 0, done.stderr


def ends_at_a_limit(disk: Path, *command: object, kib: int) -> None:
    done = run([sys.executable, "-c", LIMITED, str(min(kib, 4) * KIB), *map(str, command)], disk)
    assert done.returncode == 1, done.stderr
    said_in_one_line(done.stderr)


@contextmanager
def room(disk: Path, kib: int) -> Iterator[None]:
    """The disk with just so much room left."""
    filler = disk / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(64 * KIB))
    except OSError:
        os.truncate(filler, filler.stat().st_size - kib * KIB)
    yield
    filler.unlink()


def on_a_small_disk(disk: Path, raw: Path) -> None:
    """The same where only so much room is left in truth."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", disk], check=True)
    # What does not fit into memory is spilled there as well.
    (disk / "tmp").mkdir()
    os.environ["TMPDIR"] = str(disk / "tmp")

    def meets_the_end(*command: object, kib: int) -> None:
        with room(disk, kib):
            said_in_one_line(nextcart(*command, cwd=disk, code=1).stderr)

    every_step(disk, raw, meets_the_end)


def every_step(disk: Path, raw: Path, meets_the_end: Callable[..., None]) -> None:
    """Every command meets the full disk at several moments, then finds room again."""
    store, models = disk / "var/store", disk / "var/models"
    for kib in (0, 8, 200):
        meets_the_end("ingest", raw, kib=kib)
        assert files(store) == set()
    nextcart("ingest", raw, cwd=disk)
    before = files(store)
    for kib in (0, 8, 100):
        meets_the_end("split", kib=kib)
        assert files(store) == before
        assert Store.open(store).splits() == ("train",)
    nextcart("split", cwd=disk)
    for kib in (0, 40):
        meets_the_end("train", kib=kib)
        assert files(models) == set()
        assert Repository(models).versions() == []
    version = as_json("train", cwd=disk)["version"]
    Repository(models).folder(version)
    nextcart("promote", cwd=disk)
    before = files(models)
    meets_the_end("evaluate", "--split", "val_split", kib=0)
    assert files(models) == before
    nextcart("evaluate", "--split", "val_split", cwd=disk)


if __name__ == "__main__":
    on_a_small_disk(Path(sys.argv[1]), Path(sys.argv[2]))
