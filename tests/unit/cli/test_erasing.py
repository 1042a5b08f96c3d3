"""What ``nextcart erase`` takes, and what it says where there is nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from nextcart.cli.main import app
from nextcart.errors import InputError
from nextcart.serving.erasing import ErasureRecords


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with neither store nor models nor state."""
    monkeypatch.chdir(tmp_path)


def erase(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["erase", *arguments], input=stdin)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "no session to erase; name one, or give --file FILE or --pending"),
        (("--file", "none.txt"), r"none.txt: cannot be read \(No such file or directory\); check the path"),
        (("--file", "latin.txt"), "latin.txt: is not UTF-8; write one id a line"),
        (("--file", "empty.txt"), "no session to erase"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], says: str) -> None:
    Path("latin.txt").write_bytes(b"\xfc\n")
    Path("empty.txt").write_text("\n \n")
    error = erase(*arguments).exception
    assert isinstance(error, InputError)
    with pytest.raises(InputError, match=says):
        raise error


def test_ids_come_from_everywhere_and_count_once() -> None:
    Path("ids.txt").write_bytes("\ufeffb\r\n\n  c with spaces \na\n".encode())
    assert json.loads(erase("a", "--file", "ids.txt", "--json").stdout)["sessions"] == 3
    assert json.loads(erase("--file", "-", "--json", stdin="x\ny\nx\n").stdout)["sessions"] == 2
    ErasureRecords(Path("elsewhere")).add_pending(["p", "a"])
    assert json.loads(erase("a", "--pending", "--state", "elsewhere", "--json").stdout)["sessions"] == 2
    assert ErasureRecords(Path("elsewhere")).pending() == []


def test_a_session_that_is_nowhere_is_no_error() -> None:
    done = erase("nobody-at-all")
    assert done.exit_code == 0
    assert "1 session erased" in done.stdout
    assert "there is none" in done.stdout
    assert b"nobody-at-all" not in b"".join(file.read_bytes() for file in Path().rglob("*") if file.is_file())


def test_nothing_is_waiting() -> None:
    done = erase("--pending", "--json")
    assert (done.exit_code, json.loads(done.stdout)["sessions"]) == (0, 0)
    assert not list(Path().rglob("receipts.jsonl"))
