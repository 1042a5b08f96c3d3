"""Whether a file's ids make a store of integer or of string ids, or fit the one there is."""

from __future__ import annotations

from typing import Literal

from nextcart.errors import InputError
from nextcart.events.sample import Sample
from nextcart.events.schema import StoreManifest
from nextcart.events.sources import RawFile
from nextcart.types import IdType

IdChoice = Literal["auto", "int64", "string"]
IdTypes = tuple[IdType, IdType]
"""Types of session ids and of item ids."""

STRAY_SHARE = 0.01
"""With ``auto``, up to this share of other ids in the first file does not turn a store of integers into one of text."""


def choose_types(file: RawFile, seen: Sample, choice: IdChoice) -> IdTypes:
    """Id types of a new store, by its first file.

    Raises:
        InputError: integers were asked for and most of the file's ids are none.
    """
    if choice == "auto":
        return (
            "string" if seen.odd_sessions > STRAY_SHARE else "int64",
            "string" if seen.odd_aids > STRAY_SHARE else "int64",
        )
    types: IdTypes = (choice, choice)
    require_fit(file, seen, types)
    return types


def require_fit(file: RawFile, seen: Sample, types: IdTypes) -> None:
    """Refuse a file whose ids are mostly of another kind than the store's.

    Raises:
        InputError: they are, with the way out.
    """
    fields = (
        ("session", types[0], seen.not_integer_sessions, seen.session),
        ("item", types[1], seen.not_integer_aids, seen.aid),
    )
    for what, id_type, share, example in fields:
        if id_type == "int64" and share > 0.5:
            raise InputError(
                f"{file.path}: its {what} ids are no integers (such as '{example}'), but integers are due here; "
                "ingest all files into a new store with --ids string"
            )


def require_choice(manifest: StoreManifest, choice: IdChoice) -> IdTypes:
    """Id types of the store there is.

    Raises:
        InputError: other ones are asked for.
    """
    types: IdTypes = (manifest.session_type, manifest.aid_type)
    if choice not in ("auto", *types):
        raise InputError(
            f"the store has {types[0]} session ids and {types[1]} item ids, not {choice} ones; "
            "leave --ids out, or ingest all files into a new store"
        )
    return types
