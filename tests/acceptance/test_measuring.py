"""Every protocol on a small shop, and versions and models held against each other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.acceptance.conftest import Workplace
from tests.running import as_json, nextcart

PROTOCOLS = ["next_event", "next_click", "multi_objective", "basket_completion", "next_period"]
SOURCES = "hybrid,bought_together,session_neighbours"


@pytest.fixture(scope="module")
def measured(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two versions, one of which knows next to nothing, both measured by every protocol."""
    folder = tmp_path_factory.mktemp("measured")
    shutil.copytree(workplace.folder / "var" / "store", folder / "var" / "store")
    (folder / "blind.toml").write_text("[models.covisitation]\nlast_events = 1\n")
    nextcart("train", "--only", SOURCES, cwd=folder)
    nextcart("promote", cwd=folder)
    nextcart("train", "--only", SOURCES, "--config", "blind.toml", cwd=folder)
    for version in ("production", "candidate"):
        nextcart("evaluate", "--version", version, "--protocol", "all", cwd=folder)
    return folder


def test_all_protocols_at_once(measured: Path) -> None:
    found = as_json("evaluate", "--protocol", "all", "--limit", "60", cwd=measured)
    assert [each["protocol"] for each in found["evaluations"]] == PROTOCOLS
    for each in found["evaluations"]:
        assert each["limited"]
        assert each["kept"]["sha256"]
        for model, modes in each["metrics"].items():
            for mode, figures in modes.items():
                spans = each["intervals"][model][mode]
                assert all(span is None or span[0] <= span[1] for span in spans.values())
                assert spans.keys() == figures.keys() - {"coverage", "gini"}
    some = as_json("evaluate", "--protocol", "next_period", "--protocol", "next_click", "--limit", "9", cwd=measured)
    assert [each["protocol"] for each in some["evaluations"]] == ["next_click", "next_period"]


def test_the_tables_show_every_protocol(measured: Path) -> None:
    done = nextcart("evaluate", "--protocol", "all", cwd=measured)
    for title in (
        "next_event, val_split, mode next, k = 20",
        "next_click, val_split, mode next, k = 20: recall by kind of target",
        "multi_objective, val_split",
        "basket_completion, val_split, mode discover",
        "next_period, val_split, top sellers by decay",
    ):
        assert title in done.stdout
    assert "(best)" in done.stdout
    assert "evaluating next_click: " in done.stderr


def test_two_versions_differ_by_what_one_of_them_lacks(measured: Path) -> None:
    found = as_json("compare", "production", "candidate", cwd=measured, interpreter=True)["comparisons"]
    assert [each["protocol"] for each in found] == PROTOCOLS
    (clicks,) = (each for each in found if each["protocol"] == "next_click")
    better = {(each["first_model"], each["figure"]): each["better"] for each in clicks["differences"]}
    assert better["covisitation", "recall"] == "first"
    assert better["top_sellers", "recall"] is None
    text = nextcart("compare", "candidate", "production", "--protocol", "next_click", cwd=measured).stdout
    assert "beyond noise:\n  covisitation, next: second better in recall" in text


def test_a_version_without_the_best_model_is_compared_by_what_answers(measured: Path, tmp_path: Path) -> None:
    """Each model alone is as good in both; what is asked in the shop is not."""
    shutil.copytree(measured / "var", tmp_path / "var")
    nextcart("train", "--only", "top_sellers,covisitation", cwd=tmp_path)
    nextcart("evaluate", "--version", "candidate", "--protocol", "next_click", cwd=tmp_path)
    found = as_json("compare", "production", "candidate", cwd=tmp_path)["comparisons"]
    assert [each["protocol"] for each in found] == ["next_click"]
    first = found[0]["differences"][0]
    assert found[0]["defaults"] == ["session_neighbours", "covisitation"]
    assert (first["first_model"], first["second_model"], first["better"]) == (
        "session_neighbours",
        "covisitation",
        "first",
    )
    assert set(found[0]["only_first"]) == {"session_neighbours", "bought_together", "item2vec", "hybrid"}
    assert found[0]["only_second"] == []
    text = nextcart("compare", "production", "candidate", cwd=tmp_path).stdout
    assert "where no model is named, session_neighbours answers in the first, covisitation in the second" in text
    assert "only the first has" in text


