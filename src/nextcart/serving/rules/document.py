"""The document of a shop's rules: its fields, and what is wrong with one that cannot be taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from nextcart.errors import InputError, NextcartError
from nextcart.serving.schemas import ItemId
from nextcart.types import Id, IdType

MAX_IDS = 1_000_000
"""Of all three lists together."""
LEAST_FACTOR, MOST_FACTOR = 1e-6, 1e6
"""A boost beyond moves an item no further: lists are shorter than that."""


class RulesRefused(InputError):
    """A document cannot be taken as rules; those before it go on.

    Attributes:
        field: where, such as ``pin[1].position``; empty for the whole document.
        reason: what is wrong there, and the remedy.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field, self.reason = field, reason


class RulesConflict(NextcartError):
    """The rules are of another version than the one that was to be replaced."""


class RulesNotKept(NextcartError):
    """The rules cannot be written; those before them go on."""


class Pin(Struct, frozen=True, forbid_unknown_fields=True):
    """An item that stands at one position of every list that may hold it."""

    aid: ItemId
    position: Annotated[int, Meta(ge=1, description="From 1, the best; no two pins share one.")]


class Boost(Struct, frozen=True, forbid_unknown_fields=True):
    """An item that is raised or lowered among the candidates of a list."""

    aid: ItemId
    factor: Annotated[
        float,
        Meta(
            ge=LEAST_FACTOR,
            le=MOST_FACTOR,
            description="Divides the item's place among twice the limit: 2 raises, 0.5 lowers.",
        ),
    ]


class Rules(Struct, frozen=True, forbid_unknown_fields=True):
    """What a shop wants of every answer. A block beats a pin; what a request excludes or does not allow does, too."""

    version: Annotated[int, Meta(ge=0, description="Rises by one with each change.")]
    block: Annotated[list[ItemId], Meta(description="Items that never come, such as those that are sold out.")] = []
    pin: Annotated[list[Pin], Meta(description="Items at fixed positions of recommendations and top sellers.")] = []
    boost: Annotated[list[Boost], Meta(description="Items to raise or lower in them.")] = []

    @property
    def is_empty(self) -> bool:
        """Whether they ask for nothing."""
        return not (self.block or self.pin or self.boost)


NO_RULES = Rules(0)
"""In force where there is no file."""


def parse(data: bytes) -> Rules:
    """The document in a file.

    Raises:
        RulesRefused: it is no JSON, or a field is missing, unknown or of the wrong type.
    """
    try:
        return msgspec.json.decode(data, type=Rules)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        field = path.rstrip("`").lstrip(".")
        raise RulesRefused(field, f"{reason[:1].lower()}{reason[1:]}; correct it".replace("`", "'")) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RulesRefused("", f"not JSON in UTF-8 ({error}); write it whole") from None


def check(rules: Rules, id_type: IdType | None) -> None:
    """Look for what the types do not say; ``id_type`` is that of the shop's items, None where it is not known yet.

    Raises:
        RulesRefused: names the first field that is wrong.
    """
    count = len(rules.block) + len(rules.pin) + len(rules.boost)
    if count > MAX_IDS:
        raise RulesRefused("", f"{count} items in all; at most {MAX_IDS} may be named: leave out what no longer sells")
    if rules.version < 0:
        raise RulesRefused("version", f"is {rules.version}; it counts from 0")
    positions: dict[int, int] = {}
    for place, pin in enumerate(rules.pin):
        if pin.position < 1:
            raise RulesRefused(f"pin[{place}].position", f"is {pin.position}; the first position is 1")
        if (other := positions.setdefault(pin.position, place)) != place:
            reason = f"{pin.position} is taken by pin[{other}] already; give each pin a position of its own"
            raise RulesRefused(f"pin[{place}].position", reason)
    for place, boost in enumerate(rules.boost):
        if not LEAST_FACTOR <= boost.factor <= MOST_FACTOR:
            reason = f"is {boost.factor}; give a number from {LEAST_FACTOR} to {MOST_FACTOR}"
            raise RulesRefused(f"boost[{place}].factor", reason)
    for name, ids in (("pin", [pin.aid for pin in rules.pin]), ("boost", [boost.aid for boost in rules.boost])):
        _check_distinct(name, ids)
    if id_type is not None:
        _check_type(rules, id_type)


def _check_distinct(name: str, ids: list[Id]) -> None:
    seen: dict[Id, int] = {}
    for place, aid in enumerate(ids):
        if (other := seen.setdefault(aid, place)) != place:
            raise RulesRefused(f"{name}[{place}].aid", f"is that of {name}[{other}] already; name an item once")


def _check_type(rules: Rules, id_type: IdType) -> None:
    kind, wanted = (int, "an integer") if id_type == "int64" else (str, "a string")
    if all(type(aid) is kind for aid in rules.block) and not rules.pin and not rules.boost:
        return
    for field, aid in _ids(rules):
        if type(aid) is not kind:
            raise RulesRefused(field, f"must be {wanted}, as all item ids of this shop are")


def _ids(rules: Rules) -> Iterator[tuple[str, Id]]:
    """Each id that is named, and where."""
    yield from ((f"block[{place}]", aid) for place, aid in enumerate(rules.block))
    yield from ((f"pin[{place}].aid", pin.aid) for place, pin in enumerate(rules.pin))
    yield from ((f"boost[{place}].aid", boost.aid) for place, boost in enumerate(rules.boost))
