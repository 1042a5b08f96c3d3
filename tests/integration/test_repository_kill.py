"""A publication killed at any moment leaves a repository that opens, verifies and takes the next version."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np

from nextcart.repository import DataFacts, Repository, VersionDraft

STEPS = {"open", "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.scandir", "fcntl.flock"}
"""Audit events between which a publication changes the disk."""

DRAFT = VersionDraft(
    code_version="0.1.0",
    config={},
    data=DataFacts(
        fingerprint="f",
        split="train",
        sessions=1,
        events=2,
        items=2,
        first_ts=0,
        last_ts=1,
        session_type="int64",
        aid_type="int64",
    ),
)


def write(rows: int) -> Callable[[Path], None]:
    def into(folder: Path) -> None:
        for model in ("covisitation", "item2vec"):
            (folder / model).mkdir()
            np.save(folder / model / "weights.npy", np.random.default_rng().random((rows, 32), dtype=np.float32))
            (folder / model / "model.json").write_text("{}")

    return into


def check(root: Path) -> int:
    """Open what a killed publisher left and verify all of it; the number of versions."""
    repository = Repository(root)
    manifests = repository.versions()
    assert repository.broken() == []
    for manifest in manifests:
        repository.folder(manifest.version)
    aliases = repository.aliases()
    named = {aliases.production, aliases.previous, aliases.candidate} - {None}
    assert named <= {manifest.version for manifest in manifests}
    return len(manifests)


def leftovers(root: Path) -> list[str]:
    return [entry.name for entry in root.iterdir() if entry.name.startswith(".") and entry.suffix != ".lock"]


def publish_forever(root: Path) -> None:
    """Publish and promote versions of 4 MB until killed; says so once the first is there."""
    repository = Repository(root)
    for number in count():
        repository.promote(repository.publish(write(16_384), DRAFT).version)
        if number == 0:
            sys.stdout.write("published\n")
            sys.stdout.flush()


def publish_and_die(root: Path, at_step: int) -> None:
    """Publish and promote one small version, but be killed at a step of it."""
    steps = count()

    def hook(event: str, arguments: object) -> None:
        if event in STEPS and next(steps) == at_step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    Repository(root).promote(Repository(root).publish(write(4), DRAFT).version)


def die_at_every_step(root: Path) -> None:
    """Kill one publication after the other, each a step later, until one comes through; prints how many it took."""
    for at_step in count():
        before = check(root) if root.exists() else 0
        child = os.fork()
        if child == 0:
            publish_and_die(root, at_step)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert check(root) - before in (0, 1)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            assert leftovers(root) == []
            sys.stdout.write(f"{at_step}\n")
            return


def script(*arguments: object) -> list[str]:
    return [sys.executable, __file__, *map(str, arguments)]


def test_kill_at_ten_random_moments(tmp_path: Path) -> None:
    root = tmp_path / "models"
    moments = random.Random(20261124)
    staged = 0
    for _ in range(10):
        before = check(root) if root.exists() else 0
        with subprocess.Popen(script("forever", root), stdout=subprocess.PIPE) as publisher:
            assert publisher.stdout.readline() == b"published\n"
            time.sleep(moments.uniform(0, 0.15))
            publisher.kill()
        assert publisher.returncode == -signal.SIGKILL
        assert check(root) > before
        staged += any(name.startswith(".staging-") for name in leftovers(root))
    assert staged, "no kill met a publication on its way; let the moments be later"
    newest = Repository(root).publish(write(4), DRAFT).version
    assert leftovers(root) == []
    assert Repository(root).aliases().candidate == newest
    assert Repository(root).promote().production == newest


def test_kill_at_every_step(tmp_path: Path) -> None:
    done = subprocess.run(script("steps", tmp_path / "models"), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30


if __name__ == "__main__":
    {"forever": publish_forever, "steps": die_at_every_step}[sys.argv[1]](Path(sys.argv[2]))
