"""Compressing and erasing closed segments."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextcart.errors import UnreadableInput
from nextcart.serving.event_log import EventLog, erase
from nextcart.serving.event_log.lines import event_line
from nextcart.serving.event_log.packing import changing, pack_all
from tests.event_logs import click, config, endings, fill, logged, names, sessions, with_log


def test_closed_segments_are_compressed_once(folder: Path) -> None:
    fill(folder, "ab", "c")
    assert pack_all(folder) == 2
    assert pack_all(folder) == 0
    assert endings(folder) == [".jsonl.zst"] * 2
    assert sessions(folder) == "abc"


def test_one_process_at_a_time_compresses(folder: Path) -> None:
    fill(folder, "ab")
    with changing(folder, wait=True):
        assert pack_all(folder) == 0
    assert endings(folder) == [".jsonl"]


@pytest.mark.parametrize("pack", [False, True])
def test_a_session_is_removed_from_every_segment(folder: Path, pack: bool) -> None:
    fill(folder, "aba", "b", "aa", "ca", pack=pack)
    assert erase(folder, ["a", "c", "d"]) == {
        "events-20261124T021500Z-000001": 2,
        "events-20261124T021500Z-000003": 2,
        "events-20261124T021500Z-000004": 2,
    }
    assert sessions(folder) == "bb"
    assert len(endings(folder)) == 2
    assert erase(folder, ["a", "c", "d"]) == {}


def test_nothing_is_made_where_nothing_is_to_erase(folder: Path) -> None:
    assert erase(folder, ["a"]) == {}
    assert not folder.exists()


def test_the_active_segment_is_closed_where_it_holds_the_session_and_goes_on(folder: Path) -> None:
    async def use(log: EventLog) -> None:
        await log.append([click(12, "a"), click("12", "b")])
        assert await log.erase([13]) == {}
        assert endings(folder) == [".open"]
        assert list((await log.erase([12])).values()) == [1]
        assert endings(folder) == [".jsonl"]
        assert await log.append([click(13, "c"), click(14, "b")]) == [True, False]

    with_log(folder, use)
    assert names(folder) == ["b", "c"]


def test_events_go_on_while_sessions_are_erased(folder: Path) -> None:
    async def main() -> None:
        one, two = (EventLog(folder, config(segment_bytes=600)) for _ in range(2))

        async def write(log: EventLog, session: int) -> None:
            for number in range(60):
                assert await log.append([click(session, f"{session}-{number}")]) == [True]
                await log.tick()

        async def remove() -> int:
            removed = 0
            for _ in range(10):
                removed += sum((await one.erase([2])).values())
                await asyncio.sleep(0)
            return removed

        *_, removed = await asyncio.gather(write(one, 1), write(two, 2), remove())
        removed += sum((await two.erase([2])).values())
        assert removed == 60
        await one.close()
        await two.close()

    asyncio.run(main())
    assert sorted(names(folder), key=str) == sorted(f"1-{number}" for number in range(60))


ids = st.sampled_from([1, "1", 12, "12", "", 'a"', 'a","events":[', '{"session":1,', "\n", "ü", -1, "a,"])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(ids, min_size=1, max_size=6), max_size=4), st.lists(ids, max_size=3))
def test_what_is_left_is_what_a_plain_filter_leaves(
    tmp_path_factory: pytest.TempPathFactory, logged_sessions: list[list[int | str]], erased: list[int | str]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    for place, part in enumerate(logged_sessions, 1):
        lines = b"".join(event_line(click(session), 1) for session in part)
        (folder / f"events-20261124T021500Z-{place:06d}.jsonl").write_bytes(lines)
    removed = erase(folder, erased)
    gone = {json.dumps(session) for session in erased}
    everything = [json.dumps(session) for part in logged_sessions for session in part]
    left = [session for session in everything if session not in gone]
    assert [json.dumps(line["session"]) for line in logged(folder)] == left
    assert sum(removed.values()) == len(everything) - len(left)


@pytest.mark.parametrize("ended", [False, True])
def test_what_a_process_left_that_was_killed_while_writing_anew_is_erased_too(folder: Path, ended: bool) -> None:
    fill(folder, "b")
    copy = folder / ".rewritten"
    copy.write_bytes(event_line(click("a"), 1))
    if not ended:
        with_log(folder, lambda log: log.append([click("b")]))
        copy.write_bytes(event_line(click("a"), 1))
    assert erase(folder, ["a"]) == {}
    assert not copy.exists()


def test_a_damaged_segment_stops_an_erasure_with_its_name(folder: Path) -> None:
    fill(folder, "a", pack=True)
    (path,) = folder.glob("*.zst")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UnreadableInput, match=path.name):
        erase(folder, ["a"])
