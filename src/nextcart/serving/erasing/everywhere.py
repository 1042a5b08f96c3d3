"""Erasing from the command line: the event store, the session store, the event log, and which versions have learned."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nextcart.config import Settings
from nextcart.errors import StoreMissing
from nextcart.events.erase import ErasedFromStore, erase_sessions
from nextcart.repository.repository import Repository
from nextcart.serving.erasing.receipts import (
    NOW,
    WITH_TRAINING,
    Found,
    Gone,
    Receipt,
    StoreFound,
    id_forms,
    log_found,
    receipt,
)
from nextcart.serving.erasing.records import ErasureRecords
from nextcart.serving.event_log import erase as erase_lines
from nextcart.serving.sessions import SessionStore, open_sessions
from nextcart.types import Id, Progress, no_progress


@dataclass(frozen=True, slots=True)
class Places:
    """Where sessions may be.

    Attributes:
        store: the event store's folder; there need be none.
        models: the model repository's folder; there need be none.
        state: the folder of what the service writes; there need be none.
    """

    store: Path
    models: Path
    state: Path


def erase_everywhere(
    sessions: Sequence[str], places: Places, settings: Settings, progress: Progress = no_progress
) -> Receipt:
    """Erase sessions from every place, and keep the receipt; typed again after a failure, it does what is left.

    Args:
        sessions: ids as texts; one that reads as an integer means both the text and the integer.
        places: where they may be.
        settings: say where the session store is, and how events are read.
        progress: told how many files of the event store were looked at.

    Raises:
        SessionsUnavailable: Redis does not answer.
        StoreError: another process is writing to the event store.
        RunFailed: the disk is full.
        OSError: a log cannot be written.
    """
    forms = id_forms(sessions)
    held = _from_sessions(forms, settings)
    stored = _from_store(places.store, forms, settings, progress)
    logged = log_found(erase_lines(places.state / "event_log", forms))
    shown = log_found(erase_lines(places.state / "exposures", forms))
    given = receipt(
        len(sessions),
        Found(
            session_store=held,
            event_log=logged,
            exposures=shown,
            event_store=_figures(stored),
            models=_versions_of(places.models, stored),
        ),
        Gone(
            session_store=_when_sessions_are_gone(held, settings),
            event_log=NOW,
            event_store=NOW,
            models=WITH_TRAINING,
        ),
    )
    if sessions:
        records = ErasureRecords(places.state)
        records.keep(given, sessions)
        records.clear(set(sessions))
    return given


def _from_sessions(forms: Iterable[Id], settings: Settings) -> int | None:
    """How many sessions Redis held; None where sessions are in the memory of the service, out of reach from here."""
    if settings.sessions.redis_url is None:
        return None
    return asyncio.run(_erase_each(open_sessions(settings.sessions), forms))


async def _erase_each(store: SessionStore, forms: Iterable[Id]) -> int:
    try:
        return sum([await store.erase(form) for form in forms])
    finally:
        await store.close()


def _from_store(store: Path, forms: Sequence[Id], settings: Settings, progress: Progress) -> ErasedFromStore | None:
    try:
        return erase_sessions(store, forms, settings.ingest, progress)
    except StoreMissing:
        return None


def _figures(stored: ErasedFromStore | None) -> StoreFound | None:
    if stored is None:
        return None
    return StoreFound(
        stored.sessions, stored.events, {str(name): events for name, events in stored.splits.items()}, stored.rejects
    )


def _versions_of(models: Path, stored: ErasedFromStore | None) -> list[str]:
    """The versions fitted on events of the sessions' time: one cannot tell from a count whose it is."""
    if stored is None or stored.first_ts is None or stored.last_ts is None:
        return []
    return [
        manifest.version
        for manifest in Repository(models).versions()
        if manifest.data.first_ts <= stored.last_ts and stored.first_ts <= manifest.data.last_ts
    ]


def _when_sessions_are_gone(held: int | None, settings: Settings) -> str:
    if held is not None:
        return NOW
    return f"{settings.sessions.ttl_seconds} s after its last request; at once by DELETE /v1/sessions/{{id}}"
