"""The options that several commands share, and what is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from nextcart.errors import InputError
from nextcart.types import DEFAULT_MODELS

if TYPE_CHECKING:
    from pydantic import BaseModel

Config = TypeVar("Config", bound="BaseModel")

STORE = Path("var/store")
MODELS = Path("var/models")

StoreOption = Annotated[Path, typer.Option("--store", help="Folder of the event store.")]
ModelsOption = Annotated[Path, typer.Option("--models", help="Folder of the model repository.")]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings file; default: nextcart.toml where there is one.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
VersionOption = Annotated[
    str | None,
    typer.Option("--version", help="A version, the start of one, an alias, or 'latest'; default: production."),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help=f"One model; default: the version's first of {', '.join(DEFAULT_MODELS)}."),
]
EngineOption = Annotated[
    str, typer.Option("--engine", help="local, or spark for what one machine cannot hold (see docs/how-to/spark.md).")
]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1000, help="Items a list.")]
NamesOption = Annotated[
    Path | None, typer.Option("--names", help="CSV with the columns aid and name, to show names beside ids.")
]


def comma_list(text: str | None) -> list[str] | None:
    """``a,b`` as a list; None stays None."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def mapping(text: str | None, option: str) -> dict[str, str]:
    """``a=b,c=d`` as a mapping.

    Raises:
        InputError: a part is no pair, or two have the same left side.
    """
    pairs: dict[str, str] = {}
    for part in comma_list(text) or []:
        left, equals, right = (piece.strip() for piece in part.partition("="))
        if not (left and equals and right):
            raise InputError(f"{option}: '{part}' is no pair; write them as {option} left=right,left=right")
        if left in pairs:
            raise InputError(f"{option}: '{left}' stands twice; leave one of '{left}={pairs[left]}' and '{part}' out")
        pairs[left] = right
    return pairs


def one_of(value: str, allowed: Sequence[str], option: str) -> str:
    """The value, where it is allowed.

    Raises:
        InputError: it is not.
    """
    if value not in allowed:
        raise InputError(f"{option}: '{value}' is none of {', '.join(allowed)}")
    return value


def valid(kind: type[Config], values: Mapping[str, object]) -> Config:
    """A config of options that are named as its fields are.

    Raises:
        InputError: a value is out of its range; the message names the option.
    """
    from pydantic import ValidationError

    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        raise InputError(f"--{problem['loc'][0]}: {problem['msg']} (got {problem['input']!r})") from None
