import json
import logging
import os
import re
import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from nextcart.errors import RunFailed
from nextcart.pipeline import record as record_module
from nextcart.pipeline.record import StepRecord, peak_memory
from nextcart.repository.manifest import Timing

MIB = 2**20


def written(folder) -> dict:
    (file,) = folder.iterdir()
    return json.loads(file.read_text())


def test_a_job_that_is_done_leaves_its_record(tmp_path):
    with StepRecord("train", tmp_path / "records") as step:
        step.facts["rows"] = 17
        with step.stage("read"):
            time.sleep(0.03)
        with step.stage("covisitation"):
            pass
    document = written(tmp_path / "records")
    assert document["step"] == "train"
    assert document["status"] == "done"
    assert document["error"] is None
    assert document["facts"] == {"rows": 17}
    assert [timing["stage"] for timing in document["timings"]] == ["read", "covisitation"]
    assert document["wall_seconds"] >= document["timings"][0]["wall_seconds"] >= 0.03
    assert document["timings"][0]["cpu_seconds"] < 0.03
    assert document["peak_memory_bytes"] > 10 * MIB
    assert abs(datetime.now(UTC) - datetime.fromisoformat(document["began_at"])) < timedelta(minutes=1)
    assert re.fullmatch(r"train-\d{8}T\d{6}Z-[0-9a-f]{4}\.json", step.file.name)
    assert step.file.parent == tmp_path / "records"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RunFailed("the disk is full; free space"), "RunFailed: the disk is full; free space"),
        (ValueError("surprise"), "ValueError: surprise"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
    ],
)
def test_a_job_that_fails_leaves_its_record_and_its_error_goes_on(tmp_path, error, text):
    with pytest.raises(type(error)), StepRecord("train", tmp_path) as step, step.stage("item2vec"):
        raise error
    document = written(tmp_path)
    assert document["status"] == "failed"
    assert document["error"] == text
    assert [timing["stage"] for timing in document["timings"]] == ["item2vec"]


def test_two_records_of_one_moment_do_not_meet(tmp_path):
    for _ in range(8):
        with StepRecord("train", tmp_path):
            pass
    assert len(list(tmp_path.iterdir())) == 8


def test_a_record_that_cannot_be_written_never_fails_the_job_and_is_said_only_where_the_job_had_no_error(
    tmp_path, caplog
):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunFailed), StepRecord("train", tmp_path / "file"):
        raise RunFailed("the disk is full")
    assert caplog.records == []
    with StepRecord("train", tmp_path / "file"):
        pass
    assert [(record.levelno, "cannot be written (" in record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, True)
    ]
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_job_that_is_killed_leaves_how_far_it_came_and_who_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/nextcart", "train"])
    with StepRecord("train", tmp_path) as step:
        assert (written(tmp_path)["status"], written(tmp_path)["timings"]) == ("running", [])
        step.facts["events"] = 17
        with step.stage("read"):
            pass
        document = written(tmp_path)
    assert (document["status"], document["facts"]) == ("running", {"events": 17})
    assert [timing["stage"] for timing in document["timings"]] == ["read"]
    assert document["process"] == os.getpid()
    assert document["command"] == "nextcart train"
    assert document["host"]


def test_bytes_are_those_of_the_job(tmp_path):
    if not record_module.IO.exists():
        pytest.skip("this system does not tell the bytes of a process")
    (tmp_path / "before").write_bytes(bytes(5 * MIB))
    with StepRecord("ingest", tmp_path / "records"):
        (tmp_path / "copy").write_bytes((tmp_path / "before").read_bytes()[: 2 * MIB])
    document = written(tmp_path / "records")
    assert 5 * MIB <= document["read_bytes"] < 6 * MIB
    assert 2 * MIB <= document["written_bytes"] < 3 * MIB


def test_timings_are_what_a_manifest_takes(tmp_path):
    with StepRecord("train", tmp_path) as step, step.stage("read"):
        sum(range(200_000))
    (timing,) = step.timings
    assert isinstance(timing, Timing)
    assert timing.cpu_seconds > 0
    assert Timing.model_validate_json(timing.model_dump_json()) == timing


def test_the_peak_of_a_stage_is_its_own_where_the_system_can_tell(tmp_path):
    if not record_module.CLEAR_REFS.exists():
        pytest.skip("this system cannot reset the peak of a process's memory")
    with StepRecord("train", tmp_path) as step:
        with step.stage("large"):
            block = np.ones(120 * MIB, np.uint8)
            del block
        with step.stage("small"):
            pass
    large, small = (timing.peak_memory_bytes for timing in step.timings)
    assert large - small > 100 * MIB
    assert written(tmp_path)["peak_memory_bytes"] == large


def test_the_peak_is_known_without_proc_too_and_bytes_are_not(monkeypatch, tmp_path):
    monkeypatch.setattr(record_module, "STATUS", tmp_path / "none")
    monkeypatch.setattr(record_module, "CLEAR_REFS", tmp_path / "none")
    monkeypatch.setattr(record_module, "IO", tmp_path / "none")
    with StepRecord("train", tmp_path) as step, step.stage("read"):
        pass
    assert peak_memory() > 10 * MIB
    assert step.timings[0].peak_memory_bytes > 10 * MIB
    assert written(tmp_path)["read_bytes"] == written(tmp_path)["written_bytes"] == 0
