"""Versions promoted, rolled back, broken and shared out while a real server answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from nextcart.config import Settings, SwapConfig
from nextcart.models.recommender import Recommender
from nextcart.repository import Repository
from tests.published import Load, Server, fit, publish, set_aliases, start, stop

SETTINGS = Settings(swap=SwapConfig(poll_seconds=0.1))


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return fit("int64", only=("covisitation",))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, recommender: Recommender) -> Path:
    root = tmp_path_factory.mktemp("models")
    publish(recommender, root)
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    server = start(root, SETTINGS)
    server.wait_until(200)
    yield server
    left = stop(server)
    assert server.process.returncode == 0
    assert "Traceback" not in left


def ready(server: Server) -> dict[str, object]:
    answer: dict[str, object] = httpx.get(f"{server.url}/health/ready").json()
    return answer


def test_what_is_promoted_and_rolled_back_answers_at_once_and_no_request_fails(
    server: Server, root: Path, recommender: Recommender
) -> None:
    before = str(ready(server)["model_version"])
    with Load(server) as load:
        load.wait_for(before)
        after = publish(recommender, root)
        load.wait_for(after)
        Repository(root).rollback()
        load.wait_for(before)
    assert load.failures == []
    assert load.refused == 0
    assert {name for _, name in load.versions} == {before, after}
    assert "refused" not in ready(server)


def cut_short(folder: Path) -> None:
    file = folder / "covisitation" / "main-weights.npy"
    file.chmod(0o644)
    file.write_bytes(file.read_bytes()[:-4])


def alter_a_byte(folder: Path) -> None:
    file = folder / "covisitation" / "main-weights.npy"
    file.chmod(0o644)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def take_a_file_away(folder: Path) -> None:
    (folder / "covisitation").chmod(0o755)
    (folder / "covisitation" / "main-weights.npy").unlink()


def take_all_away(folder: Path) -> None:
    for each in (folder, *folder.rglob("*")):
        if each.is_dir():
            each.chmod(0o755)
    shutil.rmtree(folder)


def make_it_newer(folder: Path) -> None:
    file = folder / "manifest.json"
    file.chmod(0o644)
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema_version": 99}))


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (cut_short, "main-weights.npy differs from its manifest"),
        (alter_a_byte, "main-weights.npy differs from its manifest"),
        (take_a_file_away, "main-weights.npy is missing"),
        (take_all_away, "no version"),
        (make_it_newer, "schema 99"),
    ],
)
def test_a_broken_version_is_refused_with_the_reason_and_the_old_one_goes_on(
    server: Server, root: Path, recommender: Recommender, break_it: Callable[[Path], None], reason: str
) -> None:
    server.lines.clear()
    good = str(ready(server)["model_version"])
    broken = publish(recommender, root, promote=False)
    break_it(root / "versions" / broken)
    set_aliases(root, production=broken)
    with Load(server, connections=1) as load:
        (line,) = server.wait_for(lambda line: broken in line and "cannot be served" in line)
        load.wait_for(good)
    assert reason in line
    assert load.failures == []
    (refused,) = ready(server)["refused"]  # type: ignore[misc]
    assert refused["what"] == broken
    assert reason in refused["reason"]
    set_aliases(root, production=good)
    wait_until_nothing_is_refused(server)
    # Said once, although it was looked at again and again.
    assert len([line for line in server.lines if broken in line and "cannot be served" in line]) == 1


def wait_until_nothing_is_refused(server: Server) -> None:
    for _ in range(200):
        if "refused" not in ready(server):
            return
    raise AssertionError(ready(server))


def test_aliases_that_cannot_be_read_change_nothing_and_are_named(server: Server, root: Path) -> None:
    good = str(ready(server)["model_version"])
    file = root / "aliases.json"
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    server.wait_for(lambda line: "aliases.json cannot be served" in line)
    assert ready(server)["model_version"] == good
    assert ready(server)["refused"]
    file.write_text(whole)
    wait_until_nothing_is_refused(server)


def test_a_version_that_was_mended_answers_without_another_promotion(
    server: Server, root: Path, recommender: Recommender
) -> None:
    server.lines.clear()
    mended = publish(recommender, root, promote=False)
    file = root / "versions" / mended / "covisitation" / "main-weights.npy"
    whole = file.read_bytes()
    cut_short(root / "versions" / mended)
    set_aliases(root, production=mended)
    server.wait_for(lambda line: mended in line and "cannot be served" in line)
    with Load(server, connections=1) as load:
        file.write_bytes(whole)
        load.wait_for(mended)
    assert load.failures == []


def test_a_candidate_answers_its_share_of_sessions_always_the_same(root: Path, recommender: Recommender) -> None:
    set_aliases(root, candidate=None)
    settings = SETTINGS.model_copy(update={"swap": SwapConfig(poll_seconds=0.1, candidate_share=0.3)})
    server = start(root, settings)
    try:
        server.wait_until(200)
        production = str(ready(server)["model_version"])
        candidate = publish(recommender, root, promote=False)
        server.wait_for(lambda line: f"{candidate} is ready as candidate" in line)
        assert ready(server)["candidate_version"] == candidate
        first, again = ({key: server.ask(session_id=key)["model_version"] for key in range(60)} for _ in range(2))
        assert first == again
        assert 5 <= list(first.values()).count(candidate) <= 35
        assert set(first.values()) == {production, candidate}
        assert server.ask()["model_version"] == production
        loads = len([line for line in server.lines if " is ready as " in line])
        Repository(root).promote(candidate)
        server.wait_for(lambda line: f"{candidate} is ready as production" in line)
        assert {server.ask(session_id=key)["model_version"] for key in range(20)} == {candidate}
        assert "after 0.0 s" in [line for line in server.lines if " is ready as " in line][loads]
    finally:
        left = stop(server)
    assert "Traceback" not in left


def test_a_version_that_is_named_is_served_to_the_end(root: Path, recommender: Recommender) -> None:
    named = Repository(root).resolve()
    server = start(root, SETTINGS, named)
    try:
        server.wait_until(200)
        other = publish(recommender, root)
        answer = httpx.get(f"{server.url}/health/ready").json()
        assert answer == {"status": "ready", "model_version": named}
        assert other != named
    finally:
        stop(server)


def test_a_server_that_began_with_a_broken_version_answers_once_another_is_promoted(
    tmp_path: Path, recommender: Recommender
) -> None:
    broken = publish(recommender, tmp_path)
    alter_a_byte(tmp_path / "versions" / broken)
    server = start(tmp_path, SETTINGS)
    try:
        assert "differs from its manifest" in server.wait_until(503).json()["detail"]
        good = publish(recommender, tmp_path)
        assert server.wait_until(200).json()["model_version"] == good
    finally:
        stop(server)
