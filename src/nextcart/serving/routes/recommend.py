"""Recommend for one session, for many, and as plain ids."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from nextcart.config import ServingConfig
from nextcart.serving.bodies import count_errors, decode, limit_errors, model_errors, read_body
from nextcart.serving.lane import Answer, Call, Reply, answer
from nextcart.serving.metrics import Served
from nextcart.serving.problems import invalid
from nextcart.serving.rounds import Outcome, Rounds
from nextcart.serving.schemas import (
    BatchRequest,
    BatchResponse,
    FieldError,
    PlainResponse,
    RecommendRequest,
    RecommendResponse,
)
from nextcart.serving.scoring import Scored, score
from nextcart.serving.services import Services
from nextcart.serving.versions.live import LiveVersion
from nextcart.serving.wrong_ids import WrongIds

AT_ONCE = 16
"""Requests of a batch that are scored before other connections get their turn."""
NEAR = ("item2vec", "covisitation")
"""Models whose lists tell which items are near one another."""
EXPLAINED_AT_ONCE = 2
"""The same of a batch that asks for explanations, each of which may take some milliseconds."""


class RecommendRoutes:
    """The handlers that answer sessions."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._rounds = Rounds(services.rules)
        self._wrong_ids = WrongIds(services.metrics)
        self._config = services.settings.serving
        self._one = msgspec.json.Decoder(RecommendRequest)
        self._many = msgspec.json.Decoder(BatchRequest)

    async def recommend(self, call: Call) -> Answer:
        """What the session will click, put into the cart or order next.

        With `session_id` the service adds the events to those it knows of the session, and answers with all of them;
        a session without events, or with unknown items alone, is answered with top sellers, and `fallback` says so. A
        list that the models cannot fill is filled with top sellers.
        """
        return _encoded(call, *await self._answer(call))

    def recommend_quickly(self, call: Call, reply: Reply) -> bool:
        """The same, of a body that is here, where there is nothing to wait for but a round of scoring."""
        body = call.body
        if body is None or len(body) > self._config.max_body_bytes or b'"session_id"' in body or b'"explain"' in body:
            return False
        asked, version = self._asked(body)
        if asked.session_id is not None or asked.explain:
            # Its key was written in another way.
            return False
        self._services.live.record(asked)

        def then(outcome: Outcome) -> None:
            reply(lambda: self._response(call, asked, version, outcome))

        self._rounds.add(version, asked, then)
        return True

    async def recommend_plain(self, call: Call) -> Answer:
        """The same as `POST /v1/recommend`, with the recommendations as ids alone."""
        asked, version, scored = await self._answer(call)
        return answer(
            PlainResponse(
                call.request_id, asked.session_id, version.name, scored.aids, scored.fallback, call.milliseconds()
            )
        )

    async def recommend_batch(self, call: Call) -> Answer:
        """Answers for many sessions, in the order of the requests; each is what `POST /v1/recommend` gives alone."""
        live = self._services.live
        _ = live.current
        asked = decode(await read_body(call, self._config.max_body_bytes), self._many).requests
        errors = count_errors("requests", len(asked), self._config.max_batch)
        versions = [live.pick(one.session_id) for one in asked]
        for place, (one, version) in enumerate(zip(asked, versions, strict=True)):
            errors += request_errors(one, self._config, version, f"requests[{place}].")
        if errors:
            raise invalid(*errors)
        known = await asyncio.gather(*map(self._with_history, asked))
        answers = await self._score_all(known, versions)
        took = call.milliseconds()
        responses = []
        for place, (one, version, scored) in enumerate(zip(asked, versions, answers, strict=True)):
            request_id = f"{call.request_id}-{place}"
            self._tell(call, one, version, request_id, scored)
            items = scored.recommendations()
            responses.append(RecommendResponse(request_id, one.session_id, version.name, items, scored.fallback, took))
        return answer(BatchResponse(responses))

    async def _score_all(self, requests: Sequence[RecommendRequest], versions: Sequence[LiveVersion]) -> list[Scored]:
        """The answers in the order of the requests; a long batch lets other connections in between."""
        found: dict[int, Scored] = {}
        at_once = EXPLAINED_AT_ONCE if any(request.explain for request in requests) else AT_ONCE
        for version in dict.fromkeys(versions):
            places = [place for place, each in enumerate(versions) if each is version]
            for start in range(0, len(places), at_once):
                part = places[start : start + at_once]
                rules = self._services.rules.current(version.recommender)
                answers = score(version.recommender, [requests[place] for place in part], rules)
                found.update(zip(part, answers, strict=True))
                await asyncio.sleep(0)
        return [found[place] for place in range(len(requests))]

    async def _answer(self, call: Call) -> tuple[RecommendRequest, LiveVersion, Scored]:
        services = self._services
        asked, version = self._asked(await read_body(call, self._config.max_body_bytes))
        services.live.record(asked)
        known = await self._with_history(asked)
        with services.traces.span("score"):
            scored = await self._rounds.score(version, known)
        self._tell(call, asked, version, call.request_id, scored)
        return asked, version, scored

    def _asked(self, body: bytes) -> tuple[RecommendRequest, LiveVersion]:
        """What is asked for, and the version that answers it."""
        _ = self._services.live.current
        asked = decode(body, self._one)
        version = self._services.live.pick(asked.session_id)
        if errors := request_errors(asked, self._config, version):
            raise invalid(*errors)
        return asked, version

    def _response(self, call: Call, asked: RecommendRequest, version: LiveVersion, outcome: Outcome) -> Answer:
        """What a round gave, kept and counted."""
        if isinstance(outcome, Exception):
            raise outcome
        self._tell(call, asked, version, call.request_id, outcome)
        return _encoded(call, asked, version, outcome)

    def _tell(self, call: Call, asked: RecommendRequest, version: LiveVersion, request_id: str, scored: Scored) -> None:
        """Keep what was shown, and count it."""
        self._services.following.shown(asked, version, request_id, scored)
        self._wrong_ids.in_request(asked, version.recommender.vocabulary.id_type, request_id)
        model = asked.model or version.recommender.default_model
        call.served.append(Served(version.name, model, asked.objective, scored.sources, scored.fallback))

    async def _with_history(self, asked: RecommendRequest) -> RecommendRequest:
        """The request with all that is known of its session."""
        if asked.session_id is None:
            return asked
        with self._services.traces.span("session store"):
            events = await self._services.following.events(asked.session_id, asked.events)
        return asked if events is asked.events else msgspec.structs.replace(asked, events=events)


