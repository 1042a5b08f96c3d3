"""Erasing by the running service: what it holds itself goes at once, the event store's part is written down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from nextcart.errors import SessionsUnavailable, UnreadableInput
from nextcart.serving.erasing.receipts import (
    NOW,
    WITH_PENDING,
    WITH_TRAINING,
    Found,
    Gone,
    LogFound,
    Receipt,
    id_forms,
    log_found,
    receipt,
)
from nextcart.serving.erasing.records import ErasureRecords
from nextcart.serving.problems import Problem
from nextcart.serving.sessions import SessionStore
from nextcart.types import Id

log = logging.getLogger(__name__)


class EventLines(Protocol):
    """The event log, or the exposures."""

    async def erase(self, session_ids: Iterable[Id]) -> dict[str, int]:
        """Remove sessions; the lines removed by segment."""
        ...


class Erasures:
    """Erases sessions for ``DELETE /v1/sessions/{id}``; of one event loop.

    Args:
        state: the service's folder.
        sessions: the session store.
        event_log: the event log.
        exposures: what sessions were shown.
        others_forget_seconds: where each worker process has sessions of its own, how long the others keep this one;
            None where one store serves all.
    """

    def __init__(
        self,
        state: Path,
        sessions: SessionStore,
        event_log: EventLines,
        exposures: EventLines,
        others_forget_seconds: float | None = None,
    ) -> None:
        self._records = ErasureRecords(state)
        self._sessions = sessions
        self._event_log = event_log
        self._exposures = exposures
        self._others = others_forget_seconds

    async def erase(self, session: str) -> Receipt:
        """Erase a session from all that the service holds, and let ``nextcart erase --pending`` do the rest.

        A place that cannot be reached now is left to that command too, and the receipt says so.

        Args:
            session: the id as a text; one that reads as an integer means both the text and the integer.

        Raises:
            Problem: 503, the wish cannot be written down; nothing was erased.
        """
        await self._write_down(session)
        forms = id_forms([session])
        held = await self._from_sessions(forms)
        logged = await _from_lines(self._event_log, forms)
        shown = await _from_lines(self._exposures, forms)
        given = receipt(
            1,
            Found(session_store=held, event_log=logged, exposures=shown, event_store=None, models=None),
            Gone(
                session_store=WITH_PENDING if held is None else self._when_sessions_are_gone(),
                event_log=NOW if logged is not None and shown is not None else WITH_PENDING,
                event_store=WITH_PENDING,
                models=WITH_TRAINING,
            ),
        )
        try:
            await asyncio.to_thread(self._records.keep, given, [session])
        except OSError as error:
            # The session is erased whether or not that is written down.
            log.error("receipt %s cannot be kept (%s)", given.receipt_id, error.strerror or error)  # noqa: TRY400 - one line says it
        return given

    async def _write_down(self, session: str) -> None:
        try:
            await asyncio.to_thread(self._records.add_pending, [session])
        except OSError as error:
            log.error("an erasure cannot be written down (%s)", error.strerror or error)  # noqa: TRY400 - one line says it
            detail = "the erasure cannot be written down, so nothing was erased; free space on the disk and ask again"
            raise Problem(503, "erasure-not-kept", "Nothing can be erased now", detail) from None

    async def _from_sessions(self, forms: Iterable[Id]) -> int | None:
        try:
            return sum([await self._sessions.erase(form) for form in forms])
        except SessionsUnavailable:
            return None

    def _when_sessions_are_gone(self) -> str:
        if self._others is None:
            return NOW
        return f"now in this worker process, in the others {self._others:.0f} s after the session's last request there"


async def _from_lines(lines: EventLines, forms: Iterable[Id]) -> LogFound | None:
    try:
        return log_found(await lines.erase(forms))
    except (OSError, UnreadableInput) as error:
        log.error("a session cannot be erased from a log: %s", error)  # noqa: TRY400 - one line; it names the remedy
        return None
