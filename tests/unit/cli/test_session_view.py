import pytest

from nextcart.cli.session_view import print_steps
from nextcart.cli.tables import Names
from nextcart.events.schema import Event
from nextcart.pipeline.unfold import Shown, Step
from tests.raw_files import START


@pytest.fixture
def text(capsys):
    events = [Event(aid, START + 1000 * aid, "clicks") for aid in range(8)]
    hit = Step(
        events[:7], events[7], [Shown(3, 0.5, ["item2vec"], True, False), Shown(7, 0.25, [], False, True)], 2, None
    )
    miss = Step(events[:1], events[1], [Shown("x[b]y", 1.0, ["top_sellers"], False, False)], None, "unknown_items")
    print_steps([hit, miss], Names({"7": "Milk [red]"}), 10)
    return str(capsys.readouterr().out)


def test_the_history_is_cut_to_the_last_events(text):
    lines = text.splitlines()
    assert lines[0] == "  … 2 earlier"
    assert lines[1:6] == [f"  2022-07-31 22:00:0{aid}  clicks  {aid}" for aid in range(2, 7)]
    assert lines[6] == "→ 2022-07-31 22:00:07  clicks  Milk [red] (7)"


def test_the_target_and_the_seen_items_are_marked(text):
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert rows == [
        ["1", "3", "0.5000", "item2vec", "seen"],
        ["2", "Milk [red] (7)", "0.2500", "", "← came next"],
        ["1", "x[b]y", "1.0000", "top_sellers", ""],
    ]


def test_each_step_and_the_session_end_with_the_result(text):
    assert "the next event's item is rank 2\n" in text
    assert "the next event's item is not among the 10; top sellers only: unknown_items\n" in text
    assert text.endswith("1 of 2 next events were among the 10 recommended\n")
