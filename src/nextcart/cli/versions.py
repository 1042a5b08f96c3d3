"""Commands on published versions: models, promote, rollback."""

from __future__ import annotations

from typing import Annotated

import typer

from nextcart.cli.options import MODELS, JsonOption, ModelsOption
from nextcart.cli.output import day, err, metric, out, print_json, table


def models(models: ModelsOption = MODELS, json: JsonOption = False) -> None:
    """List the published versions with their aliases and metrics, newest first.

    Example: nextcart models
    """
    from nextcart.repository.repository import Repository

    repository = Repository(models)
    aliases = repository.aliases()
    named: dict[str, list[str]] = {}
    for alias, version in aliases.model_dump().items():
        if version:
            named.setdefault(version, []).append(alias)
    found = [(manifest, repository.evaluations(manifest.version)) for manifest in reversed(repository.versions())]
    broken = repository.broken()
    if json:
        versions = [
            {
                **manifest.model_dump(mode="json", exclude={"artifacts", "config", "environment"}),
                "evaluations": [evaluation.model_dump(mode="json") for evaluation in evaluations],
                "aliases": named.get(manifest.version, []),
            }
            for manifest, evaluations in found
        ]
        print_json({"aliases": aliases.model_dump(), "versions": versions, "broken": dict(broken)})
        return
    rows = []
    for manifest, evaluations in found:
        head = (
            manifest.version,
            ", ".join(named.get(manifest.version, [])),
            f"{manifest.data.events:,} events to {day(manifest.data.last_ts)}",
        )
        lines = [
            (f"{evaluation.split}{' (limited)' if evaluation.limited else ''}", name, values)
            for evaluation in evaluations
            for name, by_mode in evaluation.metrics.items()
            for mode, values in by_mode.items()
            if mode == "next"
        ]
        blank = ("", "", "")
        for number, (split, name, values) in enumerate(lines):
            figures = (metric(values[key]) for key in ("recall", "recall_new", "mrr", "coverage"))
            rows.append((*(blank if number else head), split, name, *figures))
        if not lines:
            rows.append((*head, "not evaluated", "", "", "", "", ""))
    heads = ("version", "alias", "fitted on", "split", "model", "recall", "recall new", "MRR", "coverage")
    out.print(table("mode next", heads, rows, left=5) if rows else "no version yet: run 'nextcart train' first")
    for name, reason in broken:
        err.print(f"{name}: {reason}", markup=False)


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
    out.print(f"production: {aliases.production}\nprevious: {aliases.previous or 'none'}")


def rollback(models: ModelsOption = MODELS, json: JsonOption = False) -> None:
    """Go back to the version that was in production before.

    Example: nextcart rollback
    """
    from nextcart.repository.repository import Repository

    aliases = Repository(models).rollback()
    if json:
        print_json(aliases.model_dump())
        return
    out.print(f"production: {aliases.production}\nprevious: {aliases.previous}")
