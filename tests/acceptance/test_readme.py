"""The README's own commands, run as they stand."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
from pathlib import Path

import httpx

from tests.running import ROOT, environment, wait_until_ready

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_quickstart_runs_as_written(tmp_path: Path) -> None:
    blocks = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    commands, requests = (block.splitlines() for block in blocks)
    *commands, serve = commands
    assert serve == "nextcart serve --port 8080"
    for command in commands:
        done = subprocess.run(shlex.split(command), cwd=tmp_path, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "lists.jsonl").read_text().count("\n") > 10_000
    port = str(free_port())
    server = subprocess.Popen(shlex.split(serve.replace("8080", port)), cwd=tmp_path, env=environment())
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            wait_until_ready(client)
        for request in requests:
            asked = shlex.split(request.replace(":8080", f":{port}"))
            answer = json.loads(subprocess.run(asked, capture_output=True, check=True).stdout)
            assert len(answer["recommendations"]) == 5
            assert answer["fallback"] is None
    finally:
        server.terminate()
        server.wait(30)


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
