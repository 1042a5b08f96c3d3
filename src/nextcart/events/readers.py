"""Raw files through DuckDB's own readers, each as one relation of text columns; and sessions for batch requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from nextcart.errors import InputError
from nextcart.events.rejects import id_fault
from nextcart.events.session_lines import read_sessions
from nextcart.events.sources import RawFile, reading
from nextcart.events.store import SQL_TYPES, literal, quoted
from nextcart.types import AID, SESSION, TS, TYPE, IdType

__all__ = ["FIELDS", "Records", "read_sessions", "records"]

FIELDS = (SESSION, AID, TS, TYPE)

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Longest line that is read: a session of some 280,000 events."""

# Left alone, DuckDB takes buffers of 16 lines of that length, which no small machine has.
_SIZES = f"max_line_size = {MAX_LINE_BYTES}, buffer_size = {2 * MAX_LINE_BYTES}"

EMPTY_SESSION = "empty_session"
"""Stands where a reject's reason would, for a line whose list of events is empty; that is no fault."""

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_TEXTS = ("VARCHAR", "UUID")


@dataclass(frozen=True, slots=True)
class Records:
    """A raw file as SQL.

    Attributes:
        sql: a query with the columns line (bigint), event (its place in the line, null for a record of its own),
            session, aid, ts, type (varchar), session_is_text and aid_is_text (boolean: the file marks the id as text),
            fault (varchar: the reader's reason to reject the whole record) and text (varchar), in input order.
        raw: SQL over those columns for the text of one record; worth its cost for rejected ones only.
        null_id: SQL over those columns for the reason to reject a record without an item.
        bad_line: reason for a line that DuckDB itself could not split.
        sessions_checked: whether ``fault`` covers the session's id.
        type_is_json: whether the type is JSON, a text in its quotes.
    """

    sql: str
    raw: str
    null_id: str
    bad_line: str
    sessions_checked: bool
    type_is_json: bool


def records(
    connection: duckdb.DuckDBPyConnection,
    file: RawFile,
    session_type: IdType,
    columns: Mapping[str, str] | None = None,
) -> Records:
    """The records of a raw file.

    Args:
        connection: asked for the columns that the file has.
        file: the raw file.
        session_type: type of the store's session ids; a bad one rejects its whole line.
        columns: our name of a field (session, aid, ts, type) -> the file's column; those not given have our name.

    Raises:
        InputError: ``columns`` names a field or column that there is not, or a column of an unusable type.
        UnreadableInput: the file cannot be read.
    """
    if file.format == "jsonl":
        if columns:
            raise InputError(f"{file.path}: --columns is for CSV and Parquet; OTTO JSONL has fixed field names")
        return json_records(_lines(file), session_type)
    source = _csv_source(file) if file.format == "csv" else f"read_parquet({literal(file.at)})"
    with reading(file.path):
        described = connection.execute(f"describe select * from {source}").fetchall()
    chosen = _choose(file, {str(row[0]): str(row[1]) for row in described}, columns or {})
    return _long_form(file, source, chosen)


def json_records(lines: str, session_type: IdType) -> Records:
    """The records of OTTO JSONL; ``lines`` is SQL for a relation (text, line)."""
    shape = '{"session":"JSON","events":[{"aid":"JSON","ts":"JSON","type":"JSON"}]}'
    no_session = """case
        when json_type(text) <> 'OBJECT' then 'invalid_json'
        when json_exists(text, '$.session') then 'null_id' else 'missing_field'
    end"""
    line_fault = f"""coalesce(
        case when invalid then 'invalid_json' end,
        {id_fault("session", "session_value", session_type, absent=no_session)},
        case
            when events is null and coalesce(json_type(text, '$.events'), 'NULL') = 'NULL' then 'missing_field'
            when events is null then 'invalid_json'
            when len(events) = 0 then '{EMPTY_SESSION}'
        end
    )"""
    # JSON mode for the fields keeps their exact text: a number, or a text in its quotes.
    sql = f"""
    with parsed as (
        select line, text, try(from_json(text, '{shape}')) as j
        from {lines} where trim(text) <> ''
    ), named as (
        select line, text, j is null as invalid, starts_with(j.session::varchar, '"') as session_is_text,
            {plain("j.session::varchar")} as session, j.events as events,
            try_cast({plain("j.session::varchar")} as {SQL_TYPES[session_type]}) as session_value
        from parsed
    ), shaped as (
        select line, text, session, session_is_text, {line_fault} as fault,
            case when fault is null then events else [null] end as events
        from named
    ), flat as (
        select line, text, session, session_is_text, fault,
            unnest(events) as e, generate_subscripts(events, 1) - 1 as event
        from shaped
    )
    select line, case when fault is null then event end as event, session, {plain("e.aid::varchar")} as aid,
        e.ts::varchar as ts, e.type::varchar as type, session_is_text,
        starts_with(e.aid::varchar, '"') as aid_is_text, fault, text
    from flat
    """
    return Records(
        sql=sql,
        raw="case when event is null then text else json_extract(text, '$.events[' || event || ']')::varchar end",
        null_id="case when json_exists(text, '$.events[' || event || '].aid') then 'null_id' else 'missing_field' end",
        bad_line="invalid_json",
        sessions_checked=True,
        type_is_json=True,
    )


