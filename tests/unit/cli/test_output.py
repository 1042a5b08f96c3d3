import json

import pytest
from rich.console import Console

from nextcart.cli import output
from nextcart.cli.ingest_view import RAW_SHOWN, print_summary, shown_raw
from nextcart.cli.output import counted, day, metric, moment, percent, print_json, shown_progress, table
from nextcart.events.kept_rejects import FirstReject
from nextcart.events.summary import FileSummary, IngestSummary


def test_numbers_for_people():
    assert [counted(number, "session") for number in (0, 1, 2, 1234)] == [
        "0 sessions",
        "1 session",
        "2 sessions",
        "1,234 sessions",
    ]
    assert (metric(0.12345), metric(None), percent(0.255)) == ("0.1235", "–", "25.5 %")
    assert (day(1_659_304_800_025), moment(1_659_304_800_025)) == ("2022-07-31", "2022-07-31 22:00:00")


def test_what_looks_like_markup_is_shown_as_it_stands():
    console = Console(width=100)
    with console.capture() as text:
        console.print(table("[red]title[/x]", ("file",), [("[bold]a[/nothing].jsonl",)]))
    assert "[red]title[/x]" in text.get()
    assert "[bold]a[/nothing].jsonl" in text.get()


def shown(width: int, *columns: str, left: int = 1) -> list[list[list[str]]]:
    """The cells of each part of a table of one row of sevens, in a terminal of so many columns."""
    console = Console(width=width)
    with console.capture() as text:
        console.print(table("title", columns, [["a long name"] * left + ["0.7777"] * (len(columns) - left)], left=left))
    lines = text.get().splitlines()
    assert max(map(len, lines)) <= width
    assert sum("title" in line for line in lines) == 1
    parts: list[list[list[str]]] = []
    for line in lines:
        if line.startswith("┏"):
            parts.append([])
        elif line.startswith(("┃", "│")):
            parts[-1].append([cell.strip() for cell in line.strip("┃│").replace("┃", "│").split("│")])
    return parts


def test_a_wide_table_goes_on_below_with_its_text_columns_before_each_part():
    columns = ("model", "recall", "MRR", "coverage")
    whole = ["a long name", "0.7777", "0.7777", "0.7777"]
    assert shown(44, *columns) == [[list(columns), whole]]
    assert shown(43, *columns) == [[["model", "recall", "MRR"], whole[:3]], [["model", "coverage"], whole[:2]]]
    assert [head for head, _ in shown(26, *columns)] == [["model", each] for each in columns[1:]]
    assert shown(43, "model", "mode", "recall", "MRR", left=2) == [
        [["model", "mode", each], ["a long name", "a long name", "0.7777"]] for each in ("recall", "MRR")
    ]


def test_a_table_is_folded_where_one_number_is_too_wide_beside_its_text():
    (part,) = shown(24, "model", "recall", "coverage")
    heads, cells = zip(*part[:2], strict=True), zip(*part[2:], strict=True)
    assert ["".join(each) for each in heads] == ["model", "recall", "coverage"]
    assert ["".join(each) for each in cells] == ["alongname", "0.7777", "0.7777"]


def test_json_is_one_line(capsys):
    print_json({"a": "é", "b": [1, None]})
    assert capsys.readouterr().out == '{"a": "é", "b": [1, null]}\n'


@pytest.fixture
def logged(capsys, monkeypatch):
    """The lines of (second, stage, done, total)."""

    def logged(*reports: tuple[float, str, int, int]) -> list[str]:
        now = 0.0
        monkeypatch.setattr(output.time, "monotonic", lambda: now)
        with shown_progress() as progress:
            for now, *report in reports:  # noqa: B007 - the clock reads it
                progress(*report)
        return str(capsys.readouterr().err).splitlines()

    return logged


def test_what_takes_a_moment_has_one_line(logged):
    reports = [*((done, "reading", done, 2) for done in (0, 1, 2, 2)), (3, "counting", 1000, 0), (4, "top", 7, 7)]
    assert logged(*reports) == ["reading", "counting: 1,000", "top: 7 of 7"]


