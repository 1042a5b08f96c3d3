"""Requests that wait at one moment are scored in one call: the busier the server, the less each of them costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from nextcart.serving.rules import LiveRules
from nextcart.serving.schemas import RecommendRequest
from nextcart.serving.scoring import Scored, score
from nextcart.serving.versions.live import LiveVersion

MOST = 16
"""Requests of one round; those beyond wait for the next, so that answers begin to go out."""


class Waiting(NamedTuple):
    """A request that waits for its answer."""

    version: LiveVersion
    request: RecommendRequest
    answer: asyncio.Future[Scored]


class Rounds:
    """Scores requests as they come, each as it would be alone.

    Args:
        rules: the shop's.
    """

    def __init__(self, rules: LiveRules) -> None:
        self._rules = rules
        self._waiting: list[Waiting] = []

    async def score(self, version: LiveVersion, request: RecommendRequest) -> Scored:
        """The answer of a version to a request, scored with all that are asked before the event loop comes round.

        Raises:
            Exception: whatever scoring this request raises; the others of the round are answered.
        """
        if request.explain:
            # It may take some milliseconds, for which the others need not wait.
            return score(version.recommender, [request], self._rules.current(version.recommender))[0]
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Scored] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._run)
        self._waiting.append(Waiting(version, request, answer))
        return await answer

    def _run(self) -> None:
        now, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        versions = {id(each.version): each.version for each in now}
        for key, version in versions.items():
            self._score(version, now if len(versions) == 1 else [each for each in now if id(each.version) == key])

    def _score(self, version: LiveVersion, asked: Sequence[Waiting]) -> None:
        try:
            rules = self._rules.current(version.recommender)
            answers = score(version.recommender, [each.request for each in asked], rules)
        except Exception as error:  # noqa: BLE001 - each request is told, and logs it
            self._score_alone(version, asked, error)
            return
        for each, scored in zip(asked, answers, strict=True):
            # A request whose connection was cut waits no more.
            if not each.answer.done():
                each.answer.set_result(scored)

    def _score_alone(self, version: LiveVersion, asked: Sequence[Waiting], error: Exception) -> None:
        """One of several requests failed: the others are to have their answers."""
        if len(asked) == 1:
            if not asked[0].answer.done():
                asked[0].answer.set_exception(error)
            return
        for each in asked:
            self._score(version, [each])