def _lines(file: RawFile) -> str:
    """SQL for (text, line) of a text file: DuckDB's CSV reader with one column and no quotes or comments."""
    return f"""(
        select text, row_number() over () as line from read_csv({literal(file.at)}, columns = {{'text': 'VARCHAR'}},
            auto_detect = false, header = false, delim = '\x01', quote = '', escape = '', comment = '',
            null_padding = false, strict_mode = false, store_rejects = true, {_SIZES},
            compression = '{file.compression}')
    )"""


def plain(json: str) -> str:
    """SQL: the text in a JSON string, or a JSON number as it is written; null for all else."""
    return f"""case
        when starts_with({json}, '"') then case
            when contains({json}, '\\') then json_extract_string({json}, '$')
            else substring({json}, 2, length({json}) - 2) end
        when left({json}, 1) between '-' and '9' then {json}
    end"""


def _csv_source(file: RawFile) -> str:
    delimiter = ", delim = '\t'" if ".tsv" in map(str.lower, file.path.suffixes) else ""
    return (
        f"read_csv({literal(file.at)}, header = true, all_varchar = true, store_rejects = true, "
        f"{_SIZES}, compression = '{file.compression}'{delimiter})"
    )


def _choose(file: RawFile, found: Mapping[str, str], columns: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """For each of our fields the file's column and its SQL type."""
    has = f"the file has: {', '.join(found)}"
    for ours in columns:
        if ours not in FIELDS:
            raise InputError(
                f"{file.path}: --columns {ours}=…: no field is named so; the fields are {', '.join(FIELDS)}"
            )
    chosen = {ours: columns.get(ours, ours) for ours in FIELDS}
    for ours, theirs in chosen.items():
        if theirs not in found:
            raise InputError(
                f"{file.path}: there is no column '{theirs}' for {ours}; {has}; name it with --columns {ours}=COLUMN"
            )
    return {ours: (theirs, found[theirs]) for ours, theirs in chosen.items()}


def _long_form(file: RawFile, source: str, chosen: Mapping[str, tuple[str, str]]) -> Records:
    texts = {ours: _text(file, ours, *column) for ours, column in chosen.items()}
    marked = file.format == "parquet"
    is_text = {ours: str(marked and chosen[ours][1] in _TEXTS).lower() for ours in (SESSION, AID)}
    fields = ", ".join(f"{sql} as {ours}" for ours, sql in texts.items())
    first_line = 2 if file.format == "csv" else 1
    return Records(
        sql=f"""
            select row_number() over () + {first_line - 1} as line, null::bigint as event, {fields},
                {is_text[SESSION]} as session_is_text, {is_text[AID]} as aid_is_text,
                null::varchar as fault, null::varchar as text
            from {source}
        """,
        raw="to_json({session: session, aid: aid, ts: ts, type: type})::varchar",
        null_id="'null_id'",
        bad_line="invalid_csv",
        sessions_checked=False,
        type_is_json=False,
    )


def _text(file: RawFile, ours: str, column: str, kind: str) -> str:
    """SQL: the column as text; a point in time as its Unix milliseconds, UTC where it has no zone."""
    name = quoted(column)
    if ours == TS and kind.startswith(("TIMESTAMP", "DATE")):
        zoned = kind.endswith("TIME ZONE")
        return f"epoch_ms({name}{'' if zoned else '::timestamp'})::varchar"
    if kind in _INTEGERS or kind in _TEXTS or kind.startswith("ENUM"):
        return f"{name}::varchar"
    if kind in ("FLOAT", "DOUBLE") or kind.startswith("DECIMAL"):
        # Whole numbers that pandas turned into floats beside a null; a fraction stays as it is and is rejected.
        whole = f"case when {name} = trunc({name}) then try_cast({name} as bigint) end"
        return f"coalesce(({whole})::varchar, {name}::varchar)"
    raise InputError(
        f"{file.path}: column '{column}' for {ours} is of type {kind}; "
        "give integers or text, and for ts integers (Unix milliseconds) or timestamps"
    )
