"""The routes that ask with items instead of a session: top sellers, bought together, similar."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
import numpy as np

from nextcart.models.rules import RowRules
from nextcart.serving.bodies import count_errors, decode, limit_errors, model_errors, read_body
from nextcart.serving.lane import Answer, Call, answer
from nextcart.serving.problems import Problem, invalid
from nextcart.serving.queries import decode_query
from nextcart.serving.schemas import (
    BasketRequest,
    BoughtTogetherQuery,
    Fallback,
    FieldError,
    ItemsResponse,
    SimilarQuery,
    TopSellersQuery,
)
from nextcart.serving.scoring import known_rows, unpack
from nextcart.serving.services import Services
from nextcart.serving.versions.live import LiveVersion
from nextcart.serving.wrong_ids import WrongIds
from nextcart.types import Id, IdType, Int32s, Ranked

_INTEGER = re.compile(r"-?[0-9]{1,19}")


class ItemRoutes:
    """The handlers of the item routes."""

    def __init__(self, services: Services) -> None:
        self._live = services.live
        self._rules = services.rules
        self._config = services.settings.serving
        self._wrong_ids = WrongIds(services.metrics)
        self._basket = msgspec.json.Decoder(BasketRequest)

    async def top_sellers(self, call: Call) -> Answer:
        """What sells best now, recent events counting more."""
        version = self._live.current
        query = decode_query(call, TopSellersQuery)
        banned = self._banned(query, version)
        ranked = version.recommender.top_sellers(
            query.limit, objective=query.objective or None, exclude=banned, rules=self._rules_of(version)
        )
        return _answer(version, ranked, None)

    async def bought_together(self, call: Call) -> Answer:
        """What is put into the cart or ordered together with an item.

        The list may be shorter than `limit`. An unknown item, and one without complements, is answered with top
        sellers, and `fallback` says so.
        """
        version = self._live.current
        query = decode_query(call, BoughtTogetherQuery)
        banned = self._banned(query, version)
        items = [parse_id(call.value, _id_type(version), "aid")]
        return self._complements(version, items, query.limit, banned)

    async def basket_bought_together(self, call: Call) -> Answer:
        """What is put into the cart or ordered together with the items of a basket.

        The list may be shorter than `limit`. An empty basket, one of unknown items alone, and one without complements
        is answered with top sellers, and `fallback` says so.
        """
        version = self._live.current
        basket = decode(await read_body(call, self._config.max_body_bytes), self._basket)
        errors = [
            *limit_errors(basket.limit, self._config),
            *count_errors("items", len(basket.items), self._config.max_events),
            *count_errors("exclude", len(basket.exclude), self._config.max_listed_items),
        ]
        if errors:
            raise invalid(*errors)
        self._wrong_ids.in_basket(basket, _id_type(version), call.request_id)
        banned = known_rows(version.recommender.vocabulary, basket.exclude)
        return self._complements(version, basket.items, basket.limit, banned)

    async def similar(self, call: Call) -> Answer:
        """What is near an item: by the company it keeps (`item2vec`), or seen after it (`covisitation`).

        The list may be shorter than `limit`. An unknown item, and one that the model knows nothing of, is answered with
        top sellers, and `fallback` says so.
        """
        version = self._live.current
        query = decode_query(call, SimilarQuery)
        recommender = version.recommender
        banned = self._banned(query, version)
        if errors := model_errors(query.model, recommender.models):
            raise invalid(*errors)
        asked = known_rows(recommender.vocabulary, [parse_id(call.value, _id_type(version), "aid")])
        if not len(asked):
            return self._best_sellers(version, query.limit, banned, "unknown_items")
        ranked = recommender.similar(
            int(asked[0]), query.limit, model=query.model, exclude=banned, rules=self._rules_of(version)
        )
        if _is_empty(ranked):
            return self._best_sellers(version, query.limit, np.append(banned, asked), "no_candidates")
        return _answer(version, ranked, None)

    def _banned(self, query: TopSellersQuery | BoughtTogetherQuery | SimilarQuery, version: LiveVersion) -> Int32s:
        """The rows of ``exclude``, after a look at the limits."""
        errors = limit_errors(query.limit, self._config)
        errors += count_errors("exclude", len(query.exclude), self._config.max_listed_items)
        if errors:
            raise invalid(*errors)
        id_type = _id_type(version)
        ids = [parse_id(text, id_type, f"exclude[{place}]") for place, text in enumerate(query.exclude)]
        return known_rows(version.recommender.vocabulary, ids)

    def _complements(self, version: LiveVersion, items: Sequence[Id], limit: int, banned: Int32s) -> Answer:
        recommender = version.recommender
        if "bought_together" not in recommender.models:
            detail = "this version has no bought_together; train one with all models"
            raise Problem(404, "no-such-model", "The version has no such model", detail)
        if not items:
            return self._best_sellers(version, limit, banned, "empty_session")
        basket = known_rows(recommender.vocabulary, items)
        if not len(basket):
            return self._best_sellers(version, limit, banned, "unknown_items")
        ranked = recommender.bought_together(basket, limit, exclude=banned, rules=self._rules_of(version))
        if _is_empty(ranked):
            return self._best_sellers(version, limit, np.append(banned, basket), "no_candidates")
        return _answer(version, ranked, None)

    def _best_sellers(self, version: LiveVersion, limit: int, banned: Int32s, fallback: Fallback) -> Answer:
        ranked = version.recommender.top_sellers(limit, exclude=banned, rules=self._rules_of(version))
        return _answer(version, ranked, fallback)

    def _rules_of(self, version: LiveVersion) -> RowRules | None:
        return self._rules.current(version.recommender)


def parse_id(text: str, id_type: IdType, field: str) -> Id:
    """An id that came as text, in the shop's own form.

    Raises:
        Problem: 422, the shop's ids are integers and this is none.
    """
    if id_type == "string":
        return text
    if not _INTEGER.fullmatch(text):
        raise invalid(FieldError(field, "must be an integer, as all item ids of this shop are"))
    return int(text)


def _id_type(version: LiveVersion) -> IdType:
    return version.recommender.vocabulary.id_type


def _is_empty(ranked: Ranked) -> bool:
    return not (ranked.items >= 0).any()


def _answer(version: LiveVersion, ranked: Ranked, fallback: Fallback | None) -> Answer:
    scored = unpack(version.recommender.vocabulary, ranked, [fallback])[0]
    return answer(ItemsResponse(version.name, scored.recommendations(), fallback))
