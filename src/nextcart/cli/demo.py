"""``nextcart demo``: the whole way on real data, by the true commands, each shown as it runs."""

from __future__ import annotations

import shlex
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from nextcart.cli.output import out, table
from nextcart.cli.tables import Names, best_model, evaluation_line, evaluation_tables
from nextcart.errors import InputError, RunFailed
from nextcart.types import Int32s

if TYPE_CHECKING:
    from nextcart.models.recommender import Recommender

ROOT = Path("var/demo")
TOP_SELLERS, PRODUCTS, COMPLEMENTS = 10, 3, 5
SEARCHED_SELLERS = 50
"""Best sellers among which the products with complements are looked for."""
REPLAYED_STEPS = 3


def demo(
    data: Annotated[
        str, typer.Option("--data", help="grocery (real purchases), synth, or a file of your own.")
    ] = "grocery",
    columns: Annotated[
        str | None, typer.Option("--columns", help="As in 'nextcart ingest', for your own file.")
    ] = None,
    types: Annotated[str | None, typer.Option("--types", help="As in 'nextcart ingest', for your own file.")] = None,
) -> None:
    """From raw events to a promoted version, and what it recommends.

    Example: nextcart demo --data synth
    """
    folder = ROOT / (data if data in ("grocery", "synth") else _own_folder(Path(data), columns, types))
    store, models = folder / "store", folder / "models"
    names: Path | None = None
    settings: tuple[str, ...] = ()
    if data == "grocery":
        from nextcart.cli.demo_data import prepare_grocery

        out.print("# a year of real grocery purchases; a household's month is a session, all events are orders")
        grocery = prepare_grocery(folder)
        events, names, settings = grocery.events, grocery.names, ("--config", str(grocery.settings))
    elif data == "synth":
        events = folder / "shop.jsonl.gz"
        _run("synth", "--seed", "42", "--output", str(events))
    else:
        events = Path(data)
    where = ("--store", str(store))
    mapped = [*(("--columns", columns) if columns else ()), *(("--types", types) if types else ())]
    _run("ingest", str(events), *where, *mapped)
    _run("profile", *where, "--output", str(folder / "profile.html"))
    _run("split", *where)
    _run("train", *where, "--models", str(models), *settings)
    _run("evaluate", *where, "--models", str(models), "--version", "candidate", "--split", "val_split")
    _run("promote", "--latest", "--models", str(models))
    _show(store, models, names)
    out.print(f"\nprofile page: {folder / 'profile.html'}", markup=False)
    out.print(f"start the server:\n\n  nextcart serve --models {models}\n", markup=False)


def _own_folder(file: Path, columns: str | None, types: str | None) -> str:
    """A name for what is made of a file: another one for another file, content or mapping, lest a store mix them."""
    changed = file.stat().st_mtime_ns if file.exists() else 0
    what = f"{file.resolve()} {changed} {columns} {types}"
    return f"own-{file.name.split('.')[0]}-{sha256(what.encode()).hexdigest()[:8]}"


def _run(*arguments: str) -> None:
    """Run a command as a person would, its words and output shown.

    Raises:
        InputError: the command could not use what it was given; it has said why.
        RunFailed: the command failed otherwise.
    """
    out.print(f"\n$ nextcart {shlex.join(arguments)}", style="bold cyan", markup=False, soft_wrap=True)
    sys.stdout.flush()
    done = subprocess.run([sys.executable, "-m", "nextcart", *arguments], check=False)  # noqa: S603 - our own command
    if done.returncode:
        kind = InputError if done.returncode == InputError.exit_code else RunFailed
        raise kind(f"'nextcart {arguments[0]}' failed with exit code {done.returncode}; see the line above")


def _show(store: Path, models: Path, names_file: Path | None) -> None:
    """What a person wants to see: metrics, top sellers, complements by name, one session replayed."""
    from nextcart.events.store import Store
    from nextcart.models.recommender import Recommender
    from nextcart.pipeline.unfold import typical_session
    from nextcart.repository.repository import Repository

    names = Names.read(names_file)
    repository = Repository(models)
    version = repository.resolve()
    recommender = Recommender.load(repository.folder(version))
    out.rule("metrics by model")
    (evaluation,) = repository.evaluations(version)
    for each in evaluation_tables(evaluation):
        out.print(each)
    out.print(evaluation_line(evaluation))
    ids = recommender.vocabulary.ids
    top = recommender.top_sellers(SEARCHED_SELLERS)
    sellers = [names.of(aid) for aid in ids(top.items[0][top.items[0] >= 0])]
    out.rule(f"the {TOP_SELLERS} top sellers")
    out.print(
        table(None, ("rank", "item"), [(str(n), name) for n, name in enumerate(sellers[:TOP_SELLERS], 1)], left=2)
    )
    out.rule("bought together")
    for row in _everyday(recommender, top.items[0], names):
        found = recommender.bought_together(np.array([row], np.int32), COMPLEMENTS)
        pairs = zip(ids(found.items[0][found.items[0] >= 0]), found.scores[0], strict=False)
        rows = [(names.of(aid), f"{score:.3f}") for aid, score in pairs]
        out.print(table(f"with {names.of(ids(np.array([row], np.int32))[0])}", ("item", "score"), rows))
    best = best_model(evaluation)
    asked = f"the best model here, {best}" if best else f"the default model, {recommender.default_model}"
    out.rule(f"one session replayed: of middling length, by {asked}")
    # Taken by rule, not because it looks good.
    session = typical_session(Store.open(store), "val_split")
    if session is None:
        out.print("no session of the validation split has two events")
        return
    chosen = ("--model", best or recommender.default_model, *(("--names", str(names_file)) if names_file else ()))
    where = ("--store", str(store), "--models", str(models))
    _run("inspect", session, *where, "--steps", str(REPLAYED_STEPS), *chosen)


def _everyday(recommender: Recommender, sellers: Int32s, names: Names) -> list[int]:
    """The best-selling items that have complements, each of another name, since a name may stand for several items."""
    chosen: dict[str, int] = {}
    for row in sellers[sellers >= 0]:
        if len(chosen) == PRODUCTS:
            break
        basket = np.array([row], np.int32)
        name = names.plain(recommender.vocabulary.ids(basket)[0])
        if name not in chosen and recommender.bought_together(basket, COMPLEMENTS).items[0, 0] >= 0:
            chosen[name] = int(row)
    return list(chosen.values())
