"""The OpenAPI page held against a real service by schemathesis: what it says is taken is, and answers are as it says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from nextcart.config import ServingConfig, Settings
from nextcart.models.fitting import MODEL_NAMES
from nextcart.serving.schemas import ProblemDocument
from tests.published import START, Server, fit, publish, start, stop

READER, OPERATOR = "reader-secret-0123", "operator-secret-0123"
KEYS = f"reader:read:{READER},operator:read+events+admin:{OPERATOR}"
SETTINGS = Settings(serving=ServingConfig(max_body_bytes=100_000))
INT64 = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
EXAMPLES = 25


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    publish(fit("int64"), root)
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEXTCART_API_KEYS", KEYS)
        server = start(root, SETTINGS)
    server.wait_until(200)
    yield server
    left = stop(server)
    assert server.process.returncode == 0
    assert "Traceback" not in left


@pytest.fixture(scope="module")
def page(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{server.url}/openapi.json").json()
    return found


def narrowed(page: dict[str, Any]) -> dict[str, Any]:
    """The page as it is for the shop that is served: ids are integers, times not to come, and the models are known.

    Which form ids have and which models there are is the version's to say; the page holds for every shop.
    """
    found: dict[str, Any] = json.loads(json.dumps(with_integers(page)).replace('"b7d1"', "7"))
    schemas = found["components"]["schemas"]
    for name in ("Event", "LoggedEventBody"):
        schemas[name]["properties"]["ts"]["maximum"] = START
    schemas["RecommendRequest"]["properties"]["model"]["anyOf"][0] = {"enum": list(MODEL_NAMES)}
    return found


def with_integers(node: Any) -> Any:
    """The same with integers wherever ids may be integers or strings."""
    if isinstance(node, list):
        return [with_integers(each) for each in node]
    if not isinstance(node, dict):
        return node
    if [kind.get("type") for kind in node.get("anyOf", ())][:2] == ["integer", "string"]:
        return {**node, "anyOf": [INT64, *node["anyOf"][2:]]}
    if (node.get("in"), node.get("name")) == ("path", "aid"):
        return {**node, "schema": INT64}
    if (node.get("in"), node.get("name")) == ("query", "exclude"):
        return {**node, "schema": {**node["schema"], "items": INT64}}
    return {name: with_integers(each) for name, each in node.items()}


def run_schemathesis(page: dict[str, Any], url: str, folder: Path, *options: str) -> str:
    """What it printed; it found nothing."""
    file = folder / "page.json"
    file.write_text(json.dumps(page))
    command = [
        *("schemathesis", "run", file.name, "--url", url, "--header", f"Authorization: Bearer {OPERATOR}"),
        *("--generation-deterministic", "--continue-on-failure", "--suppress-health-check", "all", "--no-color"),
        *("--warnings", "off", *options),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    return done.stdout


def test_what_the_page_says_is_taken_is_and_every_answer_is_as_it_says(
    server: Server, page: dict[str, Any], tmp_path: Path
) -> None:
    said = run_schemathesis(
        narrowed(page),
        server.url,
        tmp_path,
        *("--checks", "all", "--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES)),
    )
    operations = sum(len(methods) for methods in page["paths"].values())
    assert f"{operations} selected / {operations} total" in said
