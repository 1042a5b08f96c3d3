"""The command that searches for settings: tune."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nextcart.cli.options import MODELS, STORE, ConfigOption, JsonOption, ModelsOption, StoreOption, comma_list
from nextcart.cli.output import err, metric, moment, out, print_json, shown_progress, table

if TYPE_CHECKING:
    from nextcart.pipeline.tuning import Tuned, TunedModel

INTERRUPTED = 130
"""The exit code of a command that SIGINT ended, as shells give it."""


def tune(
    store: StoreOption = STORE,
    models: ModelsOption = MODELS,
    output: Annotated[Path, typer.Option("--output", help="Where the settings go.")] = Path("tuned.toml"),
    only: Annotated[
        str | None,
        typer.Option(
            "--only", help="session_neighbours, covisitation, log_bilinear, hybrid, ranker, by comma; default: all."
        ),
    ] = None,
    on: Annotated[
        str | None, typer.Option("--on", help="all or train_split; default: the training split where one was made.")
    ] = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Trials of each model.")] = 40,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0, help="Begin no trial after so many; the models share them.")
    ] = 1800.0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget the trials of earlier runs.")] = False,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Search for settings that find more of the next clicks of the last training sessions, held back.

    Trials are kept as they end: the same command goes on after a crash, or with more --trials. Settings are written
    only where they are better beyond noise, on sessions that the search did not see.

    Example: nextcart tune --only session_neighbours,ranker --trials 40 --seconds 900 --output tuned.toml
    """
    from nextcart.config import load_settings
    from nextcart.events.store import Store
    from nextcart.pipeline.tuning import tune as run

    settings = load_settings(config)
    try:
        with shown_progress() as progress:
            tuned = run(
                Store.open(store),
                models,
                settings,
                output=output,
                on=on,
                only=comma_list(only),
                trials=trials,
                seconds=seconds,
                fresh=fresh,
                progress=progress,
            )
    except KeyboardInterrupt:
        err.print("stopped; the trials that had ended are kept, and the same command goes on with them", soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    if json:
        from msgspec import to_builtins

        print_json({"output": str(output), **to_builtins(tuned)})
        return
    out.print(table(_title(tuned), ("model", "trials", "recall", "MRR", "gain", "95 %", "settings"), _rows(tuned)))
    if not tuned.toml:
        out.print(f"nothing was better beyond noise; {output} holds no settings", markup=False, soft_wrap=True)
        return
    out.print(tuned.toml, markup=False, soft_wrap=True)
    out.print(f"written to {output}; train with: nextcart train --config {output}", markup=False, soft_wrap=True)


def _title(tuned: Tuned) -> str:
    return (
        f"{tuned.protocol}@{tuned.k}: fitted on {tuned.fitted_sessions:,} sessions before {moment(tuned.cut_ts)} UTC, "
        f"searched by {tuned.search_sessions:,} later ones, checked on {tuned.check_sessions:,} others"
    )


def _rows(tuned: Tuned) -> list[tuple[str, ...]]:
    return [_row(one) for one in tuned.models]


def _row(one: TunedModel) -> tuple[str, ...]:
    trials = f"{one.trials}" + (
        f" ({'all' if one.taken == one.trials else one.taken} of earlier runs)" if one.taken else ""
    )
    recall, mrr = (f"{metric(before)} → {metric(after)}" for before, after in zip(one.default, one.best, strict=True))
    span = "–" if one.gain.interval is None else f"{one.gain.interval[0]:+.4f} to {one.gain.interval[1]:+.4f}"
    return one.model, trials, recall, mrr, f"{one.gain.score:+.4f}", span, "new" if one.adopted else "as they were"
