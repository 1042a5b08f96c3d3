from datetime import UTC, datetime

import pytest
from rich.console import Console

from nextcart.cli.comparing import _row, _title, _verdict
from nextcart.cli.figures import protocol_tables, shown_interval
from nextcart.cli.tables import evaluation_line
from nextcart.evaluation.comparison import Difference
from nextcart.evaluation.report import Evaluation, Protocol
from nextcart.pipeline.comparing import Comparison


def evaluation(protocol: Protocol, figures: dict[str, dict[str, float | None]], **changes: object) -> Evaluation:
    spans = {
        model: {"next": {name: None if value is None else (value - 0.1, value + 0.1) for name, value in each.items()}}
        for model, each in figures.items()
    }
    made = Evaluation(
        protocol=protocol,
        split="test",
        k=20,
        history_events=200,
        sessions=1234,
        repeat_share=0.25,
        unknown_share=0.125,
        data_fingerprint="f",
        created_at=datetime.now(UTC),
        cpu_seconds=0.0,
        metrics={model: {"next": each} for model, each in figures.items()},
        intervals=spans,
    )
    return made.model_copy(update=changes)


def rows(found: Evaluation) -> list[list[list[str]]]:
    """The cells of each table."""
    console = Console(width=200)
    tables = []
    for table in protocol_tables(found):
        with console.capture() as text:
            console.print(table)
        lines = [line for line in text.get().splitlines() if line.startswith(("│", "┃"))]
        tables.append([[cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in lines])
    return tables


def test_the_best_model_comes_first_with_its_interval():
    figures = {"one": {"recall": 0.25, "mrr": 0.5, "gini": None}, "two": {"recall": 0.5, "mrr": None}}
    ((head, first, second),) = rows(evaluation("next_click", figures))
    assert head == ["model", "recall", "95 %", "MRR", "95 %", "coverage", "top 1 %", "gini"]
    assert first == ["two", "0.5000", "0.400 to 0.600", "–", "–", "–", "–", "–"]
    assert second == ["one", "0.2500", "0.150 to 0.350", "0.5000", "0.400 to 0.600", "–", "–", "–"]


def test_slices_that_have_targets_are_shown_with_how_many():
    figures = {"one": {"recall": 0.25, "recall_head": 0.5, "recall_tail": 0.125, "recall_young": None}}
    possible = {"recall_head": 1000.0, "recall_tail": 234.0, "recall_young": 0.0}
    _, slices = rows(evaluation("next_click", figures, possible=possible))
    assert slices == [["model", "head", "tail"], ["one", "0.5000", "0.1250"], ["targets", "1,000", "234"]]


def test_objectives_are_ranked_by_their_total():
    names = ("clicks_recall", "carts_recall", "orders_recall", "total")
    figures = {model: dict.fromkeys(names, value) for model, value in (("one", 0.25), ("two", 0.5))}
    ((head, *found),) = rows(evaluation("multi_objective", figures))
    assert head[:9] == ["model", "clicks", "95 %", "carts", "95 %", "orders", "95 %", "total", "95 %"]
    assert [row[0] for row in found] == ["two", "one"]


def test_decays_stay_in_order_and_the_best_is_named():
    figures = {"decay 0": {"mean@20/week": 0.25}, "decay 1": {"mean@20/week": 0.5}}
    ((_, *found),) = rows(evaluation("next_period", figures, best="decay 1"))
    assert [row[0] for row in found] == ["decay 0", "decay 1 (best)"]
    ((_, *few),) = rows(evaluation("next_period", figures, best="decay 1", sessions=99))
    assert [row[0] for row in few] == ["decay 0", "decay 1"]


def test_the_targets_of_baskets_are_counted_as_far_as_a_list_has_room():
    possible = {"recall_head": 1000.0, "recall_tail": 234.0}
    figures = {"one": {"recall": 0.25, "recall_head": 0.5, "recall_tail": 0.125}}
    _, slices = rows(evaluation("basket_completion", figures, possible=possible))
    assert slices[-1] == ["targets, 20 a list at most", "1,000", "234"]


def test_an_evaluation_without_intervals_is_shown_as_it_was():
    figures = {"one": {"recall": 0.25, "hit_rate": 0.25, "ndcg": 0.2, "map": 0.1, "mrr": 0.1, "coverage": 0.5}}
    figures["one"] |= {"recall_repeat": None, "recall_new": 0.25}
    old = evaluation("next_event", figures, intervals={})
    ((head, _),) = rows(old)
    assert head[:3] == ["model", "recall", "hit rate"]


def test_an_interval_is_a_dash_where_there_is_none():
    assert shown_interval(None) == "–"
    assert shown_interval((-0.25, 1.0)) == "-0.250 to 1.000"


@pytest.mark.parametrize(
    ("protocol", "says"),
    [
        ("next_click", "12.5 % of the held-out events are on items outside the catalogue; they were dropped first"),
        ("multi_objective", "total = 0.1 clicks + 0.3 carts + 0.6 orders"),
        ("basket_completion", "lift: recall as a multiple of the top sellers' recall"),
        ("next_period", "they count as not held"),
    ],
)
def test_each_protocol_says_what_its_figures_are_of(protocol, says):
    line = evaluation_line(evaluation(protocol, {}))
    assert line.startswith("1,234 sessions with a question; ")
    assert says in line


def comparison(*differences: Difference, second="B", defaults=None, only_first=(), only_second=()):
    return Comparison("next_click", "test", 1000, "A", second, [*differences], defaults, [*only_first], [*only_second])


def test_a_comparison_names_what_is_beyond_noise():
    differences = [
        Difference("ranker", "ranker", "next", "recall", 0.5, 0.4, 0.1, (0.05, 0.15), 1000, "first"),
        Difference("ranker", "ranker", "next", "mrr", 0.3, 0.3, 0.0, (-0.01, 0.01), 1000, None),
        Difference("hybrid", "hybrid", "next", "recall", 0.2, 0.3, -0.1, (-0.2, -0.05), 1000, "second"),
        Difference("hybrid", "hybrid", "next", "mrr", None, None, None, None, 0, None),
    ]
    found = comparison(*differences)
    assert _title(found) == "next_click, test, 1,000 sessions: first A, second B"
    assert [*_verdict(found)] == [
        "beyond noise:",
        "  ranker, next: first better in recall",
        "  hybrid, next: second better in recall",
        "too few sessions to judge (at least 100): mrr (0)",
    ]
    assert _row(differences[0])[2:] == ("recall", "0.5000", "0.4000", "+0.1000", "+0.0500 to +0.1500", "first better")
    assert _row(differences[1])[-1] == "no"
    assert _row(differences[3])[2:] == ("mrr", "–", "–", "–", "–", "too few sessions")
    assert [*_verdict(comparison(differences[1]))] == ["beyond noise: nothing"]


def test_a_comparison_names_what_answers_by_default_and_what_one_side_lacks():
    found = comparison(defaults=("ranker", "hybrid"), only_first=["ranker"], only_second=["item2vec", "rules"])
    assert [*_verdict(found)] == [
        "beyond noise: nothing",
        "where no model is named, ranker answers in the first, hybrid in the second",
        "only the first has ranker; --model and --against compare it with a model of the other",
        "only the second has item2vec, rules; --model and --against compare it with a model of the other",
    ]
    alike = comparison(defaults=("ranker", "ranker"))
    assert [*_verdict(alike)][1:] == ["where no model is named, ranker answers in both"]
    assert _title(comparison(second="A")).endswith("models of A")
