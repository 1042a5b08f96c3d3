import re
from datetime import UTC, datetime

import pytest
from rich.console import Console

from nextcart.cli.tables import Names, best_line, best_model, evaluation_line, evaluation_tables
from nextcart.errors import UnreadableInput
from nextcart.evaluation.report import METRICS, Evaluation


def evaluation(recalls: dict[str, float | None], sessions: int = 500, **figures: float | None) -> Evaluation:
    values = {name: {**dict.fromkeys(METRICS, 0.5), **figures, "recall": recall} for name, recall in recalls.items()}
    return Evaluation.model_construct(
        split="val_split",
        k=20,
        sessions=sessions,
        limited=False,
        single_event_share=0.0,
        repeat_share=0.25,
        unknown_share=0.0,
        created_at=datetime.now(UTC),
        metrics={name: {"next": each, "discover": each} for name, each in values.items()},
    )


def shown(found: Evaluation) -> str:
    console = Console(width=160)
    with console.capture() as text:
        for table in evaluation_tables(found):
            console.print(table)
    return text.get()


def test_there_is_a_table_a_mode_with_the_best_recall_first():
    text = shown(evaluation({"one": 0.1, "two": 0.3, "three": 0.2}))
    assert re.findall(r"mode (\w+), k = 20|^│ (\w+)", text, re.MULTILINE) == [
        *[("next", ""), ("", "two"), ("", "three"), ("", "one")],
        *[("discover", ""), ("", "two"), ("", "three"), ("", "one")],
    ]


def test_a_mean_over_nothing_is_a_dash_and_comes_last():
    text = shown(evaluation({"empty": None, "one": 0.1}, recall_repeat=None, recall_new=0.0))
    rows = [line for line in text.splitlines() if line.startswith("│")][:2]
    assert [row.split("│")[1].strip() for row in rows] == ["one", "empty"]
    assert [cell.strip() for cell in rows[1].split("│")[2:-1]] == ["–", *["0.5000"] * 4, "–", "0.0000", "0.5000"]


def test_the_best_model_is_named_where_there_is_one():
    found = evaluation({"one": 0.1, "two": 0.3}, sessions=1234)
    assert best_model(found) == "two"
    assert best_line(found) == (
        "val_split, 1,234 sessions, mode next: best recall@20 0.3000 by two; 'nextcart models' shows all models"
    )


def test_a_tie_has_no_best_model():
    found = evaluation({"one": 0.30001, "two": 0.30004, "three": 0.2})
    assert best_model(found) is None
    assert "mode next: one and two tie at recall@20 0.3000;" in best_line(found)
    assert "best" not in best_line(found)


@pytest.mark.parametrize(("sessions", "best"), [(100, "two"), (99, None), (1, None), (0, None)])
def test_few_sessions_have_no_best_model(sessions, best):
    found = evaluation({"one": 0.1, "two": 0.3 if sessions else None}, sessions=sessions)
    assert best_model(found) == best
    assert ("too few to name a best model (at least 100)" in best_line(found)) == (best is None)


def test_one_session_is_one_session():
    assert evaluation_line(evaluation({}, sessions=1)).startswith("1 session, all in the denominator")
    assert evaluation_line(evaluation({}, sessions=2)).startswith("2 sessions, all in the denominator")
    assert "1 session, mode next" in best_line(evaluation({"one": 0.1}, sessions=1))


def test_names_of_a_file_and_ids_where_it_has_none(tmp_path):
    file = tmp_path / "names.csv"
    file.write_text('name,aid,more\n"Milk, fresh",7,x\nBread,8,x\n,9,x\n', encoding="utf-8-sig")
    names = Names.read(file, wanted=[7, 9])
    assert [names.of(aid) for aid in (7, 8, 9)] == ["Milk, fresh (7)", "8", "9"]
    assert [names.plain(aid) for aid in (7, 8)] == ["Milk, fresh", "8"]
    assert Names.read(file).plain(8) == "Bread"
    assert Names.read(None).of("sku") == "sku"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no such file; check the path"),
        (b"id,title\n1,x\n", "has no columns 'aid' and 'name'; its first line must name them"),
        (b"", "has no columns 'aid' and 'name'"),
        (b"aid,name\n1,\xff\n", "is not CSV in UTF-8"),
        (b'aid,name\n1,"' + b"x" * 200_000, "is not CSV in UTF-8 (field larger than field limit"),
    ],
)
def test_a_file_of_names_that_cannot_be_used_is_named_with_its_option(tmp_path, content, says):
    file = tmp_path / "names.csv"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UnreadableInput) as caught:
        Names.read(file)
    assert str(caught.value).startswith(f"--names {file}: ")
    assert says in str(caught.value)
