"""Commands that make and measure versions: train, evaluate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from nextcart.cli.options import (
    MODELS,
    STORE,
    ConfigOption,
    EngineOption,
    JsonOption,
    ModelsOption,
    StoreOption,
    VersionOption,
    comma_list,
    one_of,
)
from nextcart.cli.output import out, print_json, shown_progress, table
from nextcart.types import DEFAULT_MODELS

if TYPE_CHECKING:
    from nextcart.config import RankerConfig
    from nextcart.repository.manifest import Manifest


def train(
    store: StoreOption = STORE,
    models: ModelsOption = MODELS,
    only: Annotated[str | None, typer.Option("--only", help="Models to fit, by comma; default: all.")] = None,
    on: Annotated[
        str | None, typer.Option("--on", help="all or train_split; default: the training split where one was made.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Fit every model, also those that a run that died had fitted.")
    ] = False,
    engine: EngineOption = "local",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Fit the models, evaluate them on the validation split where there is one, and publish a version.

    Example: nextcart train --only covisitation,item2vec
    """
    from nextcart.cli.tables import best_line
    from nextcart.config import load_settings
    from nextcart.events.engine import ENGINES, opener
    from nextcart.events.store import Store
    from nextcart.pipeline.steps import train as run

    settings = load_settings(config)
    with shown_progress() as progress:
        manifest = run(
            Store.open(store),
            models,
            settings,
            on=on,
            only=comma_list(only),
            fresh=fresh,
            opener=opener(one_of(engine, ENGINES, "--engine"), settings.spark),
            progress=progress,
        )
    if json:
        print_json(manifest.model_dump(mode="json"))
        return
    rows = [
        (step.stage, f"{step.wall_seconds:.1f}", f"{step.cpu_seconds:.1f}", f"{step.peak_memory_bytes / 2**20:,.0f}")
        for step in manifest.timings
    ]
    out.print(table(None, ("stage", "seconds", "CPU seconds", "peak MiB"), rows))
    for evaluation in manifest.evaluations:
        out.print(best_line(evaluation))
    if not manifest.evaluations:
        out.print(
            "not evaluated, since it was trained on all events: measure it on others, added by 'nextcart ingest FILE "
            "--split test', or the same settings by a version that leaves some out: 'nextcart split', 'nextcart train'",
            soft_wrap=True,
        )
    if only is None and (why := _left_out(manifest, settings.models.ranker)):
        out.print(why, style="yellow", soft_wrap=True)
    size = _size(sum(artifact.bytes for artifact in manifest.artifacts))
    out.print(
        f"published {manifest.version} ({size}) as candidate, fitted on {manifest.data.events:,} events of "
        f"'{manifest.data.split}'; put it into production with: nextcart promote"
    )


def _left_out(manifest: Manifest, ranker: RankerConfig) -> str | None:
    """What is said where a training of all models came out without a ranker."""
    fitted = {artifact.path.split("/")[0] for artifact in manifest.artifacts}
    if "ranker" in fitted:
        return None
    return (
        f"the ranker was left out: the events pose fewer than {ranker.min_questions:,} questions to learn from "
        f"(models.ranker.min_questions); {next(name for name in DEFAULT_MODELS if name in fitted)} answers in its place"
    )


def _size(count: int) -> str:
    """A number of bytes, in the unit that shows it: 42.0 KiB · 1.5 MiB."""
    return f"{count / 2**10:,.1f} KiB" if count < 2**20 else f"{count / 2**20:,.1f} MiB"


def evaluate(
    store: StoreOption = STORE,
    models: ModelsOption = MODELS,
    version: VersionOption = None,
    split: Annotated[
        str | None, typer.Option("--split", help="test or val_split; default: test where the store has it.")
    ] = None,
    only: Annotated[str | None, typer.Option("--only", help="Models to evaluate, by comma; default: all.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most so many sessions, for a quick look.")
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            "--protocol",
            help="next_event, next_click, multi_objective, basket_completion, next_period, or all; may be repeated; "
            "default: next_event.",
        ),
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Replay held-out sessions through a version; by default the last event of each is the target.

    Example: nextcart evaluate --version candidate --protocol next_click --protocol multi_objective
    """
    from nextcart.cli.figures import protocol_tables
    from nextcart.cli.tables import evaluation_line
    from nextcart.config import load_settings
    from nextcart.evaluation.report import PROTOCOLS
    from nextcart.events.store import Store
    from nextcart.pipeline.steps import evaluate_version

    named = [one_of(name, (*PROTOCOLS, "all"), "--protocol") for name in protocol or PROTOCOLS[:1]]
    settings = load_settings(config)
    with shown_progress() as progress:
        chosen, evaluations = evaluate_version(
            Store.open(store),
            models,
            settings,
            version=version,
            split=split,
            only=comma_list(only),
            limit=limit,
            protocols=[each for each in PROTOCOLS if each in named or "all" in named],
            progress=progress,
        )
    if json:
        found = [evaluation.model_dump(mode="json") for evaluation in evaluations]
        print_json({"version": chosen, **(found[0] if len(found) == 1 else {"evaluations": found})})
        return
    for evaluation in evaluations:
        for each in protocol_tables(evaluation):
            out.print(each)
        out.print(evaluation_line(evaluation))
        if evaluation.kept is None:
            out.print(
                f"not kept: the version's {evaluation.protocol} evaluation of more models was made with other "
                "settings, or by training; without --only it is made anew.",
                soft_wrap=True,
            )
