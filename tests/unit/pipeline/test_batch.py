import errno
import io
import json
import os
import threading

import pytest

from nextcart.config import ModelsConfig
from nextcart.errors import InputError, RunFailed
from nextcart.models.model import FitOptions
from nextcart.models.recommender import Recommender
from nextcart.pipeline import batch
from nextcart.pipeline.batch import BatchSummary, recommend_file
from tests.raw_files import event, line, many_lines, write
from tests.shop import make_shop


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    shop = make_shop()
    return Recommender.fit(shop.vocabulary, shop.arrays, ModelsConfig(), FitOptions(), ["covisitation"])


@pytest.fixture
def asked(tmp_path):
    return write(tmp_path / "ask.jsonl", [line("b", event(1000)), line("a"), line(3, event("none"))])


def test_a_line_a_session_in_input_order(recommender, asked, tmp_path):
    stream, told = io.BytesIO(), []
    summary = recommend_file(recommender, asked, None, limit=5, stdout=stream, progress=lambda *step: told.append(step))
    lines = [json.loads(text) for text in stream.getvalue().splitlines()]
    assert [each["session"] for each in lines] == ["b", "a", 3]
    assert all(len(each["items"]) == len(each["scores"]) == 5 for each in lines)
    assert summary == BatchSummary(3, {"empty_session": 1, "unknown_items": 1})
    assert told == [("checking", 3, 0), ("recommending", 3, 3)]
    assert recommend_file(recommender, asked, tmp_path / "new" / "lists.jsonl", limit=5) == summary
    assert (tmp_path / "new" / "lists.jsonl").read_bytes() == stream.getvalue()


@pytest.mark.parametrize("lines", [[], ["", "  "]])
def test_a_file_without_sessions_is_refused(recommender, tmp_path, lines):
    with pytest.raises(InputError, match=r"none\.jsonl: holds no sessions, .*; check that it is the right file"):
        recommend_file(recommender, write(tmp_path / "none.jsonl", lines), tmp_path / "lists.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["none.jsonl"]


def test_a_bad_line_at_the_end_leaves_nothing_on_stdout(recommender, tmp_path):
    stream = io.BytesIO()
    bad = write(tmp_path / "bad.jsonl", [*many_lines(5000), line(9, event(kind="view"))])
    with pytest.raises(InputError, match=r"bad\.jsonl:5001: not a session .*\.type.*mend or remove the line"):
        recommend_file(recommender, bad, None, stdout=stream)
    assert stream.getvalue() == b""


def test_a_pipe_is_read_once(recommender, asked, tmp_path):
    pipe, told, stream = tmp_path / "pipe.jsonl", [], io.BytesIO()
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(asked.read_bytes()))
    writer.start()
    assert (
        recommend_file(recommender, pipe, None, stdout=stream, progress=lambda *step: told.append(step)).sessions == 3
    )
    writer.join()
    assert told == [("recommending", 3, 0)]


def test_an_output_is_needed_and_is_no_folder(recommender, asked, tmp_path):
    with pytest.raises(InputError, match="name one with --output"):
        recommend_file(recommender, asked, None)
    with pytest.raises(RunFailed, match=r"--output .*ask\.jsonl/lists\.jsonl: cannot be written \(File exists\)"):
        recommend_file(recommender, asked, asked / "lists.jsonl")
    with pytest.raises(InputError, match=r"--output .*: is a directory; name a file"):
        recommend_file(recommender, asked, tmp_path)


def test_seconds_are_refused_and_what_was_there_stays(recommender, tmp_path):
    bad = write(tmp_path / "bad.jsonl", [line(1, event()), line(2, event(ts=1_659_304_800))])
    (tmp_path / "lists.jsonl").write_text("before")
    with pytest.raises(InputError, match=r"bad\.jsonl:2: events\[0\]\.ts is in seconds .*multiply .* by 1000"):
        recommend_file(recommender, bad, tmp_path / "lists.jsonl")
    assert (tmp_path / "lists.jsonl").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.jsonl", "lists.jsonl"]


def test_a_full_disk_leaves_what_was_there(recommender, asked, tmp_path, monkeypatch):
    def no_space(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(batch.os, "fsync", no_space)
    (tmp_path / "lists.jsonl").write_text("before")
    with pytest.raises(RunFailed, match=r"--output .*lists\.jsonl: cannot be written \(No space left.*; free"):
        recommend_file(recommender, asked, tmp_path / "lists.jsonl")
    assert (tmp_path / "lists.jsonl").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ask.jsonl", "lists.jsonl"]
