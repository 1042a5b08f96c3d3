"""Requests that wait at one moment are scored in one call: the busier the server, the less each of them costs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from nextcart.serving.rules import LiveRules
from nextcart.serving.schemas import RecommendRequest
from nextcart.serving.scoring import Scored, score
from nextcart.serving.versions.live import LiveVersion

MOST = 16
"""Requests of one round; those beyond wait for the next, so that answers begin to go out."""

Outcome = Scored | Exception
"""An answer, or why there is none."""


class Waiting(NamedTuple):
    """A request that waits for its answer, and who is told."""

    version: LiveVersion
    request: RecommendRequest
    then: Callable[[Outcome], None]


class Rounds:
    """Scores requests as they come, each as it would be alone.

    Args:
        rules: the shop's.
    """

    def __init__(self, rules: LiveRules) -> None:
        self._rules = rules
        self._waiting: list[Waiting] = []

    async def score(self, version: LiveVersion, request: RecommendRequest) -> Scored:
        """The answer of a version to a request.

        Raises:
            Exception: whatever scoring this request raises; the others of the round are answered.
        """
        if request.explain:
            # It may take some milliseconds, for which the others need not wait.
            return score(version.recommender, [request], self._rules.current(version.recommender))[0]
        answer: asyncio.Future[Scored] = asyncio.get_running_loop().create_future()
        self.add(version, request, lambda outcome: _settle(answer, outcome))
        return await answer

    def add(self, version: LiveVersion, request: RecommendRequest, then: Callable[[Outcome], None]) -> None:
        """Have a request scored with all that are added before the event loop comes round; ``then`` raises nothing."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        self._waiting.append(Waiting(version, request, then))

    def _run(self) -> None:
        now, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        for version in dict.fromkeys(each.version for each in now):
            self._score(version, [each for each in now if each.version is version])

    def _score(self, version: LiveVersion, asked: Sequence[Waiting]) -> None:
        outcomes: Sequence[Outcome]
        try:
            rules = self._rules.current(version.recommender)
            outcomes = score(version.recommender, [each.request for each in asked], rules)
        except Exception as error:  # noqa: BLE001 - each request is told, and logs it
            if len(asked) > 1:
                # One of them failed: the others are to have their answers.
                for each in asked:
                    self._score(version, [each])
                return
            outcomes = [error]
        for each, outcome in zip(asked, outcomes, strict=True):
            each.then(outcome)


def _settle(answer: asyncio.Future[Scored], outcome: Outcome) -> None:
    if answer.done():
        # The connection was cut, and nobody waits any more.
        return
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
