"""The command that forgets sessions: erase."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nextcart.cli.options import MODELS, STORE, ConfigOption, JsonOption, ModelsOption, StoreOption
from nextcart.cli.output import counted, out, print_json, shown_progress, table

if TYPE_CHECKING:
    from nextcart.serving.erasing import Receipt

StateOption = Annotated[
    Path | None, typer.Option("--state", help="Folder of what the service writes; default: serving.state.")
]


def erase(
    sessions: Annotated[list[str] | None, typer.Argument(help="Ids of sessions, in the shop's own form.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A file of ids, one a line; - reads them from standard input.")
    ] = None,
    pending: Annotated[
        bool, typer.Option("--pending", help="Also those that DELETE /v1/sessions/{id} left for this command.")
    ] = False,
    store: StoreOption = STORE,
    models: ModelsOption = MODELS,
    state: StateOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Forget sessions: in session store, event log and event store now, in the models with the next training.

    The receipt says where they were found and when they will be gone. An id that is nowhere is no error.

    Example: nextcart erase --file forgotten.txt
    """
    from msgspec import to_builtins

    from nextcart.config import load_settings
    from nextcart.errors import InputError
    from nextcart.serving.erasing import ErasureRecords
    from nextcart.serving.erasing.everywhere import Places, erase_everywhere

    settings = load_settings(config)
    places = Places(store, models, state or settings.serving.state)
    asked = [*(sessions or ()), *_read(file)]
    if pending:
        asked += ErasureRecords(places.state).pending()
    elif not asked:
        raise InputError("no session to erase; name one, or give --file FILE or --pending")
    with shown_progress() as progress:
        receipt = erase_everywhere(list(dict.fromkeys(asked)), places, settings, progress)
    if json:
        print_json(to_builtins(receipt))
        return
    _show(receipt)


def _read(file: Path | None) -> list[str]:
    """The ids in a file, one a line.

    Raises:
        InputError: it cannot be read, or is no UTF-8.
    """
    from nextcart.errors import InputError

    if file is None:
        return []
    try:
        text = typer.get_text_stream("stdin", "utf-8").read() if str(file) == "-" else file.read_text("utf-8-sig")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); check the path") from None
    except UnicodeDecodeError:
        raise InputError(f"{file}: is not UTF-8; write one id a line") from None
    return [line for line in (line.strip() for line in text.split("\n")) if line]


def _show(receipt: Receipt) -> None:
    """Where the sessions were found, and when each place will have nothing of them."""
    found, gone = receipt.found, receipt.gone
    log, shown, stored = found.event_log, found.exposures, found.event_store
    rows = [
        ("session store", _held(found.session_store), gone.session_store),
        ("event log", counted(log.lines, "event") if log else "not asked", gone.event_log),
        ("exposures", counted(shown.lines, "answer") if shown else "not asked", gone.event_log),
        (
            "event store",
            f"{counted(stored.events, 'event')} of {counted(stored.sessions, 'session')}"
            if stored
            else "there is none",
            gone.event_store,
        ),
        ("models", ", ".join(found.models or ()) or "no version of that time", gone.models),
    ]
    out.print(table(f"{counted(receipt.sessions, 'session')} erased", ("place", "found", "gone"), rows, left=3))
    out.print(f"receipt {receipt.receipt_id} of {receipt.asked_at}", markup=False)


def _held(sessions: int | None) -> str:
    return "in the server's memory, if at all" if sessions is None else counted(sessions, "session")