def _encoded(call: Call, asked: RecommendRequest, version: LiveVersion, scored: Scored) -> Answer:
    items = scored.recommendations()
    return answer(
        RecommendResponse(call.request_id, asked.session_id, version.name, items, scored.fallback, call.milliseconds())
    )


def request_errors(
    asked: RecommendRequest, config: ServingConfig, version: LiveVersion, prefix: str = ""
) -> list[FieldError]:
    """What is wrong with a request that its struct cannot know."""
    listed = max(len(asked.exclude), len(asked.allow or ()))
    if (
        asked.limit <= config.max_limit
        and len(asked.events) <= config.max_events
        and listed <= config.max_listed_items
        and (asked.model is None or asked.model in version.recommender.models)
        and asked.max_per_neighbourhood is None
    ):
        # The usual request, at a third of the cost of looking for words.
        return []
    return [
        *limit_errors(asked.limit, config, prefix),
        *count_errors(f"{prefix}events", len(asked.events), config.max_events),
        *count_errors(f"{prefix}exclude", len(asked.exclude), config.max_listed_items),
        *count_errors(f"{prefix}allow", len(asked.allow or ()), config.max_listed_items),
        *model_errors(asked.model, version.recommender.models, prefix),
        *_nearness_errors(asked, version, prefix),
    ]


def _nearness_errors(asked: RecommendRequest, version: LiveVersion, prefix: str) -> list[FieldError]:
    """Whether the version can tell which items are near one another, where that is asked for."""
    if asked.max_per_neighbourhood is None or not version.recommender.models.keys().isdisjoint(NEAR):
        return []
    reason = f"this version has none of the models that tell what is near: {', '.join(NEAR)}"
    return [FieldError(f"{prefix}max_per_neighbourhood", reason)]
