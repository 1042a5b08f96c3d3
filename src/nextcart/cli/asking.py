"""Commands that ask a version: recommend, inspect, serve."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from nextcart.cli.options import (
    MODELS,
    STORE,
    ConfigOption,
    JsonOption,
    LimitOption,
    ModelOption,
    ModelsOption,
    NamesOption,
    StoreOption,
    VersionOption,
    one_of,
)
from nextcart.cli.output import counted, err, out, print_json, shown_progress
from nextcart.errors import InputError
from nextcart.types import TYPE_NAMES, Mode, Objective

if TYPE_CHECKING:
    from nextcart.events.store import Store
    from nextcart.repository.manifest import Manifest

ObjectiveOption = Annotated[str, typer.Option("--objective", help="clicks, carts or orders.")]
ModeOption = Annotated[str, typer.Option("--mode", help="next may return items of the session, discover never does.")]

LEARNED = {
    True: "this session was part of training: the lists below know it",
    None: "this session may have been part of training, before the store changed: the lists below may know it",
    False: None,
}
"""What is said of a session that a version was trained on, may have been trained on, has not seen."""


def recommend(
    sessions: Annotated[
        Path, typer.Argument(help="OTTO JSONL, plain, .gz or .zst; sessions and items need not be known.")
    ],
    output: Annotated[Path | None, typer.Option("--output", help="JSONL to write; default: stdout.")] = None,
    limit: LimitOption = 20,
    model: ModelOption = None,
    objective: ObjectiveOption = "clicks",
    mode: ModeOption = "next",
    models: ModelsOption = MODELS,
    version: VersionOption = None,
) -> None:
    """Answer every session of a file, a line each: {"session":…,"items":[…],"scores":[…]}.

    Example: nextcart recommend sessions.jsonl --limit 20 --output lists.jsonl
    """
    from nextcart.models.recommender import Recommender
    from nextcart.pipeline.batch import recommend_file
    from nextcart.repository.repository import Repository

    wanted = _objective(objective), _mode(mode)
    repository = Repository(models)
    recommender = Recommender.load(repository.folder(repository.resolve(version)))
    with shown_progress() as progress:
        summary = recommend_file(
            recommender,
            sessions,
            output,
            limit=limit,
            model=model,
            objective=wanted[0],
            mode=wanted[1],
            progress=progress,
            stdout=sys.stdout.buffer,
        )
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary.fallbacks.items()) or "none"
    err.print(f"{counted(summary.sessions, 'session')} answered; top sellers only: {reasons}", markup=False)


def inspect(
    session: Annotated[
        str | None, typer.Argument(help="A session of the store; default: a held-out one of middling length.")
    ] = None,
    model: ModelOption = None,
    limit: LimitOption = 10,
    objective: ObjectiveOption = "clicks",
    mode: ModeOption = "next",
    steps: Annotated[int, typer.Option("--steps", min=0, help="Show the last so many steps; 0: all.")] = 0,
    names: NamesOption = None,
    store: StoreOption = STORE,
    models: ModelsOption = MODELS,
    version: VersionOption = None,
    json: JsonOption = False,
) -> None:
    """Unfold a session event by event: what would have been recommended, and what came next.

    A session that the version was trained on is said to be one: its lists know what came next.

    Example: nextcart inspect 42 --model hybrid
    """
    from dataclasses import asdict

    from nextcart.cli.session_view import print_steps
    from nextcart.cli.tables import Names
    from nextcart.events.store import Store
    from nextcart.models.recommender import Recommender
    from nextcart.pipeline.unfold import learned_from, stored_session, unfold
    from nextcart.repository.repository import Repository

    wanted, there = (_objective(objective), _mode(mode)), Store.open(store)
    given = None if session is None else stored_session(there, session)
    repository = Repository(models)
    chosen = repository.resolve(version)
    manifest = repository.manifest(chosen)
    if session is None:
        session = _held_out_session(there, manifest)
    events = stored_session(there, session) if given is None else given
    learned = learned_from(there, manifest, session)
    recommender = Recommender.load(repository.folder(chosen))
    found = unfold(
        recommender, events, limit=limit, model=model, objective=wanted[0], mode=wanted[1], last=steps or None
    )
    if json:
        from msgspec import to_builtins

        unfolded = [to_builtins(asdict(step)) for step in found]
        print_json({"session": session, "version": chosen, "learned_from": learned, "steps": unfolded})
        return
    named = Names.read(names, {item.aid for step in found for item in step.shown} | {event.aid for event in events})
    out.print(
        f"session {session}, version {chosen}, model {model or recommender.default_model}, mode {mode}", markup=False
    )
    if LEARNED[learned]:
        out.print(LEARNED[learned], style="yellow", soft_wrap=True)
    print_steps(found, named, limit)


def serve(
    models: ModelsOption = MODELS,
    version: Annotated[
        str | None,
        typer.Option("--version", help="A version that is served to the end; default: what is in production, always."),
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Port; 0 takes a free one.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, max=256, help="Processes that answer.")] = None,
    config: ConfigOption = None,
) -> None:
    """Answer over HTTP; the API page is at /docs. What is promoted or rolled back goes live without a restart.

    Example: nextcart serve --port 8080
    """
    from nextcart.config import load_settings
    from nextcart.serving.processes.server import serve as run

    settings = load_settings(config)
    asked = {"host": host, "port": port, "workers": workers}
    given = {key: value for key, value in asked.items() if value is not None}
    run(settings.model_copy(update={"serving": settings.serving.model_copy(update=given)}), models, version)


def _held_out_session(store: Store, manifest: Manifest) -> str:
    from nextcart.pipeline.splits import held_out_split, refuse_leakage
    from nextcart.pipeline.unfold import typical_session

    split = held_out_split(store, None)
    refuse_leakage(store, manifest, split)
    session = typical_session(store, split)
    if session is None:
        raise InputError(f"no session of '{split}' has two events, so nothing comes next; give one by its id")
    return session


def _objective(value: str) -> Objective:
    return cast(Objective, one_of(value, TYPE_NAMES, "--objective"))


def _mode(value: str) -> Mode:
    return cast(Mode, one_of(value, ("next", "discover"), "--mode"))
