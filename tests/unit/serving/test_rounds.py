from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from nextcart.models.recommender import Recommender
from nextcart.models.rules import RowRules
from nextcart.serving.rounds import MOST, Rounds
from nextcart.serving.schemas import Event, RecommendRequest
from nextcart.serving.scoring import Scored, score
from nextcart.serving.versions.live import LiveVersion
from tests.unit.serving.fakes import Shop, make_version


def requests(n: int) -> list[RecommendRequest]:
    return [RecommendRequest([Event(100 + i % 9, 1_661_724_000_000, "clicks")], limit=2 + i % 2) for i in range(n)]


async def together(rounds: Rounds, version: LiveVersion, asked: Sequence[RecommendRequest]) -> list[Scored]:
    return await asyncio.gather(*(rounds.score(version, each) for each in asked))


@pytest.mark.parametrize("n", [1, 2, MOST, MOST + 1, 3 * MOST])
def test_each_is_answered_as_alone_and_many_share_a_call(shop: Shop, n: int) -> None:
    version, asked = make_version(shop.recommender), requests(n)
    found = asyncio.run(together(Rounds(shop.services.rules), version, asked))
    # One call for each limit in each round.
    assert len(shop.recommender.calls) == sum(min(2, min(MOST, n - start)) for start in range(0, n, MOST))
    alone = [score(shop.services.live.current.recommender, [each])[0] for each in asked]
    assert [(each.aids, each.scores) for each in found] == [(each.aids, each.scores) for each in alone]


def test_versions_are_not_mixed(shop: Shop) -> None:
    first, second = make_version(shop.recommender), make_version(shop.recommender)
    rounds = Rounds(shop.services.rules)

    async def both() -> None:
        await asyncio.gather(*(rounds.score(version, requests(1)[0]) for version in (first, second, first)))

    asyncio.run(both())
    assert [n for n, *_ in shop.recommender.calls] == [2, 1]


def test_one_that_cannot_be_scored_does_not_harm_the_others(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    version, asked = make_version(shop.recommender), requests(3)

    def scored(recommender: Recommender, alike: Sequence[RecommendRequest], rules: RowRules | None) -> list[Scored]:
        if asked[1] in alike:
            raise RuntimeError("broken")
        return score(recommender, alike, rules)

    monkeypatch.setattr("nextcart.serving.rounds.score", scored)
    rounds = Rounds(shop.services.rules)

    async def all_three() -> list[Scored | BaseException]:
        return await asyncio.gather(*(rounds.score(version, each) for each in asked), return_exceptions=True)

    first, second, third = asyncio.run(all_three())
    assert isinstance(first, Scored)
    assert isinstance(second, RuntimeError)
    assert isinstance(third, Scored)


def test_one_that_waits_no_more_is_left_out(shop: Shop) -> None:
    version, rounds = make_version(shop.recommender), Rounds(shop.services.rules)

    async def one_goes() -> Scored:
        gone, stays = (asyncio.ensure_future(rounds.score(version, each)) for each in requests(2))
        await asyncio.sleep(0)
        gone.cancel()
        return await stays

    assert asyncio.run(one_goes()).aids
