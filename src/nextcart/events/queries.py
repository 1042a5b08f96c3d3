"""The named queries of ``queries.sql``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from nextcart.errors import InputError

_HEAD = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*) --\n-- (?P<purpose>.+)\n", re.MULTILINE)
_PARAMETER = re.compile(r"\$([a-z_]+)")


@dataclass(frozen=True, slots=True)
class Query:
    """One block of ``queries.sql``; ``parameters`` are the names that stand in its SQL behind a ``$``."""

    name: str
    purpose: str
    sql: str
    parameters: frozenset[str]


@cache
def queries() -> Mapping[str, Query]:
    """All named queries, by name, in the order of the file."""
    return parse((files("nextcart.events") / "queries.sql").read_text(encoding="utf-8"))


def query(name: str) -> Query:
    """The query of that name.

    Raises:
        InputError: there is none.
    """
    try:
        return queries()[name]
    except KeyError:
        raise InputError(f"there is no query '{name}'; the names are {', '.join(sorted(queries()))}") from None


def asked(name: str, given: Mapping[str, object]) -> Query:
    """The query of that name, where just its parameters are given.

    Raises:
        InputError: there is no such query, or a parameter is missing or unknown.
    """
    found = query(name)
    if found.parameters != given.keys():
        raise InputError(f"query '{name}' takes {sorted(found.parameters)}, not {sorted(given)}; give just those")
    return found


def parse(text: str) -> Mapping[str, Query]:
    """Read blocks of ``-- name: NAME --``, a line ``-- purpose`` and one statement."""
    heads = list(_HEAD.finditer(text))
    ends = [head.start() for head in heads[1:]] + [len(text)]
    found: dict[str, Query] = {}
    for head, end in zip(heads, ends, strict=True):
        sql = text[head.end() : end].strip().removesuffix(";")
        if head["name"] in found:
            raise ValueError(f"queries.sql: '{head['name']}' stands twice")
        found[head["name"]] = Query(head["name"], head["purpose"], sql, frozenset(_PARAMETER.findall(sql)))
    return MappingProxyType(found)
