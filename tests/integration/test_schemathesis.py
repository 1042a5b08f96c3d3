"""The OpenAPI page held against a real service by schemathesis: what it says is taken, and answers are as it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from nextcart.config import ServingConfig, Settings
from nextcart.models.fitting import MODEL_NAMES
from nextcart.repository import Repository
from nextcart.serving.schemas import ProblemDocument
from tests.published import START, Server, fit, publish, start, stop

READER, OPERATOR = "reader-secret-0123", "operator-secret-0123"
KEYS = f"reader:read:{READER},operator:read+events+admin:{OPERATOR}"
SETTINGS = Settings(serving=ServingConfig(max_listed_items=50, max_events=20, max_batch=5, max_limit=40))
HOOKS = """
import schemathesis

def whole(node):
    if isinstance(node, list):
        return [whole(each) for each in node]
    if isinstance(node, dict):
        return {name: whole(each) for name, each in node.items()}
    return int(node) if isinstance(node, float) and node.is_integer() else node

@schemathesis.hook
def map_body(context, body):
    return whole(body)
"""
"""To JSON Schema 7.0 is an integer; to the service it is none: an id that was a float may have lost digits."""
INT64 = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}


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
    assert "Traceback" not in left, left[-4000:]


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
    for name in ("aid", "session_id"):
        schemas["LoggedEventBody"]["properties"][name] = {**INT64, "minimum": 0}
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
        *(
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            file.name,
            "--url",
            url,
            "--header",
            f"Authorization: Bearer {OPERATOR}",
        ),
        *("--generation-deterministic", "--continue-on-failure", "--suppress-health-check", "all", "--no-color"),
        *("--warnings", "off", "--phases", "examples,coverage,fuzzing", *options),
    ]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "hooks"}
    (folder / "hooks.py").write_text(HOOKS)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    # Bodies may be as long as they are allowed to be.
    said = "\n".join(line[:400] for line in done.stdout.splitlines())
    assert done.returncode == 0, said + done.stderr
    return done.stdout


def test_whatever_is_sent_the_answer_is_as_the_page_says(server: Server, page: dict[str, Any], tmp_path: Path) -> None:
    # What one shop refuses the page cannot know; the next test asks with what this shop knows.
    options = ("--checks", "all", "--exclude-checks", "positive_data_acceptance", "--max-examples", "20")
    said = run_schemathesis(page, server.url, tmp_path, *options)
    count = len([*operations(page)])
    assert f"{count} selected / {count} total" in said


def test_what_the_page_lets_be_sent_is_taken(server: Server, page: dict[str, Any], tmp_path: Path) -> None:
    options = ("--mode", "positive", "--checks", "positive_data_acceptance,not_a_server_error", "--max-examples", "30")
    said = run_schemathesis(narrowed(page), server.url, tmp_path, *options)
    assert f"{len([*operations(page)])} selected" in said


def test_a_service_that_is_not_ready_answers_as_the_page_says(
    page: dict[str, Any], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXTCART_API_KEYS", KEYS)
    version = Repository(root).resolve()
    (tmp_path / "versions" / version).mkdir(parents=True)
    (tmp_path / "versions" / version / "manifest.json").write_text("{}")
    (tmp_path / "aliases.json").write_text(json.dumps({"production": version}))
    server = start(tmp_path, SETTINGS)
    try:
        server.wait_until(503)
        checks = "status_code_conformance,content_type_conformance,response_schema_conformance"
        run_schemathesis(page, server.url, tmp_path, "--checks", checks, "--max-examples", "2", "--mode", "positive")
        assert server.wait_until(503).json()["type"] == "urn:nextcart:problem:not-ready"
    finally:
        left = stop(server)
    assert "ERROR nextcart.serving.lane" not in left


def test_whoever_may_not_is_told_so_by_every_route_as_the_page_says(server: Server, page: dict[str, Any]) -> None:
    # What a route answers that asks for a key, and one that anybody may ask.
    strangers = {None: (401, 200), "x" * 16: (401, 401), READER: (403, 200)}
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for path, method, told in operations(page):
            for key, expected in strangers.items() if "security" in told else ():
                headers = {} if key is None else {"x-api-key": key}
                response = client.request(method, path.format(aid=1000, session_id=1), headers=headers)
                wanted = expected[{} in told["security"]]
                if wanted == 200:
                    assert response.status_code not in (401, 403), path
                else:
                    assert response.status_code == wanted, path
                    assert_told(response, told)


def test_a_body_that_is_too_large_is_refused_by_every_route_as_the_page_says(
    server: Server, page: dict[str, Any]
) -> None:
    with httpx.Client(base_url=server.url, timeout=30, headers={"x-api-key": OPERATOR}) as client:
        for path, method, told in operations(page):
            if "requestBody" in told:
                response = client.request(method, path, content=b" " * 3_000_000)
                assert response.status_code == 413
                assert_told(response, told)


def operations(page: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method, and what the page tells of them."""
    for path, methods in page["paths"].items():
        for method, told in methods.items():
            yield path, method.upper(), told


def assert_told(response: httpx.Response, told: dict[str, Any]) -> None:
    """The page tells of such a problem."""
    assert "application/problem+json" in told["responses"][str(response.status_code)]["content"]
    assert response.headers["content-type"] == "application/problem+json"
    assert msgspec.json.decode(response.content, type=ProblemDocument).status == response.status_code