def test_what_takes_longer_has_lines_by_the_half_minute_then_by_the_tenth_of_its_time(logged):
    lines = logged(*((second, "fitting", second, 3600) for second in range(3601)))
    assert lines[:3] == ["fitting", "fitting: 30 of 3,600 in 30 s", "fitting: 60 of 3,600 in 60 s"]
    assert lines[-1] == "fitting: 3,600 of 3,600 in 3,600 s"
    assert len(lines) < 45
    assert logged((0, "trees", 0, 3), (20, "trees", 1, 3), (40, "trees", 2, 3), (45, "trees", 3, 3)) == [
        "trees",
        "trees: 2 of 3 in 40 s",
        "trees: 3 of 3 in 45 s",
    ]


def test_a_terminal_gets_a_bar_a_stage(monkeypatch):
    console = Console(force_terminal=True, width=100)
    monkeypatch.setattr(output, "err", console)
    with console.capture() as text, shown_progress() as progress:
        progress("reading", 1, 2)
        progress("counting", 5, 0)
        progress("reading", 2, 2)
    assert "reading" in text.get()
    assert "2/2" in text.get()
    assert "counting" in text.get()


def summary(*files: FileSummary, **figures: object) -> IngestSummary:
    values = {
        "store": "var/store",
        "split": "train",
        "already_there": False,
        "files": files,
        "added_events": 1,
        "duplicates": 0,
        "erased": 0,
        "rejects": {},
        "show_rejects": None,
        "empty_sessions": 0,
        "events": 1,
        "sessions": 1,
        "short_sessions": 1,
        "items": 1,
        "first_ts": 1_659_304_800_025,
        "last_ts": 1_659_304_800_025,
        "session_type": "int64",
        "aid_type": "int64",
        "stale_splits": (),
        "fingerprint": "f",
    }
    return IngestSummary(**(values | figures))  # type: ignore[arg-type]  # the figures of a test are of any type


def file(*first: FirstReject, added: bool = True) -> FileSummary:
    rejects = {each.reason: each.records for each in first}
    return FileSummary("[x]a.jsonl", added, 1, 0, 3, rejects, first, "rejects/a.parquet" if first else None)


@pytest.fixture
def printed(capsys):
    def printed(found: IngestSummary) -> str:
        print_summary(found)
        return str(capsys.readouterr().out)

    return printed


def test_the_summary_of_an_ingest_shows_the_first_reject_of_each_reason(printed):
    text = printed(
        summary(
            file(
                FirstReject("unknown_type", 1200, 5, 2, '{"type":"[view]"}'),
                FirstReject("invalid_json", 1, 9, None, "x\x1b[31m" + "y" * 200),
            ),
            show_rejects="python -c 'print()'",
        )
    )
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert rows == [
        ["[x]a.jsonl", "1", "0", "3", "1,200 unknown_type, 1 invalid_json"],
        ["[x]a.jsonl", "5 event 2", "unknown_type", '{"type":"[view]"}', "1,200"],
        ["[x]a.jsonl", "9", "invalid_json", "x�[31m" + "y" * (RAW_SHOWN - 6) + "…", "1"],
    ]
    assert "\nshow every reject: python -c 'print()'\n" in text
    assert text.endswith("train: 1 event, 1 session (1 short), 1 item, 2022-07-31 to 2022-07-31\n")


def test_the_summary_of_an_ingest_says_that_nothing_was_added(printed):
    text = printed(summary(file(added=False), already_there=True))
    assert "already there" in text
    assert "nothing added: every file was already ingested into 'train'" in text
    assert "reject of each reason" not in text


def test_the_summary_of_an_ingest_names_the_splits_that_are_gone(printed):
    assert "run 'nextcart split' again" in printed(summary(file(), stale_splits=("train_split", "val_split")))


def test_a_raw_record_on_a_terminal():
    assert shown_raw("é ü\t\r\x00") == "é ü���"
    assert shown_raw("x" * RAW_SHOWN) == "x" * RAW_SHOWN
    assert shown_raw("x" * (RAW_SHOWN + 1)) == "x" * RAW_SHOWN + "…"


def test_the_summary_of_an_ingest_is_json():
    found = summary(file(FirstReject("invalid_json", 1, 9, None, "x")))
    assert json.loads(json.dumps(found.as_dict()))["files"][0]["first_rejects"] == [
        {"reason": "invalid_json", "records": 1, "line": 9, "event": None, "raw": "x"}
    ]
