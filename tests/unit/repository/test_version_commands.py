"""What ``nextcart models``, ``promote`` and ``rollback`` print of a repository."""

import re
import shlex
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from nextcart.cli import versions
from nextcart.cli.main import app
from nextcart.cli.output import PLAIN_WIDTH
from nextcart.errors import NextcartError
from nextcart.evaluation.report import Evaluation
from nextcart.repository import Manifest, Repository


@pytest.fixture
def run(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """run(*arguments): a command on the repository."""
    monkeypatch.setattr(versions.out, "width", PLAIN_WIDTH)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--models", str(repository.root)])

    return invoke


def test_a_rollback_says_how_to_undo_it(
    repository: Repository, publish: Callable[[int], Manifest], run: Callable[..., Result]
) -> None:
    good, broken = publish(1).version, publish(2).version
    run("promote", good)
    assert "'nextcart serve' answers with it" in run("promote", broken).stdout
    lines = run("rollback").stdout.splitlines()
    assert lines[:2] == [f"production: {good}", "previous: none"]
    assert "'nextcart serve' answers with it" in lines[2]
    undo = re.fullmatch(r"undo with: nextcart (.*)", lines[3])
    assert undo
    assert shlex.split(undo[1]) == ["promote", broken, "--models", str(repository.root)]
    second = run("rollback")
    assert isinstance(second.exception, NextcartError)
    assert second.exception.exit_code == 2
    CliRunner().invoke(app, shlex.split(undo[1]), catch_exceptions=False)
    assert repository.aliases().production == broken


def test_an_evaluation_that_cannot_be_read_hides_no_version(
    repository: Repository,
    publish: Callable[[int], Manifest],
    evaluation: Evaluation,
    run: Callable[..., Result],
) -> None:
    first, second = publish(1).version, publish(2).version
    file = repository.add_evaluation(first, evaluation)
    file.write_text("{")
    done = run("models")
    assert done.exit_code == 0
    assert first in done.stdout
    assert second in done.stdout
    assert f"{first}: {file}" in done.stderr
    assert "nextcart evaluate" in done.stderr


def test_each_version_is_named_whole_on_a_terminal_of_80_columns(
    publish: Callable[[int], Manifest], run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = publish(1).version, publish(2).version
    run("promote", second)
    monkeypatch.setattr(versions.out, "width", 80)
    lines = [line.rstrip() for line in run("models").stdout.splitlines()]
    assert lines.index(f"{second} = production, candidate") < lines.index(first)
    assert lines.count("fitted on 50 events to 2022-08-28; mode next") == 2
    assert lines.count("│ val_split │ hybrid │ 0.5000 │          – │   – │        – │") == 2
