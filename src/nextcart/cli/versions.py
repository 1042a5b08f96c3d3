"""Commands on published versions: models, promote, rollback."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from nextcart.cli.options import MODELS, JsonOption, ModelsOption
from nextcart.cli.output import counted, day, err, metric, out, print_json, table

if TYPE_CHECKING:
    from nextcart.cli.fitting_table import FittingTable
    from nextcart.evaluation.report import Evaluation
    from nextcart.repository.manifest import Manifest

LIVE = "a running 'nextcart serve' answers with it in a moment, unless it was started with --version"


def models(models: ModelsOption = MODELS, json: JsonOption = False) -> None:
    """List the published versions with their aliases and metrics, newest first.

    Example: nextcart models
    """
    from nextcart.errors import RepositoryError
    from nextcart.repository.repository import Repository

    repository = Repository(models)
    aliases = repository.aliases()
    named: dict[str, list[str]] = {}
    for alias, version in aliases.model_dump().items():
        if version:
            named.setdefault(version, []).append(alias)
    found, broken = [], repository.broken()
    for manifest in reversed(repository.versions()):
        try:
            evaluations = repository.evaluations(manifest.version)
        except RepositoryError as error:
            # One bad file must not hide the versions that there are to go back to.
            evaluations = list(manifest.evaluations)
            broken.append((manifest.version, str(error)))
        found.append((manifest, evaluations, named.get(manifest.version, [])))
    if json:
        versions = [
            {
                **manifest.model_dump(mode="json", exclude={"artifacts", "config", "environment"}),
                "evaluations": [evaluation.model_dump(mode="json") for evaluation in evaluations],
                "aliases": names,
            }
            for manifest, evaluations, names in found
        ]
        print_json({"aliases": aliases.model_dump(), "versions": versions, "broken": dict(broken)})
        return
    for version in found:
        out.print(_table(*version))
    if not found:
        out.print("no version yet: run 'nextcart train' first")
    for name, reason in broken:
        err.print(f"{name}: {reason}", markup=False, soft_wrap=True)


def _table(manifest: Manifest, evaluations: Sequence[Evaluation], aliases: Sequence[str]) -> FittingTable:
    """A version's name and aliases, and a row a split and model."""
    named = f"{manifest.version}{' = ' if aliases else ''}{', '.join(aliases)}"
    title = f"{named}\nfitted on {counted(manifest.data.events, 'event')} to {day(manifest.data.last_ts)}; mode next"
    rows = []
    for evaluation in (each for each in evaluations if each.protocol == "next_event"):
        split = f"{evaluation.split}{' (limited)' if evaluation.limited else ''}"
        for name, by_mode in evaluation.metrics.items():
            if "next" in by_mode:
                figures = (metric(by_mode["next"].get(key)) for key in ("recall", "recall_new", "mrr", "coverage"))
                rows.append((split, name, *figures))
    rows = rows or [("not evaluated", "", "", "", "", "")]
    return table(title, ("split", "model", "recall", "recall new", "MRR", "coverage"), rows, left=2)


def promote(
    version: Annotated[
        str | None, typer.Argument(help="A version or the start of one; default: the candidate.")
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="The version published last.")] = False,
    models: ModelsOption = MODELS,
    json: JsonOption = False,
) -> None:
    """Put a version into production, once its files are checked against its manifest.

    Example: nextcart promote --latest
    """
    from nextcart.errors import InputError
    from nextcart.repository.repository import Repository

    if version and latest:
        raise InputError("give a version or --latest, not both")
    aliases = Repository(models).promote("latest" if latest else version)
    if json:
        print_json(aliases.model_dump())
        return
    out.print(f"production: {aliases.production}\nprevious: {aliases.previous or 'none'}\n{LIVE}")


def rollback(models: ModelsOption = MODELS, json: JsonOption = False) -> None:
    """Go back to the version that was in production before, once.

    A second rollback is refused, so that it never brings back what the first took out; 'nextcart promote' does.

    Example: nextcart rollback
    """
    from nextcart.repository.repository import Repository

    aliases, replaced = Repository(models).rollback()
    if json:
        print_json({**aliases.model_dump(), "replaced": replaced})
        return
    out.print(f"production: {aliases.production}\nprevious: none\n{LIVE}")
    if replaced:
        where = () if models == MODELS else ("--models", str(models))
        undo = shlex.join(("nextcart", "promote", replaced, *where))
        out.print(f"undo with: {undo}", markup=False, soft_wrap=True)
