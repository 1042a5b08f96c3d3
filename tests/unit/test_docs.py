"""The reference pages say what the code says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", REFERENCE / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["cli.md", "configuration.md", "api.md"])
def test_a_reference_page_is_up_to_date(page: str) -> None:
    written = (REFERENCE / page).read_text(encoding="utf-8")
    assert generator().PAGES[page]().rstrip() + "\n" == written, "run make docs"
