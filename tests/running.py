"""Starting the command line and the server as a user would, for integration and acceptance tests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import forking

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"
READY_SECONDS = 120
COMMAND_SECONDS = 300
LESS = {
    "NEXTCART__MODELS__LOG_BILINEAR__EPOCHS": "2",
    "NEXTCART__MODELS__LOG_BILINEAR__MAX_STEPS": "200000",
    "NEXTCART__MODELS__RANKER__FOLDS": "1",
    "NEXTCART__MODELS__RANKER__MAX_QUESTIONS": "500",
    # Fewer than by default, so that carts have trees of their own from so few too.
    "NEXTCART__MODELS__RANKER__MIN_QUESTIONS": "50",
}
"""What is dear to learn learns from less: else trainings would take most of the tests' time.

A test that asks for more sets it here, as these go before what stands in a file.
"""


def environment() -> dict[str, str]:
    """This process's environment, the environment's programs first on the path; of nextcart's settings `LESS` alone."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NEXTCART__")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | LESS | {"PATH": path, "PYTHONWARNINGS": "error"}


def nextcart(
    *arguments: object, cwd: Path, code: int = 0, interpreter: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a command and hold its exit code against the one expected.

    Args:
        arguments: of the command line.
        cwd: where it runs.
        code: what it must end with.
        interpreter: start one, as a person does; else the command runs in a fork of one that was started before.
    """
    given = [str(argument) for argument in arguments]
    if interpreter:
        command = [sys.executable, "-m", "nextcart", *given]
        done = subprocess.run(
            command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=COMMAND_SECONDS
        )
    else:
        done = forking.run(given, cwd, environment(), COMMAND_SECONDS)
    assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def killed(*arguments: object, cwd: Path, after: float) -> bool:
    """Run a command; whether it was killed, as it still ran after so many seconds."""
    done = forking.run([str(argument) for argument in arguments], cwd, environment(), after)
    assert done.returncode in (0, -signal.SIGKILL), f"{arguments}: exit {done.returncode}\n{done.stderr}"
    return done.returncode != 0


def as_json(*arguments: object, cwd: Path, interpreter: bool = False) -> dict[str, Any]:
    """Run a command with --json; its stdout is one JSON object."""
    found = json.loads(nextcart(*arguments, "--json", cwd=cwd, interpreter=interpreter).stdout)
    assert isinstance(found, dict)
    return found


@contextmanager
def serving(cwd: Path, *arguments: object) -> Iterator[httpx.Client]:
    """A real server on a free port, ready; stopped at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nextcart", "serve", "--port", "0", *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr
        # Rules that it finds are said before.
        line = next((line for line in iter(process.stderr.readline, "") if "http://" in line), "")
        url = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert url, line + process.stderr.read()
        with httpx.Client(base_url=url[0], timeout=30) as client:
            wait_until_ready(client)
            yield client
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 0


def wait_until_ready(client: httpx.Client) -> None:
    """Wait for /health/ready to say 200."""
    end = time.monotonic() + READY_SECONDS
    while True:
        try:
            if client.get("/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < end, "the server was never ready"
        time.sleep(0.05)


def shared(name: str) -> Path:
    """A real data set beside the checkout; the test skips where there is none."""
    file = SHARED_DATA / name
    if not file.is_file():
        pytest.skip(f"no real data at ../shared/data/{name}")
    return file
