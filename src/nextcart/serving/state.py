"""The state folder, looked at when the service starts: else the first event would tell that it cannot be written."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from nextcart.disk import make_private

log = logging.getLogger(__name__)

FOLDERS = ("event_log", "exposures", "erasures")
"""Within it; each is made with the first thing that goes there."""


def tell_of_state(state: Path) -> None:
    """Make the state folder; warn where it, or a folder within, cannot be written. The service answers all the same."""
    for folder in (state, *(state / name for name in FOLDERS)):
        try:
            if folder == state:
                make_private(folder)
            elif not folder.is_dir():
                continue
            _try_to_write(folder)
        except OSError as error:
            log.warning(
                "%s: cannot be written (%s), so events, changes of rules and erasures will be answered 503; make it "
                "writable for this user, or name another folder with serving.state",
                folder,
                error.strerror or error,
            )
            return


def _try_to_write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=folder):
        pass
