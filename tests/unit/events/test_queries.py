"""The blocks of ``queries.sql``."""

from __future__ import annotations

import re

import pytest

from nextcart.errors import InputError
from nextcart.events.queries import parse, queries, query


def test_blocks_are_parsed() -> None:
    found = parse(
        "-- A head.\n\n-- name: one --\n-- The first.\nselect $a, $b_c;\n\n-- name: two --\n-- More.\nselect 1"
    )
    assert list(found) == ["one", "two"]
    assert (found["one"].purpose, found["one"].sql) == ("The first.", "select $a, $b_c")
    assert found["one"].parameters == {"a", "b_c"}
    assert (found["two"].sql, found["two"].parameters) == ("select 1", frozenset())


def test_a_name_stands_once() -> None:
    with pytest.raises(ValueError, match="'one' stands twice"):
        parse("-- name: one --\n-- A.\nselect 1;\n-- name: one --\n-- B.\nselect 2;\n")


def test_every_block_of_the_file_is_well_formed() -> None:
    assert {"popularity", "item_counts", "session_events"} <= queries().keys()
    for block in queries().values():
        assert block.purpose.endswith(".")
        assert re.match(r"(select|with)\b", block.sql)
        assert ";" not in block.sql
        assert "-- name" not in block.sql


def test_an_unknown_name() -> None:
    with pytest.raises(InputError, match="there is no query 'nothing'; the names are "):
        query("nothing")
