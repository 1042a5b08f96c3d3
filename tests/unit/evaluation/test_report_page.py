"""The report page from what is known of a version: every part is there, or says which command makes it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import vl_convert

from nextcart.config import EvaluationConfig
from nextcart.evaluation.calibration import Bin, Calibration
from nextcart.evaluation.looking import Curve, Example, Look
from nextcart.evaluation.replay import replay
from nextcart.evaluation.report import PROTOCOLS, Evaluation
from nextcart.evaluation.report_charts import SHAPES
from nextcart.evaluation.report_data import Facts, Lead, Report
from nextcart.evaluation.report_page import render_report, sliced
from nextcart.evaluation.report_tables import best_first, cell, protocol_table, ranking_name, signed
from nextcart.evaluation.sources import Cost, RankerLook, SourceShare
from nextcart.models.fitting import MODEL_NAMES
from nextcart.models.recommender import Recommender
from tests.shop import Shop, make_shop

LEAD = Lead("recall@20", "hybrid", "item2vec", 0.0321, (-0.001, 0.06), 100)
LOADS = {"src", "href", "srcset", "data", "poster", "action", "background", "formaction"}
HOSTILE = "</script><img src=x onerror=alert(1)>"
FACTS = Facts(
    version="20261124T130501Z-faa38215",
    named=("production",),
    created_at="2026-11-24 13:05",
    code_version="0.1.0",
    default_model="hybrid",
    models=[("log_bilinear", "the likeliest next item"), ("hybrid", "lists merged by rank")],
    data=[("split", "train_split"), ("events", "4,321"), ("sessions", "700"), ("items", "200"), ("fingerprint", "abc")],
    window=(1_764_000_000_000, 1_764_086_400_000),
    timings=[("covisitation", 1.5, 2.5, 2**30)],
    settings=[("models.top_sellers.decay_per_day", "0.5", "0.01")],
)
SEEN = Look(
    protocol="next_click",
    split="val_split",
    sessions=40,
    of_sessions=90,
    questions=160,
    k=3,
    curves=(Curve("top_sellers", (0.1, 0.2, 0.25)), Curve("ranker", (0.3, 0.4, 0.5))),
    ranker=RankerLook(
        recall=0.5,
        candidates=77.3,
        found=0.8123,
        filled=0.0,
        sources=(
            SourceShare("covisitation", 0.9, 0.1, Cost(-0.0123, (-0.02, -0.001)), Cost(-0.2, None)),
            SourceShare("history", 0.4, 0.0, Cost(0.0, (0.0, 0.0)), Cost(0.001, (-0.01, 0.02))),
        ),
    ),
    calibrations=(
        Calibration("clicks", "next_click", 160, (Bin(0.2, 0.01, (0.0, 0.02), 80), Bin(0.7, 0.234, (0.1, 0.3), 80))),
        Calibration("carts", "multi_objective", 17, (Bin(0.6, 0.119, None, 51),)),
    ),
    model="ranker",
    examples=(
        Example(((HOSTILE, "clicks"), (11, "carts")), 9, 12, True, 2, True, ((10, ("history",)), (12, ("item2vec",)))),
        Example((), 0, None, False, None, False, ()),
    ),
)


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.specs = ""
        self._inside: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._inside = dict(attrs).get("id") or tag

    def handle_data(self, data: str) -> None:
        if self._inside == "specs":
            self.specs += data
        elif self._inside not in ("script", "style"):
            self.text += data


@pytest.fixture(scope="module")
def evaluations(recommender: Recommender, shop: Shop) -> list[Evaluation]:
    sessions = make_shop(8, sessions=60).arrays.sessions
    config = EvaluationConfig(rounds=20)
    return [
        replay(
            protocol, recommender, sessions, config, split="val_split", data_fingerprint="f", arrays=shop.arrays
        ).evaluation
        for protocol in PROTOCOLS
    ]


def report_of(evaluations: list[Evaluation], **changes: object) -> Report:
    whole = Report(
        facts=FACTS,
        evaluations=evaluations,
        leads={("next_click", "val_split", "next"): LEAD.sentence()},
        importance={"clicks": {"next_rank": 0.4, "around_score": 0.6}},
        look=SEEN,
        why_not="",
        measured_by=lambda protocol: f"nextcart evaluate --protocol {protocol}",
    )
    return replace(whole, **changes)  # type: ignore[arg-type]  # a test names the fields it changes


def test_every_part_is_there(evaluations: list[Evaluation]) -> None:
    page = Page(render_report(report_of(evaluations)))
    for text in (
        "Version 20261124T130501Z-faa38215",
        "learned from events of 2025-11-24 16:00 to 2025-11-25 16:00 UTC",
        *(f"{protocol} on val_split" for protocol in PROTOCOLS),
        "By recall@20, hybrid is ahead of item2vec by 0.0321 (−0.0010 to +0.0600): within noise, either may be better.",
        "Seen on 40 of the 90 sessions of val_split, which pose 160 questions by next_click.",
        "log_bilinearthe likeliest next item",
        "Where no model is named, hybrid answers.",
        "Feature importance: later orders",
        "so it has no trees of its own",
        "Calibration: the next click",
        "23.4 %",
        "Calibration: later carts",
        "11.9 %",
        "in sessions cut by multi_objective that went on to such an event.",
        "Calibration: later orders",
        "−0.0123",
        "12 (seen before)",
        "7 before,",
        "missed, no candidate",
        "models.top_sellers.decay_per_day",
        "covisitation",
        "1,024",
    ):
        assert text in page.text
    assert "Not measured yet" not in page.text


def test_items_have_the_names_that_people_give_them(evaluations: list[Evaluation]) -> None:
    names = {12: "<b>Tea</b> & milk (12)"}
    html = render_report(report_of(evaluations, item_name=lambda item: names.get(item, str(item))))
    assert "<b>Tea" not in html
    text = Page(html).text
    assert "<b>Tea</b> & milk (12) (seen before)" in text
    assert "<b>Tea</b> & milk (12) [item2vec]" in text
    assert "carts 11" in text


def test_every_chart_has_its_place_and_can_be_drawn(evaluations: list[Evaluation]) -> None:
    page = Page(render_report(report_of(evaluations)))
    specs = json.loads(page.specs)
    places = {value for name, value in page.attributes if name == "id" and value and value.startswith("chart-")}
    assert specs.keys() == places
    # Three cards of slices (no item is known to be young), curves, one forest, two calibrations, sources.
    assert len(specs) == 8
    for spec in specs.values():
        assert vl_convert.vegalite_to_vega(spec, vl_version="6.4")["marks"]
        assert '"url"' not in json.dumps(spec)


def test_an_odd_card_of_slices_fills_its_row(evaluations: list[Evaluation]) -> None:
    html = render_report(report_of(evaluations))
    assert re.findall(r'card (\w+)"><h2>By (\w+ \w+|\w+)', html) == [
        ("half", "repetition"),
        ("half", "item popularity"),
        ("full", "session length"),
        ("full", "item age"),
    ]


def test_a_kind_without_targets_is_said(evaluations: list[Evaluation]) -> None:
    measured = evaluations[1]
    for possible, said in (
        ({"recall_young": 0.0, "recall_old": 7.0}, "All targets are of one kind: older items."),
        ({"recall_young": 0.0, "recall_old": 0.0}, "No target is of these kinds."),
        ({}, "This evaluation did not tell these kinds apart."),
    ):
        page = Page(render_report(report_of([measured.model_copy(update={"possible": measured.possible | possible})])))
        assert page.text.count(said) == 1
        assert "By item age" in page.text


def test_the_page_loads_nothing_and_no_id_becomes_part_of_it(evaluations: list[Evaluation]) -> None:
    page = Page(render_report(report_of(evaluations)))
    assert not LOADS & {name for name, _ in page.attributes}
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert page.tags.count("script") == 3
    assert HOSTILE in page.text


def test_what_is_missing_says_how_to_make_it() -> None:
    why_not = "Not looked at: there is no store. Then run 'nextcart report'."
    page = Page(render_report(report_of([], leads={}, importance=None, look=None, why_not=why_not)))
    for protocol in PROTOCOLS:
        assert f"nextcart evaluate --protocol {protocol}" in page.text
    assert page.text.count(why_not) == 2
    assert "This version has no ranker: " in page.text
    assert "models.ranker.min_questions" in page.text
    assert "What its trees look at" not in page.text
    assert json.loads(page.specs) == {}


def test_an_objective_without_questions_or_scores_is_said() -> None:
    calibrations = (Calibration("clicks", "next_click", 160, ()), Calibration("carts", "multi_objective", 0, ()))
    page = Page(render_report(report_of([], look=replace(SEEN, calibrations=calibrations))))
    assert page.text.count("The ranker scored no item in these sessions.") == 1
    assert page.text.count("These sessions pose no question.") == 1


def test_trees_of_a_log_without_clicks_look_for_the_next_event() -> None:
    page = Page(render_report(report_of([], look=replace(SEEN, protocol="next_event"))))
    assert "Feature importance: the next event" in page.text
    assert "Calibration: the next event" in page.text
    assert "Calibration: the next click" not in page.text


def test_every_model_has_a_colour_and_a_shape_of_its_own() -> None:
    html = render_report(report_of([]))
    (ordinal,) = re.findall(r"ordinal: (\[.*?\])", html)
    assert json.loads(ordinal) == list(range(len(MODEL_NAMES)))
    light, dark = (dict(re.findall(r"(--model-\d+): (#\w+)", part)) for part in html.split("dark) {")[:2])
    for colours in (light, dark):
        assert list(colours) == [f"--model-{number}" for number in range(len(MODEL_NAMES))]
        assert len(set(colours.values())) == len(MODEL_NAMES)
    assert len(set(SHAPES)) == len(SHAPES) == len(MODEL_NAMES)


def test_a_look_without_questions_is_said() -> None:
    nothing = replace(SEEN, questions=0, curves=(), ranker=None, examples=())
    page = Page(render_report(report_of([], look=nothing)))
    assert page.text.count("These sessions pose no question.") == 3


def test_a_full_evaluation_hides_the_quick_look(evaluations: list[Evaluation]) -> None:
    quick = evaluations[1].model_copy(update={"limited": True})
    assert "a quick look" not in render_report(report_of([quick, evaluations[1]]))
    assert "a quick look" in render_report(report_of([quick]))
    assert sliced([quick, evaluations[0]]) is evaluations[0]
    assert sliced(evaluations) is evaluations[1]
    assert sliced([]) is None


def test_the_table_is_ordered_by_what_ranks_and_marks_the_best(evaluations: list[Evaluation]) -> None:
    found = evaluations[1].metrics
    best = max(found, key=lambda model: found[model]["next"]["recall"] or 0)
    table = protocol_table(evaluations[1], "next")
    first = table.split("<tr")[2]
    assert table.count("<tr") == 1 + len(found)
    assert f'<th scope="row" class="text">{best}</th>' in first
    assert f"<strong>{found[best]['next']['recall']:.4f}</strong>" in first
    # Recall, MRR, repeats and new; not coverage and the like.
    assert len(set(re.findall(r"<strong>([.\d]+)</strong>", table))) == 4


def test_a_log_without_carts_and_orders_is_ordered_by_its_clicks(evaluations: list[Evaluation]) -> None:
    found = next(each for each in evaluations if each.protocol == "multi_objective")
    figures = {"low": 0.125, "high": 0.5, "middle": 0.25}
    metrics = {model: {"next": {"total": None, "clicks_recall": value}} for model, value in figures.items()}
    assert best_first(found.model_copy(update={"metrics": metrics}), "next") == ["high", "middle", "low"]


def test_equal_figures_stand_out_together_and_zeros_never(evaluations: list[Evaluation]) -> None:
    figures = {"a": (0.50001, 0.0), "b": (0.5, 0.0), "c": (0.4, None)}
    metrics = {name: {"next": {"recall": recall, "mrr": mrr}} for name, (recall, mrr) in figures.items()}
    both = evaluations[1].model_copy(update={"metrics": metrics, "intervals": {}})
    assert re.findall(r"<strong>[.\d]+</strong>", protocol_table(both, "next")) == ["<strong>0.5000</strong>"] * 2
    alone = both.model_copy(update={"metrics": {"a": metrics["a"]}})
    assert "<strong>" not in protocol_table(alone, "next")


def test_an_evaluation_without_questions_says_why(evaluations: list[Evaluation]) -> None:
    empty = [each.model_copy(update={"sessions": 0}) for each in evaluations if each.protocol == "basket_completion"]
    html = render_report(report_of(empty, leads={}))
    assert "No session put two different items of the catalogue into its cart or ordered them." in html
    assert "<strong>" not in html.split("</main>")[0]
    assert "one draw is shown" not in html


def test_figures_as_people_read_them() -> None:
    assert cell(None) == "–"
    assert cell(0.5) == "0.5000"
    assert cell(0.5, (0.4, 0.6)) == "0.5000<small>0.400–0.600</small>"
    assert [signed(each) for each in (0.01, -0.01, 0.0, -0.00001)] == ["+0.0100", "−0.0100", "0", "0"]


def test_a_lead_names_its_figure() -> None:
    assert replace(LEAD, interval=(0.001, 0.06)).sentence().endswith("(+0.0010 to +0.0600): beyond noise.")
    assert (
        replace(LEAD, difference=0.0, interval=(0.0, 0.0)).sentence() == "By recall@20, hybrid and item2vec are level."
    )
    assert [ranking_name(each, 20) for each in ("next_click", "multi_objective")] == [
        "recall@20",
        "the total of recall@20",
    ]


def test_units_and_random_draws_are_said(evaluations: list[Evaluation]) -> None:
    page = Page(render_report(report_of(evaluations)))
    for text in ("decay 0.1 a day", "plain counts", "mean@20/day is the mean of", "weighs exp(−d · t)"):
        assert text in page.text
    for drawn in ("the cuts", "the given items"):
        assert page.text.count(f"seed of {drawn}") == 1
        assert f"Of {drawn}, one draw is shown: intervals are over sessions alone" in page.text
    old = [each.model_copy(update={"seed": None}) for each in evaluations]
    assert "seed of" not in Page(render_report(report_of(old))).text


def test_figures_of_a_sample_say_so(evaluations: list[Evaluation]) -> None:
    sampled = "sample of 40 sessions"
    page = Page(render_report(report_of([])))
    assert f"recall@3, {sampled}0.5000" in page.text
    assert f"Recall by k, {sampled}" in page.text
    assert "sample of" not in Page(render_report(report_of(evaluations, look=replace(SEEN, of_sessions=40)))).text
    quick = evaluations[1].model_copy(update={"limited": True})
    facts = replace(FACTS, default_model="hybrid")
    assert (
        f"next click, sample of {quick.sessions} sessions" in Page(render_report(report_of([quick], facts=facts))).text
    )


def test_a_tile_of_words_is_smaller_than_one_of_figures() -> None:
    html = render_report(report_of([], facts=replace(FACTS, default_model="session_neighbours")))
    assert '<dt>answers by default</dt><dd class="words">session neighbours</dd>' in html
    assert "<dt>items</dt><dd>200</dd>" in html


def test_few_sessions_have_no_winner(evaluations: list[Evaluation]) -> None:
    for sessions, told in ((99, "recall@20 rests on 99 sessions,"), (1, "1 session,"), (0, "0 sessions,")):
        said = replace(LEAD, interval=(0.01, 0.06), sessions=sessions).sentence()
        assert told in said
        assert "at least 100 are needed" in said
        assert "ahead of" not in said
    few = "too few to judge by (at least 100)"
    # 40 sessions were looked at, and slices are of 60.
    assert Page(render_report(report_of(evaluations))).text.count(few) == 2
    many = [each.model_copy(update={"sessions": 100}) for each in evaluations]
    assert few not in Page(render_report(report_of(many, look=replace(SEEN, sessions=100)))).text
