"""Write cli.md, configuration.md and api.md from the code; ``make docs`` runs it, a test holds the files against it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from nextcart.cli.main import app
from nextcart.config import ENV_PREFIX, Settings
from nextcart.serving import LiveModel, create_app, open_services

HERE = Path(__file__).parent
SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
NOTE = "<!-- Written by docs/reference/generate.py; change the code, then run make docs. -->\n"


def cli_page() -> str:
    """Every command's own help."""
    runner = CliRunner()
    width = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1"}
    parts = ["# Command line\n", NOTE]
    parts.append(
        "Results go to stdout, progress and errors to stderr. Exit code 2: the input cannot be used; 1: the run "
        "failed.\n"
    )
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in commands:
        text = runner.invoke(app, [name, "--help"], env=width, terminal_width=100).output
        parts.append(f"## nextcart {name}\n\n```text\n{text.strip()}\n```\n")
    return "\n".join(parts)


def configuration_page() -> str:
    """Every setting with its default and meaning."""
    parts = ["# Configuration\n", NOTE]
    parts.append(
        "Settings stand in `nextcart.toml` in the current folder, or in the file that `--config` names. An environment "
        f"variable\n`{ENV_PREFIX}SECTION__KEY` overrides the file: `{ENV_PREFIX}MODELS__ITEM2VEC__DIM=64`. A key that\n"
        "stands nowhere on this page is an error.\n"
    )
    for name, field in Settings.model_fields.items():
        parts.extend(_section(name, field.annotation))
    return "\n".join(parts)


def api_page() -> str:
    """Every route with its parameters, as the OpenAPI document has it."""
    document = create_app(open_services(Settings(), LiveModel())).openapi()
    parts = ["# HTTP API\n", NOTE]
    parts.append("The running service shows the same at `/docs`, and as OpenAPI at `/openapi.json`.\n")
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            parts.append(f"## {method.upper()} {path}\n\n{(route.get('description') or route['summary']).strip()}\n")
            parts.extend(_parameters(route.get("parameters", [])))
            parts.extend(_body("Request", route.get("requestBody"), document))
            answer = next((route["responses"][code] for code in ("200", "202") if code in route["responses"]), None)
            parts.extend(_body("Answer", answer, document))
            codes = ", ".join(f"{code} {each['description']}" for code, each in sorted(route["responses"].items()))
            parts.append(f"Status: {codes}\n")
    return "\n".join(parts)


def _section(name: str, kind: Any) -> list[str]:
    rows, nested = [], []
    for key, field in kind.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation.__name__ != "TypeWeights":
            nested.extend(_section(f"{name}.{key}", annotation))
            continue
        rows.append(f"| `{key}` | `{_default(field)}` | {_meaning(field)} |")
    doc = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    head = [f"## [{name}]\n\n{doc}\n"]
    if rows:
        head.append("| key | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return head + nested


def _default(field: FieldInfo) -> str:
    value = field.default
    plain = value.model_dump() if isinstance(value, BaseModel) else value
    if isinstance(plain, dict) and any(isinstance(each, BaseModel) for each in plain.values()):
        return ", ".join(plain)
    if isinstance(plain, dict):
        return "{" + ", ".join(f"{key} = {each}" for key, each in plain.items()) + "}"
    return json.dumps(plain, default=str)


def _meaning(field: FieldInfo) -> str:
    text = " ".join((field.description or "").split())
    limits = [f"{SIGNS[key]} {value}" for each in field.metadata for key, value in vars_of(each) if key in SIGNS]
    return text + (f" ({', '.join(limits)})" if limits else "")


def vars_of(limit: object) -> list[tuple[str, Any]]:
    """The attributes of a limit such as Gt or Le."""
    return [(key, getattr(limit, key)) for key in SIGNS if getattr(limit, key, None) is not None]


def _parameters(parameters: list[dict[str, Any]]) -> list[str]:
    if not parameters:
        return []
    rows = []
    for each in parameters:
        required = "yes" if each.get("required") else "no"
        rows.append(f"| `{each['name']}` | {each['in']} | {required} | {each.get('description', '')} |")
    return ["| parameter | in | required | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"]


def _body(title: str, body: dict[str, Any] | None, document: dict[str, Any]) -> list[str]:
    content = (body or {}).get("content", {}).get("application/json")
    if not content:
        return []
    parts = []
    schema = content.get("schema", {})
    name = schema.get("$ref", "").rsplit("/", 1)[-1]
    properties = document.get("components", {}).get("schemas", {}).get(name, schema).get("properties", {})
    if properties:
        rows = [f"| `{key}` | {each.get('description', '')} |" for key, each in properties.items()]
        parts.append(f"{title}:\n\n| field | meaning |\n|---|---|\n" + "\n".join(rows) + "\n")
    example = content.get("example") or next((each.get("value") for each in content.get("examples", {}).values()), None)
    if example is not None:
        parts.append(f"```json\n{json.dumps(example, indent=2)}\n```\n")
    return parts


PAGES = {"cli.md": cli_page, "configuration.md": configuration_page, "api.md": api_page}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (HERE / file).write_text(page().rstrip() + "\n", encoding="utf-8")
