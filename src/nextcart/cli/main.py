"""The typer application, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from typing import Annotated

import typer

from nextcart.cli import asking, comparing, data, demo, erasing, reporting, training, tuning, versions
from nextcart.cli.output import err
from nextcart.errors import NextcartError

app = typer.Typer(
    name="nextcart",
    help="Recommendations for shops from anonymous sessions alone.\n\nExample: nextcart demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(demo.demo)
app.command()(data.ingest)
app.command()(data.profile)
app.command()(data.split)
app.command()(training.train)
app.command()(tuning.tune)
app.command()(training.evaluate)
app.command()(comparing.compare)
app.command()(reporting.report)
app.command()(asking.recommend)
app.command()(asking.inspect)
app.command()(versions.models)
app.command()(versions.promote)
app.command()(versions.rollback)
app.command()(asking.serve)
app.command()(data.synth)
app.command()(erasing.erase)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"nextcart {installed_version('nextcart')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Recommendations for shops from anonymous sessions alone."""


def main() -> None:
    """Entry point of the ``nextcart`` command."""
    try:
        app()
    except NextcartError as error:
        err.print(f"nextcart: {error}", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
