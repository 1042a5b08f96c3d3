"""Salted digests of sessions' ids, which tell an erased session to who knows its id.

A digest hides an id from who sees it, not from who tries all ids: where ids are small integers, that is soon done.
"""

from __future__ import annotations

import hashlib
from secrets import token_hex

from nextcart.types import Id


def new_salt() -> str:
    """Random text that stands before each id that is digested."""
    return token_hex(16)


def digest(salt: str, session: Id) -> str:
    """The digest of a session's id; 12 and "12" have one, since a store holds ids of one type."""
    return hashlib.sha256(f"{salt}{session}".encode()).hexdigest()
