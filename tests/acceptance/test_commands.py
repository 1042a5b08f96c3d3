"""The command line as a person and a script meet it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.acceptance.conftest import Workplace
from tests.running import as_json, nextcart

COMMANDS = (
    "demo",
    "ingest",
    "profile",
    "split",
    "train",
    "evaluate",
    "recommend",
    "inspect",
    "models",
    "promote",
    "rollback",
    "serve",
    "synth",
)
MODELS = {"top_sellers", "covisitation", "bought_together", "item2vec", "hybrid"}


def test_the_overview_names_every_command(tmp_path: Path) -> None:
    listed = re.findall(r"^  ([a-z]+)  ", nextcart("--help", cwd=tmp_path).stdout, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_explains_every_option(command: str, tmp_path: Path) -> None:
    text = nextcart(command, "--help", cwd=tmp_path).stdout
    assert f"Example: nextcart {command}" in text
    for option in re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"{option}\b[^\n]*\s{{2,}}\S", text), f"{option} is not explained"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("profile",), "there is no event store; run 'nextcart ingest FILE' first"),
        (("split",), "nextcart ingest"),
        (("train",), "nextcart ingest"),
        (("evaluate",), "nextcart"),
        (("promote",), "no version yet: run 'nextcart train' first"),
        (("rollback",), "no version yet"),
        (("serve",), "no version yet"),
        (("inspect", "1"), "nextcart ingest"),
        (("recommend", "nowhere.jsonl"), "no version yet"),
        (("ingest", "nowhere.jsonl"), "nowhere.jsonl"),
        (("ingest", "nowhere.jsonl", "--split", "half"), "--split: 'half' is none of train, test"),
        (("ingest", "nowhere.csv", "--columns", "session"), "--columns: 'session' is no pair"),
        (("synth", "--output", "x.jsonl", "--scale", "0"), "--scale: 0.0 is not above 0"),
        (("train", "--config", "nowhere.toml"), "nowhere.toml: no such file"),
        (("demo", "--data", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_an_empty_folder_is_met_with_the_remedy(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = nextcart(*arguments, cwd=tmp_path, code=1 if arguments[0] == "demo" else 2)
    assert says in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("nextcart: ")
    assert "Traceback" not in done.stderr


def test_a_setting_that_does_not_exist_is_named(workplace: Workplace, tmp_path: Path) -> None:
    (tmp_path / "nextcart.toml").write_text("[models.item2vec]\ndimm = 3\n")
    done = nextcart("train", "--store", workplace.folder / "var/store", cwd=tmp_path, code=2)
    assert "unknown key 'models.item2vec.dimm'" in done.stderr


def test_progress_is_plain_lines_where_there_is_no_terminal(workplace: Workplace, tmp_path: Path) -> None:
    done = nextcart("train", "--store", workplace.folder / "var/store", "--models", tmp_path / "models", cwd=tmp_path)
    assert re.search(r"^item2vec: \d+ of \d+$", done.stderr, re.MULTILINE)
    assert "\x1b" not in done.stderr + done.stdout


def test_json_is_one_object_on_stdout(workplace: Workplace, tmp_path: Path) -> None:
    where = workplace.folder
    assert as_json("ingest", workplace.log, cwd=where)["added_events"] == 0
    profile = as_json("profile", "--output", tmp_path / "page.html", cwd=where)
    assert profile["events"] > 0
    assert (tmp_path / "page.html").stat().st_size > 100_000
    assert as_json("split", cwd=where)["already_there"] is True
    assert set(as_json("models", cwd=where)["aliases"]) == {"production", "previous", "candidate"}
    assert as_json("promote", cwd=where)["production"]


def test_evaluate_reports_all_models_in_both_modes(workplace: Workplace) -> None:
    found = as_json("evaluate", cwd=workplace.folder)
    assert set(found["metrics"]) == MODELS
    assert all(set(by_mode) == {"next", "discover"} for by_mode in found["metrics"].values())
    assert found["split"] == "val_split"
    assert not found["limited"]
    quick = as_json("evaluate", "--limit", "50", "--only", "covisitation", cwd=workplace.folder)
    assert quick["sessions"] == 50
    assert quick["limited"]
    assert set(quick["metrics"]) == {"covisitation"}
    listed = as_json("models", cwd=workplace.folder)["versions"][0]["evaluations"]
    assert {(each["split"], each["limited"]) for each in listed} == {("val_split", False), ("val_split", True)}


def test_the_structure_of_the_shop_is_learned(workplace: Workplace) -> None:
    metrics = as_json("evaluate", cwd=workplace.folder)["metrics"]
    recall = {name: by_mode["next"]["recall"] for name, by_mode in metrics.items()}
    assert recall["hybrid"] > 1.5 * recall["top_sellers"]
    assert recall["covisitation"] > recall["top_sellers"]


def test_a_version_is_not_evaluated_on_what_it_learned(workplace: Workplace, tmp_path: Path) -> None:
    where = ("--store", workplace.folder / "var/store", "--models", tmp_path / "models")
    trained = nextcart("train", "--on", "all", "--only", "top_sellers", *where, cwd=tmp_path)
    assert "not evaluated, since it was trained on all events" in trained.stdout
    done = nextcart("evaluate", "--version", "candidate", "--split", "val_split", *where, cwd=tmp_path, code=2)
    assert "was trained on 'train', which holds events of 'val_split'" in done.stderr


def test_only_fits_what_is_named_and_what_it_stands_on(workplace: Workplace, tmp_path: Path) -> None:
    where = ("--store", workplace.folder / "var/store", "--models", tmp_path / "models")
    manifest = as_json("train", "--only", "bought_together", *where, cwd=tmp_path)
    folders = {artifact["path"].split("/")[0] for artifact in manifest["artifacts"]}
    assert folders == {"vocabulary", "top_sellers", "bought_together"}
    done = nextcart("train", "--only", "hybird", *where, cwd=tmp_path, code=2)
    assert "no model 'hybird'; there are top_sellers" in done.stderr


def test_promote_and_rollback_move_the_alias(workplace: Workplace, tmp_path: Path) -> None:
    where = ("--models", tmp_path / "models")
    train = ("train", "--store", workplace.folder / "var/store", "--only", "top_sellers", *where)
    first, second = (as_json(*train, cwd=tmp_path)["version"] for _ in range(2))
    nextcart("promote", first, *where, cwd=tmp_path)
    assert as_json("promote", "--latest", *where, cwd=tmp_path)["production"] == second
    assert as_json("rollback", *where, cwd=tmp_path)["production"] == first
    text = nextcart("models", *where, cwd=tmp_path).stdout
    assert first in text
    assert "production" in text
    done = nextcart("promote", first, "--latest", *where, cwd=tmp_path, code=2)
    assert "not both" in done.stderr


def test_inspect_marks_the_next_event_and_the_seen_items(workplace: Workplace) -> None:
    sessions = [json.loads(line) for line in workplace.log.read_text().splitlines()]
    session = next(each for each in sessions if 4 <= len(each["events"]) <= 8)
    found = as_json("inspect", session["session"], "--limit", "20", cwd=workplace.folder)
    assert len(found["steps"]) == len(session["events"]) - 1
    for position, step in enumerate(found["steps"], 1):
        history = {event["aid"] for event in session["events"][:position]}
        target = session["events"][position]["aid"]
        assert step["target"]["aid"] == target
        assert [item["seen"] for item in step["shown"]] == [item["aid"] in history for item in step["shown"]]
        places = [place for place, item in enumerate(step["shown"], 1) if item["aid"] == target]
        assert step["rank"] == (places[0] if places else None)
        assert all(item["sources"] for item in step["shown"])
    text = nextcart("inspect", session["session"], "--model", "hybrid", cwd=workplace.folder).stdout
    assert "brought by" in text
    assert f"of {len(found['steps'])} next events were among" in text


def test_inspect_shows_names(workplace: Workplace, tmp_path: Path) -> None:
    session = json.loads(workplace.log.read_text().splitlines()[0])
    aid = session["events"][0]["aid"]
    (tmp_path / "names.csv").write_text(f"aid,name\n{aid},A fine thing\n")
    text = nextcart("inspect", session["session"], "--names", tmp_path / "names.csv", cwd=workplace.folder).stdout
    assert f"A fine thing ({aid})" in text
    (tmp_path / "other.csv").write_text("id,title\n1,x\n")
    done = nextcart("inspect", session["session"], "--names", tmp_path / "other.csv", cwd=workplace.folder, code=2)
    assert "has no columns 'aid' and 'name'" in done.stderr


def test_recommend_writes_a_line_a_session_in_input_order(workplace: Workplace, tmp_path: Path) -> None:
    asked = tmp_path / "ask.jsonl"
    known = [json.loads(line) for line in workplace.log.read_text().splitlines()[:3]]
    strangers = [
        {"session": "not-a-number", "events": []},
        {"session": 9, "events": [{"aid": "?", "ts": 1, "type": "clicks"}]},
    ]
    asked.write_text("".join(json.dumps(session) + "\n" for session in [strangers[0], *known, strangers[1]]))
    done = nextcart("recommend", asked, "--limit", "7", cwd=workplace.folder)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["session"] for line in lines] == ["not-a-number", *(each["session"] for each in known), 9]
    assert all(len(line["items"]) == len(line["scores"]) == len(set(line["items"])) == 7 for line in lines)
    assert lines[0]["items"] == lines[-1]["items"]
    assert "1 empty_session" in done.stderr
    assert "1 unknown_items" in done.stderr
    nextcart("recommend", asked, "--limit", "7", "--output", tmp_path / "out.jsonl", cwd=workplace.folder)
    assert (tmp_path / "out.jsonl").read_text() == done.stdout


def test_recommend_leaves_nothing_half_written(workplace: Workplace, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"session": 1, "events": []}\n{"session": 2, "evts": []}\n')
    done = nextcart("recommend", bad, "--output", tmp_path / "out.jsonl", cwd=workplace.folder, code=2)
    assert "bad.jsonl:2" in done.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["bad.jsonl"]


def test_an_unknown_model_is_refused_with_the_known_ones(workplace: Workplace, tmp_path: Path) -> None:
    asked = tmp_path / "ask.jsonl"
    asked.write_text('{"session": 1, "events": []}\n')
    done = nextcart("recommend", asked, "--model", "magic", cwd=workplace.folder, code=2)
    assert "no model 'magic' in this version; it has top_sellers" in done.stderr


def test_a_damaged_version_is_not_used(workplace: Workplace, tmp_path: Path) -> None:
    where = ("--models", tmp_path / "models")
    train = ("train", "--store", workplace.folder / "var/store", "--only", "top_sellers", *where)
    version = as_json(*train, cwd=tmp_path)["version"]
    damaged = tmp_path / "models/versions" / version / "top_sellers/overall-items.npy"
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x01")
    done = nextcart("promote", *where, cwd=tmp_path, code=1)
    assert "top_sellers/overall-items.npy" in done.stderr
