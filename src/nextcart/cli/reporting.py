"""The command that writes the report of a version: report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nextcart.cli.options import (
    MODELS,
    STORE,
    ConfigOption,
    JsonOption,
    ModelsOption,
    NamesOption,
    StoreOption,
    VersionOption,
)
from nextcart.cli.output import counted, out, print_json, shown_progress


def report(
    version: VersionOption = None,
    models: ModelsOption = MODELS,
    store: StoreOption = STORE,
    output: Annotated[Path, typer.Option("--output", help="The HTML page to write.")] = Path("var/report.html"),
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Look at no more than so many held-out sessions.")
    ] = 1000,
    names: NamesOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Write all that is known of a version on one self-contained HTML page.

    Figures come from what 'nextcart evaluate' kept. Curves, sources, calibration and examples are made anew from
    sessions of the store that the version has not seen; without such sessions the page says what is missing.

    Example: nextcart report --version candidate --output report.html
    """
    from nextcart.cli.tables import Names
    from nextcart.config import load_settings
    from nextcart.pipeline.reporting import write_report

    # A file that cannot be read is said before the work that it would waste.
    Names.read(names, ())
    places = (("--store", store, STORE), ("--models", models, MODELS))
    options = [part for name, given, usual in places if given != usual for part in (name, str(given))]
    with shown_progress() as progress:
        chosen, seen, why_not = write_report(
            models,
            store,
            output,
            load_settings(config),
            version=version,
            limit=limit,
            options=options,
            names=None if names is None else lambda items: Names.read(names, items).of,
            progress=progress,
        )
    if json:
        facts = None if seen is None else {"split": seen.split, "sessions": seen.sessions, "questions": seen.questions}
        print_json({"version": chosen, "page": str(output), "looked_at": facts, "why_not": why_not or None})
        return
    looked = why_not
    if seen is not None:
        sessions, questions = counted(seen.sessions, "session"), counted(seen.questions, "question")
        looked = f"looked at {sessions} of {seen.split}, {questions}"
    out.print(looked, markup=False, soft_wrap=True)
    out.print(f"the report of {chosen}: {output}", markup=False, soft_wrap=True)
