"""Why a record is rejected: the reasons, and the SQL that finds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from nextcart.events.schema import MAX_ID_BYTES
from nextcart.types import IdType

Reason = Literal[
    "invalid_json",
    "invalid_csv",
    "invalid_encoding",
    "line_too_long",
    "missing_field",
    "null_id",
    "negative_id",
    "not_an_integer_id",
    "id_too_long",
    "id_with_control_characters",
    "unknown_type",
    "bad_timestamp",
    "timestamp_in_seconds",
    "timestamp_in_future",
]

REASONS: Mapping[Reason, str] = {
    "invalid_json": "not JSON, or not of the form {session, events: [{aid, ts, type}]}",
    "invalid_csv": "too many or too few fields, or broken quotes",
    "invalid_encoding": "not UTF-8",
    "line_too_long": "a line of more than 16 MiB",
    "missing_field": "session, events, aid, ts or type is absent or null",
    "null_id": "the session's or the item's id is null or empty, or neither a number nor a text",
    "negative_id": "the session's or the item's id is below zero",
    "not_an_integer_id": "the store has integer ids, and this one is not a plain integer of 64 bits",
    "id_too_long": f"an id of more than {MAX_ID_BYTES} bytes",
    "id_with_control_characters": "an id with a line break, a tab or another control character",
    "unknown_type": "neither clicks, carts or orders nor mapped to one of them by --types",
    "bad_timestamp": "not a plain integer above zero",
    "timestamp_in_seconds": "a plausible date in seconds, but 1970 in milliseconds, which are due",
    "timestamp_in_future": "later than now by more than ingest.max_future_days",
}
"""Every reason with its meaning."""

REMEDIES: Mapping[Reason, str] = {
    "invalid_json": "write one session a line, as OTTO does",
    "not_an_integer_id": "ingest all files into a new store with --ids string",
    "unknown_type": "map the file's types with --types THEIRS=clicks,…",
    "timestamp_in_seconds": "multiply the timestamps by 1000",
}
"""What helps where one reason is behind most rejects; for the others it is to repair the file."""

RAW_CHARACTERS = 200
"""How much of a rejected record's text is kept."""

SECONDS_FROM, SECONDS_TO = 631_152_000, 4_102_444_800
"""Timestamps that are refused as seconds: the years 1990 to 2100; in milliseconds, January and February 1970."""


def id_fault(text: str, value: str, id_type: IdType, absent: str = "'null_id'") -> str:
    """SQL: the reason to reject an id, null where it is good.

    Args:
        text: the id as it stands in the file.
        value: the same in the store's type, null where it cannot be.
        id_type: the store's type.
        absent: the reason where ``text`` is null.
    """
    if id_type == "int64":
        return f"""case
            when {text} is null then {absent}
            when {value}::varchar is distinct from {text} then 'not_an_integer_id'
            when {value} < 0 then 'negative_id'
        end"""
    return f"""case
        when {text} is null then {absent}
        when {text} = '' then 'null_id'
        when strlen({text}) > {MAX_ID_BYTES} then 'id_too_long'
        when regexp_matches({text}, '\\p{{Cc}}') then 'id_with_control_characters'
    end"""


def time_fault(text: str, value: str, newest_ms: int) -> str:
    """SQL: the reason to reject a timestamp, null where it is good; arguments as in `id_fault`."""
    return f"""case
        when {text} is null then 'missing_field'
        when {value}::varchar is distinct from {text} or {value} <= 0 then 'bad_timestamp'
        when {value} between {SECONDS_FROM} and {SECONDS_TO} then 'timestamp_in_seconds'
        when {value} > {newest_ms} then 'timestamp_in_future'
    end"""


def type_fault(text: str, number: str) -> str:
    """SQL: the reason to reject an event type, null where it has a ``number``."""
    return f"case when {text} is null then 'missing_field' when {number} is null then 'unknown_type' end"
