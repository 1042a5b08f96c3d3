"""Commands on events: ingest, profile, split, synth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from nextcart.cli.options import STORE, ConfigOption, EngineOption, JsonOption, StoreOption, mapping, one_of, valid
from nextcart.cli.output import moment, out, print_json, shown_progress, table

SplitOption = Annotated[str, typer.Option("--split", help="Where the events go: train, or test for held-out ones.")]


def ingest(
    files: Annotated[list[Path], typer.Argument(help="OTTO JSONL (plain, .gz, .zst), long CSV, or Parquet.")],
    store: StoreOption = STORE,
    split: SplitOption = "train",
    columns: Annotated[
        str | None,
        typer.Option("--columns", help="Ours=theirs, as in session=visitorid,aid=itemid,ts=timestamp,type=event."),
    ] = None,
    types: Annotated[
        str | None, typer.Option("--types", help="Theirs=ours, as in view=clicks,addtocart=carts,transaction=orders.")
    ] = None,
    ids: Annotated[str, typer.Option("--ids", help="auto, int64 or string; a store keeps the first choice.")] = "auto",
    engine: EngineOption = "local",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Add raw files to the event store.

    Example: nextcart ingest train.jsonl.gz; nextcart ingest test.jsonl --split test
    """
    from nextcart.cli.ingest_view import print_summary
    from nextcart.config import load_settings
    from nextcart.events.engine import ENGINES
    from nextcart.events.id_types import IdChoice
    from nextcart.events.ingest import IngestSplit
    from nextcart.pipeline.steps import ingest as run

    settings = load_settings(config)
    with shown_progress() as progress:
        summary = run(
            files,
            store,
            split=cast(IngestSplit, one_of(split, ("train", "test"), "--split")),
            columns=mapping(columns, "--columns"),
            types=mapping(types, "--types"),
            ids=cast(IdChoice, one_of(ids, ("auto", "int64", "string"), "--ids")),
            config=settings.ingest,
            progress=progress,
            spark=settings.spark if one_of(engine, ENGINES, "--engine") == "spark" else None,
        )
    if json:
        print_json(summary.as_dict())
        return
    print_summary(summary)


def profile(
    store: StoreOption = STORE,
    split: Annotated[str, typer.Option("--split", help="train, test, train_split or val_split.")] = "train",
    output: Annotated[Path, typer.Option("--output", help="The HTML page to write.")] = Path("var/profile.html"),
    engine: EngineOption = "local",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Look at the events: a summary here, every figure and chart on one self-contained HTML page.

    Example: nextcart profile --output profile.html
    """
    from nextcart.config import load_settings
    from nextcart.events.engine import ENGINES, opener
    from nextcart.events.profile_text import summary_rows
    from nextcart.pipeline.steps import profile as run

    opens = opener(one_of(engine, ENGINES, "--engine"), load_settings(config).spark)
    with shown_progress() as progress:
        found = run(store, split, output, progress, opener=opens)
    if json:
        print_json({**found.as_dict(), "page": str(output)})
        return
    out.print(table(None, ("figure", split), summary_rows(found)))
    out.print(f"every figure and chart: {output}", markup=False)


def split(
    store: StoreOption = STORE,
    method: Annotated[str | None, typer.Option("--method", help="percentile (of session ends) or days.")] = None,
    quantile: Annotated[float | None, typer.Option("--quantile", help="For percentile: share that trains.")] = None,
    days: Annotated[float | None, typer.Option("--days", help="For days: length of the validation part.")] = None,
    engine: EngineOption = "local",
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Cut the training events by time into a training and a validation split.

    Example: nextcart split --method days --days 7
    """
    from nextcart.config import SplitConfig, load_settings
    from nextcart.errors import InputError
    from nextcart.events.engine import ENGINES, opener
    from nextcart.pipeline.steps import split as run

    if method is None:
        method = "days" if days is not None else "percentile" if quantile is not None else None
    settings = load_settings(config)
    given = {"method": method, "quantile": quantile, "days": days}
    values = settings.split.model_dump() | {key: value for key, value in given.items() if value is not None}
    chosen = valid(SplitConfig, values)
    unused = ("quantile", quantile) if chosen.method == "days" else ("days", days)
    if unused[1] is not None:
        raise InputError(f"--{unused[0]}: means nothing for --method {chosen.method}; leave it out")
    opens = opener(one_of(engine, ENGINES, "--engine"), settings.spark)
    with shown_progress() as progress:
        summary = run(store, chosen, progress, resources=settings.ingest, opener=opens)
    if json:
        print_json(summary.as_dict())
        return
    rows = [
        (name, f"{part.events:,}", f"{part.sessions:,}", f"{part.items:,}")
        for name, part in (("train_split", summary.train_split), ("val_split", summary.val_split))
    ]
    rows.append(("left out", f"{summary.dropped_events:,}", f"{summary.dropped_sessions:,}", ""))
    out.print(table(None, ("split", "events", "sessions", "items"), rows))
    out.print(f"cut by {summary.method} ({summary.parameter:g}) at {moment(summary.cut_ts)} UTC")
    if summary.already_there:
        out.print("nothing written: the store was already split so")


def synth(
    output: Annotated[Path, typer.Option("--output", help="File to write: .jsonl, .jsonl.gz, .jsonl.zst or .parquet.")],
    preset: Annotated[
        str, typer.Option("--preset", help="small, or otto for the shape of the OTTO dataset.")
    ] = "small",
    scale: Annotated[float, typer.Option("--scale", help="Factor on the preset's sessions and items.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same bytes.")] = 42,
    days: Annotated[int, typer.Option("--days", min=1, help="Days from the first event to the last.")] = 28,
    ids: Annotated[str, typer.Option("--ids", help="int64 or string.")] = "int64",
    json: JsonOption = False,
) -> None:
    """Write a seeded synthetic shop of clicks, carts and orders; its figures are shown beside OTTO's.

    Example: nextcart synth --preset otto --scale 0.005 --seed 1 --output shop.jsonl.gz
    """
    from nextcart.events.synth import SynthConfig, generate
    from nextcart.events.synth_figures import compared_rows

    config = valid(SynthConfig, {"preset": preset, "scale": scale, "seed": seed, "days": days, "ids": ids})
    with shown_progress() as progress:
        summary = generate(config, output, progress)
    if json:
        print_json(summary.as_dict())
        return
    out.print(table(None, ("figure", "this shop", "OTTO"), compared_rows(summary.figures)))
    out.print(f"{summary.output}: {summary.bytes:,} bytes", markup=False)
