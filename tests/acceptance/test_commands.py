"""The command line as a person and a script meet it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.acceptance.conftest import Workplace
from tests.raw_files import many_lines, write
from tests.running import as_json, environment, nextcart

COMMANDS = (
    "demo",
    "ingest",
    "profile",
    "split",
    "train",
    "evaluate",
    "compare",
    "recommend",
    "inspect",
    "models",
    "promote",
    "rollback",
    "serve",
    "synth",
    "report",
    "tune",
    "erase",
)
MODELS = {
    "top_sellers",
    "covisitation",
    "bought_together",
    "item2vec",
    "log_bilinear",
    "session_neighbours",
    "hybrid",
    "ranker",
}


def test_the_overview_names_every_command(tmp_path: Path) -> None:
    listed = re.findall(r"^  ([a-z]+)  ", nextcart("--help", cwd=tmp_path).stdout, re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_explains_every_option(command: str, tmp_path: Path) -> None:
    text = nextcart(command, "--help", cwd=tmp_path).stdout
    assert f"Example: nextcart {command}" in text
    for option in re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"{option}\b[^\n]*\s{{2,}}\S", text), f"{option} is not explained"


def test_the_version_needs_no_command(tmp_path: Path) -> None:
    assert nextcart("--version", cwd=tmp_path, interpreter=True).stdout == f"nextcart {version('nextcart')}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("profile",), "there is no event store; run 'nextcart ingest FILE' first"),
        (("split",), "nextcart ingest"),
        (("train",), "nextcart ingest"),
        (("evaluate",), "nextcart"),
        (("evaluate", "--protocol", "some"), "--protocol: 'some' is none of next_event, next_click"),
        (("compare", "production", "candidate"), "no version yet: run 'nextcart train' first"),
        (("promote",), "no version yet: run 'nextcart train' first"),
        (("rollback",), "no version yet"),
        (("serve",), "no version yet"),
        (("inspect", "1"), "nextcart ingest"),
        (("recommend", "nowhere.jsonl"), "no version yet"),
        (("ingest", "nowhere.jsonl"), "nowhere.jsonl"),
        (("ingest", "nowhere.jsonl", "--split", "half"), "--split: 'half' is none of train, test"),
        (("ingest", "nowhere.csv", "--columns", "session"), "--columns: 'session' is no pair"),
        (("ingest", "nowhere.csv", "--types", "a=clicks,a=carts"), "--types: 'a' stands twice"),
        (("split", "--quantile", "2"), "--quantile: Input should be less than 1 (got 2.0)"),
        (("split", "--method", "half"), "--method: Input should be 'percentile' or 'days' (got 'half')"),
        (("split", "--quantile", "0.5", "--days", "3"), "--quantile: means nothing for --method days; leave it out"),
        (("split", "--quantile", "0.5", "--method", "days"), "--quantile: means nothing for --method days"),
        (("split", "--days", "3", "--method", "percentile"), "--days: means nothing for --method percentile"),
        (("synth", "--output", "x.jsonl", "--scale", "0"), "--scale: Input should be greater than 0 (got 0.0)"),
        (("synth", "--output", "x.jsonl", "--scale", "inf"), "--scale: Input should be a finite number (got inf)"),
        (("synth", "--output", "x.jsonl", "--seed", "9" * 20), "--seed: Input should be less than"),
        (
            ("synth", "--output", "x.jsonl", "--preset", "big"),
            "--preset: Input should be 'small' or 'otto' (got 'big')",
        ),
        (("synth", "--output", "."), "--output .: is a directory; name a file"),
        (("train", "--config", "nowhere.toml"), "nowhere.toml: no such file"),
        (("demo", "--data", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_an_empty_folder_is_met_with_the_remedy(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    done = nextcart(*arguments, cwd=tmp_path, code=2)
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
    assert re.search(r"^item2vec$", done.stderr, re.MULTILINE)
    assert "\x1b" not in done.stderr + done.stdout


def test_json_is_one_object_on_stdout(workplace: Workplace, tmp_path: Path) -> None:
    where = workplace.folder
    ingested = as_json("ingest", workplace.log, cwd=where)
    assert (ingested["added_events"], ingested["already_there"]) == (0, True)
    profile = as_json("profile", "--output", tmp_path / "page.html", cwd=where)
    assert profile["events"] > 0
    assert (tmp_path / "page.html").stat().st_size > 100_000
    assert as_json("split", cwd=where)["already_there"] is True
    assert "nothing written: the store was already split so" in nextcart("split", cwd=where).stdout
    assert set(as_json("models", cwd=where, interpreter=True)["aliases"]) == {"production", "previous", "candidate"}
    assert as_json("promote", cwd=where)["production"]


def test_ingest_shows_what_it_rejected_and_how_to_see_all_of_it(tmp_path: Path) -> None:
    good = {"session": 1, "events": [{"aid": n, "ts": 1_659_304_800_025 + n, "type": "clicks"} for n in range(300)]}
    lines = [json.dumps(good), "no json", '{"session": 2, "events": []}', "no json either"]
    (tmp_path / "[b]log.jsonl").write_text("".join(f"{line}\n" for line in lines))
    text = nextcart("ingest", "[b]log.jsonl", cwd=tmp_path).stdout
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert rows == [
        ["[b]log.jsonl", "300", "0", "1", "2 invalid_json"],
        ["[b]log.jsonl", "2", "invalid_json", "no json", "2"],
    ]
    (command,) = re.findall(r"^show every reject: (python -c .*)$", text, re.MULTILINE)
    shown = subprocess.run(["sh", "-c", command], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert "no json either" in shown.stdout
    assert text.splitlines()[-1] == "train: 300 events, 1 session (0 short), 300 items, 2022-07-31 to 2022-07-31"
    again = nextcart("ingest", "[b]log.jsonl", cwd=tmp_path).stdout
    assert "nothing added: every file was already ingested into 'train'" in again
    found = as_json("ingest", "[b]log.jsonl", cwd=tmp_path)
    assert found["files"][0]["first_rejects"] == [
        {"reason": "invalid_json", "records": 2, "line": 2, "event": None, "raw": "no json"}
    ]
    assert (found["show_rejects"], found["files"][0]["empty_sessions"]) == (command, 1)


def test_a_failed_first_ingest_leaves_no_store(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("no json\n")
    assert "records rejected" in nextcart("ingest", "bad.jsonl", cwd=tmp_path, code=2).stderr
    assert [entry.name for entry in (tmp_path / "var/store").iterdir()] == ["records"]


def test_split_takes_what_short_sessions_are_from_the_settings(workplace: Workplace, tmp_path: Path) -> None:
    nextcart("ingest", workplace.log, cwd=tmp_path)
    (tmp_path / "nextcart.toml").write_text("[ingest]\nmin_events = 1000\n")
    nextcart("split", cwd=tmp_path)
    part = json.loads((tmp_path / "var/store/manifest.json").read_text())["splits"]["val_split"]
    assert part["short_sessions"] == part["sessions"] > 0


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
    assert (
        "was trained on 'train', which holds events of 'val_split'; add events that it has not seen by" in done.stderr
    )
    shutil.copytree(workplace.folder / "var/store", tmp_path / "store")
    nextcart("synth", "--scale", "0.05", "--seed", "8", "--output", "later.jsonl", cwd=tmp_path)
    nextcart("ingest", "later.jsonl", "--split", "test", "--store", "store", cwd=tmp_path)
    where = ("--version", "candidate", "--store", "store", "--models", "models")
    done = nextcart("evaluate", "--split", "val_split", *where, cwd=tmp_path, code=2)
    assert "; evaluate on 'test', or " in done.stderr
    assert "top_sellers" in nextcart("evaluate", *where, cwd=tmp_path).stdout


def test_a_training_says_at_its_end_that_there_is_no_ranker(workplace: Workplace, tmp_path: Path) -> None:
    nextcart("ingest", write(tmp_path / "few.jsonl", many_lines(10, events=3)), cwd=tmp_path)
    nextcart("split", cwd=tmp_path)
    *_, said, published = nextcart("train", cwd=tmp_path).stdout.splitlines()
    assert said == (
        "the ranker was left out: the events pose fewer than 50 questions to learn from (models.ranker.min_questions); "
        "session_neighbours answers in its place"
    )
    assert published.startswith("published ")
    assert "left out" not in nextcart("train", "--only", "top_sellers", cwd=tmp_path).stdout


def test_only_fits_what_is_named_and_what_it_stands_on(workplace: Workplace, tmp_path: Path) -> None:
    where = ("--store", workplace.folder / "var/store", "--models", tmp_path / "models")
    manifest = as_json("train", "--only", "bought_together", *where, cwd=tmp_path)
    folders = {artifact["path"].split("/")[0] for artifact in manifest["artifacts"]}
    assert folders == {"vocabulary", "top_sellers", "bought_together", "model_card.md"}
    done = nextcart("train", "--only", "hybird", *where, cwd=tmp_path, code=2)
    assert "no model 'hybird'; there are top_sellers" in done.stderr


def test_promote_and_rollback_move_the_alias(workplace: Workplace, tmp_path: Path) -> None:
    where = ("--models", tmp_path / "models")
    train = ("train", "--store", workplace.folder / "var/store", "--only", "top_sellers", *where)
    first, second = (as_json(*train, cwd=tmp_path)["version"] for _ in range(2))
    nextcart("promote", first, *where, cwd=tmp_path)
    assert as_json("promote", "--latest", *where, cwd=tmp_path)["production"] == second
    back = as_json("rollback", *where, cwd=tmp_path)
    assert (back["production"], back["previous"], back["replaced"]) == (first, None, second)
    done = nextcart("rollback", *where, cwd=tmp_path, code=2)
    assert "choose one from 'nextcart models', then run 'nextcart promote VERSION'" in done.stderr
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


def test_inspect_says_whether_the_version_has_learned_from_the_session(workplace: Workplace) -> None:
    held_out = as_json("inspect", cwd=workplace.folder)
    assert held_out["learned_from"] is False
    assert "part of training" not in nextcart("inspect", held_out["session"], cwd=workplace.folder).stdout
    sessions = [json.loads(line) for line in workplace.log.read_text().splitlines()]
    first = min((each for each in sessions if len(each["events"]) >= 2), key=lambda each: each["events"][-1]["ts"])
    assert as_json("inspect", first["session"], cwd=workplace.folder)["learned_from"] is True
    text = nextcart("inspect", first["session"], cwd=workplace.folder).stdout
    assert "this session was part of training: the lists below know it\n" in text


def test_inspect_shows_names(workplace: Workplace, tmp_path: Path) -> None:
    session = json.loads(workplace.log.read_text().splitlines()[0])
    aid = session["events"][0]["aid"]
    (tmp_path / "names.csv").write_text(f"aid,name\n{aid},A fine thing\n")
    text = nextcart("inspect", session["session"], "--names", tmp_path / "names.csv", cwd=workplace.folder).stdout
    assert f"A fine thing ({aid})" in text
    (tmp_path / "other.csv").write_text("id,title\n1,x\n")
    done = nextcart("inspect", session["session"], "--names", tmp_path / "other.csv", cwd=workplace.folder, code=2)
    assert "has no columns 'aid' and 'name'" in done.stderr
    done = nextcart("inspect", session["session"], "--names", "no.csv", cwd=workplace.folder, code=2)
    assert (done.stdout, done.stderr) == ("", "nextcart: --names no.csv: there is no such file; check the path\n")


def test_inspect_shows_the_last_steps_alone_in_json_too(workplace: Workplace) -> None:
    sessions = [json.loads(line) for line in workplace.log.read_text().splitlines()]
    session = next(each["session"] for each in sessions if len(each["events"]) >= 6)
    steps = as_json("inspect", session, cwd=workplace.folder)["steps"]
    assert as_json("inspect", session, "--steps", "2", cwd=workplace.folder)["steps"] == steps[-2:]
    text = nextcart("inspect", session, "--steps", "2", cwd=workplace.folder).stdout
    assert "of 2 next events were among" in text


def test_recommend_writes_a_line_a_session_in_input_order(workplace: Workplace, tmp_path: Path) -> None:
    asked = tmp_path / "ask.jsonl"
    known = [json.loads(line) for line in workplace.log.read_text().splitlines()[:3]]
    strangers = [
        {"session": "not-a-number", "events": []},
        {"session": 9, "events": [{"aid": "?", "ts": 1_659_304_800_025, "type": "clicks"}]},
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


def test_recommend_refuses_seconds_as_ingest_does(workplace: Workplace, tmp_path: Path) -> None:
    asked = tmp_path / "ask.jsonl"
    asked.write_text('{"session": 1, "events": [{"aid": 1, "ts": 1659304800, "type": "clicks"}]}\n')
    done = nextcart("recommend", asked, cwd=workplace.folder, code=2)
    assert done.stdout == ""
    assert done.stderr == (
        f"nextcart: {asked}:1: events[0].ts is in seconds (1659304800), milliseconds are due; "
        "multiply the timestamps by 1000\n"
    )


def test_recommend_ends_quietly_when_nobody_reads_on(workplace: Workplace) -> None:
    command = [sys.executable, "-m", "nextcart", "recommend", str(workplace.log), "--limit", "1000"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=workplace.folder, env=environment(), **pipes) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(9) == b'{"session'
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == 1


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
