"""The pages that a person looks at, in a real browser that cannot reach any other host."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.conftest import Workplace
from tests.running import nextcart, serving

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--dump-dom",
)


def render(address: str, profile: Path, virtual_ms: int = 10_000) -> tuple[str, list[str]]:
    """The page's DOM once its scripts have run for so long, by the browser's own clock, and what they complained of."""
    browser = shutil.which("chromium")
    assert browser, "chromium is missing: run make test, or apt-get install chromium"
    command = [browser, *FLAGS, f"--virtual-time-budget={virtual_ms}", f"--user-data-dir={profile}", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    complaints = re.findall(r"CONSOLE.*?\"(.*)\", source", done.stderr)
    return done.stdout, complaints


def test_the_profile_page_draws_every_chart(workplace: Workplace, tmp_path: Path) -> None:
    nextcart("profile", "--output", tmp_path / "page.html", cwd=workplace.folder)
    dom, complaints = render(f"file://{tmp_path / 'page.html'}", tmp_path / "browser")
    assert complaints == []
    assert len(re.findall(r"<(?:svg|canvas)[^>]*class=\"marks\"", dom)) == 10


@pytest.mark.slow
def test_the_api_page_lists_the_routes(workplace: Workplace, tmp_path: Path) -> None:
    with serving(workplace.folder) as client:
        dom, complaints = render(f"{client.base_url}/docs", tmp_path / "browser")
    assert complaints == []
    for path in ("/v1/recommend", "/v1/recommend/batch", "/v1/top-sellers", "/v1/items/{aid}/similar", "/health/ready"):
        assert f'data-path="{path}"' in dom
