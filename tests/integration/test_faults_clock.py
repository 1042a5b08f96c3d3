"""The wall clock jumps by days, forth and back, while the application runs; only what is dated by it may notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from nextcart.serving.access.rate_limits import MemoryLimits
from nextcart.types import DAY_MS
from tests.event_logs import logged
from tests.unit.serving.fakes import OPEN, Shop, make_shop

DAY_S = DAY_MS / 1000


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("NEXTCART_API_KEYS", OPEN)
    return make_shop(state=tmp_path / "state")


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Put the wall clock, which stands still from then on, so many days from now."""
    seconds, nanoseconds = time.time(), time.time_ns()

    def to(days: float) -> None:
        monkeypatch.setattr(time, "time", lambda: seconds + days * DAY_S)
        monkeypatch.setattr(time, "time_ns", lambda: nanoseconds + int(days * DAY_S * 1e9))

    return to


def event(aid: int, days: float, name: str) -> dict[str, Any]:
    ts = int((time.time() + days * DAY_S) * 1000)
    return {"session_id": 7, "aid": aid, "ts": ts, "type": "clicks", "event_id": name}


@pytest.mark.parametrize("days", [400, -400])
def test_sessions_ids_and_answers_stay_when_the_clock_jumps(
    shop: Shop, tmp_path: Path, jump: Callable[[float], None], days: float
) -> None:
    async def main() -> list[httpx.Response]:
        headers = {"authorization": "Bearer " + "s" * 16}

        async def post(*events: dict[str, Any]) -> httpx.Response:
            return await shop.client.ask("POST", "/v1/events", json={"events": list(events)}, headers=headers)

        async def known() -> httpx.Response:
            return await shop.client.ask("POST", "/v1/recommend", json={"session_id": 7, "events": []})

        first = await post(event(104, 0, "first"))
        answers = [await known()]
        jump(days)
        answers.append(await known())
        again = await post(event(104, 0, "first"))
        # "Now" is what the clock says: an event of this moment is taken, one a year ahead of it is not.
        mixed = await post(event(105, 0, "now"), event(106, 365, "ahead"))
        # The segment is of another time now, so it is closed, and another one begun.
        await shop.services.event_log.tick()
        late = await post(event(107, 0, "next"))
        answers.append(await known())
        await shop.services.close()
        assert [each.json()["accepted"] for each in (first, again, mixed, late)] == [1, 0, 1, 1]
        assert again.json()["duplicates"] == 1
        assert [each["field"] for each in mixed.json()["rejected"]] == ["ts"]
        return answers

    before, after, last = asyncio.run(main())
    assert before.json()["fallback"] is None
    assert after.json()["recommendations"] == before.json()["recommendations"]
    assert last.json()["fallback"] is None
    assert [line["event_id"] for line in logged(tmp_path / "state" / "event_log")] == ["first", "now", "next"]


@pytest.mark.parametrize("days", [400, -400])
def test_rules_that_are_set_and_edited_after_a_jump_come_into_force(
    shop: Shop, tmp_path: Path, jump: Callable[[float], None], days: float
) -> None:
    jump(days)
    held = shop.client.as_operator("PUT", "/v1/admin/rules", json={"version": 0, "block": [100]})
    assert held.json()["version"] == 1
    file = tmp_path / "state" / "rules.json"
    for version, aid in ((2, 101), (3, 102)):
        file.write_text(f'{{"version": {version}, "block": [{aid}]}}')
        shop.services.rules.poll()
        assert shop.services.rules.document.block == [aid]


@pytest.mark.parametrize("days", [400, -400])
def test_limits_neither_open_nor_close_when_the_clock_jumps(jump: Callable[[float], None], days: float) -> None:
    limits = MemoryLimits(0.001, 3)
    assert [limits.take("key") for _ in range(3)] == [0, 0, 0]
    jump(days)
    assert 900 < limits.take("key") <= 1000
    assert limits.take("other") == 0
