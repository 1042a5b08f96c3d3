"""The README's own commands, run as they stand."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.running import ROOT, environment, wait_until_ready

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_quickstart_and_the_serving_section_run_as_written(tmp_path: Path) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    commands, (export, serve), requests = (block.splitlines() for block in blocks)
    for command in commands:
        run(command, tmp_path)
    assert (tmp_path / "lists.jsonl").read_text().count("\n") > 10_000
    keys = re.fullmatch(r'export NEXTCART_API_KEYS="(.*)"', export)
    assert keys
    port = str(free_port())
    assert serve == "nextcart serve --port 8080"
    with_keys = environment() | {"NEXTCART_API_KEYS": keys[1]}
    server = subprocess.Popen(shlex.split(serve.replace("8080", port)), cwd=tmp_path, env=with_keys)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            wait_until_ready(client)
            ask(requests, port, tmp_path, client)
    finally:
        server.terminate()
        server.wait(30)


def ask(requests: list[str], port: str, folder: Path, client: httpx.Client) -> None:
    first, event, second, together, block, train, promote, model, rollback, metrics = requests
    before = client.get("/v1/model").json()["version"]
    assert [item["because"]["aid"] for item in curl(first, port)["recommendations"][:1]] == [12]
    assert curl(event, port) == {"accepted": 1, "duplicates": 0, "rejected": []}
    known = curl(second, port)
    assert len(known["recommendations"]) == 5
    assert known["fallback"] is None
    assert len(curl(together, port)["recommendations"]) == 5
    assert curl(block, port)["block"] == [12]
    assert 12 not in [item["aid"] for item in curl(second, port)["recommendations"]]
    run(train, folder)
    run(promote, folder)
    wait_for(lambda: curl(model, port)["version"] != before)
    assert curl(second, port)["model_version"] != before
    run(rollback, folder)
    wait_for(lambda: curl(model, port)["version"] == before)
    text = subprocess.run(aimed(metrics, port), capture_output=True, check=True, text=True).stdout
    assert 'nextcart_events_total{outcome="accepted",type="carts"} 1.0' in text


def wait_for(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end, "the other version never went live"
        time.sleep(0.2)


def run(command: str, folder: Path) -> None:
    done = subprocess.run(shlex.split(command), cwd=folder, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def curl(command: str, port: str) -> dict[str, Any]:
    found = json.loads(subprocess.run(aimed(command, port), capture_output=True, check=True).stdout)
    assert isinstance(found, dict)
    return found


def aimed(command: str, port: str) -> list[str]:
    return shlex.split(command.replace(":8080", f":{port}"))


def test_make_knows_the_targets_that_the_readme_and_contributing_name() -> None:
    text = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^    |`)make ([a-z]+)", text, re.MULTILINE))
    assert named >= {"demo", "test", "setup", "lint", "docs"}
    known = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= known


def test_links_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    links = [(page, to) for page in pages for to in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8"))]
    assert [(page.name, to) for page, to in links if not (page.parent / to).exists()] == []
    assert len(links) > 10


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