def test_a_model_measured_anew_leaves_the_others_as_they_were(measured: Path, tmp_path: Path) -> None:
    shutil.copytree(measured / "var", tmp_path / "var")
    (tmp_path / "other.toml").write_text("[evaluation]\nseed = 7\n")
    before = kept(tmp_path)
    again = as_json("evaluate", "--protocol", "next_click", "--only", "item2vec", cwd=tmp_path)
    assert list(again["metrics"]) == ["item2vec"]
    assert again["kept"]["sha256"]
    assert kept(tmp_path) == before
    done = nextcart(
        "evaluate", "--protocol", "next_click", "--only", "item2vec", "--config", "other.toml", cwd=tmp_path
    )
    assert "not kept: the version's next_click evaluation of more models was made with other settings" in done.stdout
    assert kept(tmp_path) == before


def kept(folder: Path) -> dict[str, object]:
    """The figures of every model that production's evaluation of next_click holds, and what they are made of."""
    version = json.loads((folder / "var" / "models" / "aliases.json").read_text())["production"]
    (file,) = (folder / "var" / "models").rglob(f"{version}/evaluations/next_click-val_split.json")
    return {name: json.loads(file.read_text())[name] for name in ("metrics", "intervals", "kept", "seed")}


def test_two_models_of_one_version(measured: Path) -> None:
    arguments = ("compare", "production", "--model", "session_neighbours", "--protocol", "next_click")
    found = as_json(*arguments, "--against", "top_sellers", cwd=measured)["comparisons"]
    (recall, _) = found[0]["differences"]
    assert (recall["figure"], recall["better"]) == ("recall", "first")
    low, high = recall["interval"]
    assert 0 < low < recall["difference"] < high
    assert recall["difference"] == pytest.approx(recall["first"] - recall["second"], abs=2e-6)
    every = as_json(*arguments, cwd=measured)["comparisons"][0]["differences"]
    assert {each["second_model"] for each in every} == {
        "top_sellers",
        "covisitation",
        "bought_together",
        "item2vec",
        "hybrid",
    }


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("production",), "give two versions, or --model and --against to compare models"),
        (("production", "nothing"), "no version 'nothing'"),
        (("production", "candidate", "--protocol", "some"), "--protocol: 'some' is none of next_event, next_click"),
        (("production", "candidate", "--split", "test"), "has no evaluation of all sessions to compare by; run"),
        (("production", "--model", "ranker", "--protocol", "next_click"), "no model 'ranker'"),
        (("production", "--model", "ranker"), "no evaluation of"),
    ],
)
def test_what_cannot_be_compared_is_met_with_the_remedy(measured: Path, arguments: tuple[str, ...], says: str) -> None:
    done = nextcart("compare", *arguments, cwd=measured, code=2)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_other_sessions_are_not_compared(measured: Path, workplace: Workplace, tmp_path: Path) -> None:
    shutil.copytree(measured / "var", tmp_path / "var")
    more = [json.loads(line) for line in workplace.log.read_text().splitlines()[:40]]
    (tmp_path / "more.jsonl").write_text(
        "".join(json.dumps(each | {"session": 10**9 + n}) + "\n" for n, each in enumerate(more))
    )
    nextcart("ingest", "more.jsonl", cwd=tmp_path)
    nextcart("split", cwd=tmp_path)
    nextcart("train", "--only", "top_sellers", cwd=tmp_path)
    nextcart("evaluate", "--version", "candidate", "--protocol", "next_click", cwd=tmp_path)
    done = nextcart("compare", "production", "candidate", "--protocol", "next_click", cwd=tmp_path, code=2)
    assert "were not measured on the same sessions (data_fingerprint is" in done.stderr
    assert "run 'nextcart evaluate --protocol next_click --split val_split --version VERSION' for both" in done.stderr
