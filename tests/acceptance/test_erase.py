"""A visitor is forgotten: asked for over HTTP, carried through by the command, gone with the next training."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nextcart.client import Client, Event, SessionEvent
from nextcart.events.store import Store
from nextcart.repository.repository import Repository
from tests.acceptance.conftest import Workplace
from tests.running import as_json, environment, nextcart, serving

KEY = "a-key-of-the-tests-0123456789"
TS = 1_764_000_000_000


@pytest.fixture
def shop(workplace: Workplace, tmp_path: Path) -> Path:
    """A copy of the shop whose store and state may be changed."""
    shutil.copytree(workplace.folder / "var", tmp_path / "var")
    return tmp_path


def sessions_of(folder: Path, split: str) -> list[int]:
    with Store.open(folder / "var/store").connect() as connection:
        query = f"select distinct session from events_{split} order by session"
        return [row[0] for row in connection.execute(query).fetchall()]


def texts_of(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != "pending.jsonl")


@pytest.mark.slow
def test_from_the_wish_to_the_next_version(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTCART_API_KEYS", f"tests:read+events+admin:{KEY}")
    visitor, *_ = sessions_of(shop, "train_split")
    with serving(shop) as http, Client(str(http.base_url), api_key=KEY) as client:
        client.recommend([Event(1, TS, "clicks")], session_id=visitor)
        client.post_events([SessionEvent(session, 1, TS, "clicks") for session in (visitor, 987_654_321)])
        receipt = client.erase_session(visitor)
        assert receipt.found["session_store"] == 1
        assert receipt.found["event_log"] == {"segments": 1, "lines": 1}
        # The server goes on while the command works.
        done = as_json("erase", "--pending", cwd=shop)
    events = done["found"]["event_store"]["events"]
    assert done["sessions"] == 1
    assert done["found"]["event_store"]["splits"].keys() == {"train", "train_split"}
    assert done["found"]["models"] == [Repository(shop / "var/models").resolve()]
    assert done["gone"]["event_store"] == "now"
    assert visitor not in sessions_of(shop, "train")
    assert visitor not in sessions_of(shop, "train_split")
    assert f'"session":{visitor},'.encode() not in texts_of(shop / "var/state")
    assert (shop / "var/state/erasures/pending.jsonl").read_bytes() == b""
    kept = [
        json.loads(line)["receipt"] for line in (shop / "var/state/erasures/receipts.jsonl").read_text().splitlines()
    ]
    assert [each["receipt_id"] for each in kept] == [receipt.receipt_id, done["receipt_id"]]
    repository = Repository(shop / "var/models")
    before = repository.manifest(repository.resolve()).data
    nextcart("train", "--only", "top_sellers", cwd=shop)
    after = repository.manifest(repository.resolve("latest")).data
    assert (after.sessions, after.events) == (before.sessions - 1, before.events - events // 2)
    assert after.fingerprint != before.fingerprint


def test_ids_from_arguments_and_files(shop: Path) -> None:
    first, second, third, fourth, fifth, *_ = sessions_of(shop, "train")
    file = shop / "ids.txt"
    file.write_bytes(f"\ufeff{second}\r\n\n  {third}  \n{first}\n".encode())
    done = as_json("erase", first, "--file", file, cwd=shop)
    assert (done["sessions"], done["found"]["event_store"]["sessions"]) == (3, 3)
    command = [sys.executable, "-m", "nextcart", "erase", "--file", "-"]
    said = subprocess.run(command, cwd=shop, env=environment(), input=f"{fourth}\n", capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert "1 session erased" in said.stdout
    assert "of 1 session" in said.stdout
    assert sessions_of(shop, "train")[0] == fifth
