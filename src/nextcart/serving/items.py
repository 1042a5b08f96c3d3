"""The routes that ask with items instead of a session: top sellers, bought together, similar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from fastapi import Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict

from nextcart.config import ServingConfig
from nextcart.serving.bodies import count_errors, decode, limit_errors, model_errors, read_body
from nextcart.serving.live import LiveModel, LiveVersion
from nextcart.serving.problems import Problem, invalid
from nextcart.serving.schemas import BasketRequest, Fallback, FieldError, ItemsResponse
from nextcart.serving.scoring import known_rows, unpack
from nextcart.types import Id, IdType, Int32s, Objective, Ranked

_INTEGER = re.compile(r"-?[0-9]{1,19}")

Aid = Annotated[str, Path(description="An item id in the shop's own form.")]


class ListQuery(BaseModel):
    """The parameters of every list of items; a parameter that is not known is an error."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    limit: int = 20
    """How many items to return."""
    exclude: list[str] = []
    """Items that must not come; may be given many times."""


class TopSellersQuery(ListQuery):
    """The parameters of top sellers."""

    objective: Objective | None = None
    """Best by this type of event alone; by all types, weighted, when left out."""


class SimilarQuery(ListQuery):
    """The parameters of similar items."""

    model: Literal["item2vec", "covisitation"] = "item2vec"
    """`item2vec`: cosine of the vectors as scores; `covisitation`: the raw weights."""


class ItemRoutes:
    """The handlers of the item routes.

    Args:
        live: the version that answers.
        config: the limits.
    """

    def __init__(self, live: LiveModel, config: ServingConfig) -> None:
        self._live = live
        self._config = config
        self._basket = msgspec.json.Decoder(BasketRequest)

    async def top_sellers(self, query: Annotated[TopSellersQuery, Query()]) -> Response:
        """What sells best now, recent events counting more."""
        version = self._live.current
        banned = self._banned(query, version)
        ranked = version.recommender.top_sellers(query.limit, objective=query.objective, exclude=banned)
        return _response(version, ranked, None)

    async def bought_together(self, aid: Aid, query: Annotated[ListQuery, Query()]) -> Response:
        """What is put into the cart or ordered together with an item.

        The list may be shorter than `limit`. An unknown item, and one without complements, is answered with top
        sellers, and `fallback` says so.
        """
        version = self._live.current
        banned = self._banned(query, version)
        return _complements(version, [parse_id(aid, _id_type(version), "aid")], query.limit, banned)

    async def basket_bought_together(self, request: Request) -> Response:
        """What is put into the cart or ordered together with the items of a basket.

        The list may be shorter than `limit`. An empty basket, one of unknown items alone, and one without complements
        is answered with top sellers, and `fallback` says so.
        """
        version = self._live.current
        basket = decode(await read_body(request, self._config.max_body_bytes), self._basket)
        errors = [
            *limit_errors(basket.limit, self._config),
            *count_errors("items", len(basket.items), self._config.max_events),
            *count_errors("exclude", len(basket.exclude), self._config.max_listed_items),
        ]
        if errors:
            raise invalid(*errors)
        banned = known_rows(version.recommender.vocabulary, basket.exclude)
        return _complements(version, basket.items, basket.limit, banned)

    async def similar(self, aid: Aid, query: Annotated[SimilarQuery, Query()]) -> Response:
        """What is near an item: by the company it keeps (`item2vec`), or seen after it (`covisitation`).

        The list may be shorter than `limit`. An unknown item, and one that the model knows nothing of, is answered with
        top sellers, and `fallback` says so.
        """
        version = self._live.current
        recommender = version.recommender
        banned = self._banned(query, version)
        if errors := model_errors(query.model, recommender.models):
            raise invalid(*errors)
        asked = known_rows(recommender.vocabulary, [parse_id(aid, _id_type(version), "aid")])
        if not len(asked):
            return _best_sellers(version, query.limit, banned, "unknown_items")
        ranked = recommender.similar(int(asked[0]), query.limit, model=query.model, exclude=banned)
        if _is_empty(ranked):
            return _best_sellers(version, query.limit, np.append(banned, asked), "no_candidates")
        return _response(version, ranked, None)

    def _banned(self, query: ListQuery, version: LiveVersion) -> Int32s:
        """The rows of ``exclude``, after a look at the limits."""
        errors = limit_errors(query.limit, self._config)
        errors += count_errors("exclude", len(query.exclude), self._config.max_listed_items)
        if errors:
            raise invalid(*errors)
        id_type = _id_type(version)
        ids = [parse_id(text, id_type, f"exclude[{place}]") for place, text in enumerate(query.exclude)]
        return known_rows(version.recommender.vocabulary, ids)


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


def _complements(version: LiveVersion, items: Sequence[Id], limit: int, banned: Int32s) -> Response:
    recommender = version.recommender
    if "bought_together" not in recommender.models:
        detail = "this version has no bought_together; train one with all models"
        raise Problem(404, "no-such-model", "The version has no such model", detail)
    if not items:
        return _best_sellers(version, limit, banned, "empty_session")
    basket = known_rows(recommender.vocabulary, items)
    if not len(basket):
        return _best_sellers(version, limit, banned, "unknown_items")
    ranked = recommender.bought_together(basket, limit, exclude=banned)
    if _is_empty(ranked):
        return _best_sellers(version, limit, np.append(banned, basket), "no_candidates")
    return _response(version, ranked, None)


def _best_sellers(version: LiveVersion, limit: int, banned: Int32s, fallback: Fallback) -> Response:
    return _response(version, version.recommender.top_sellers(limit, exclude=banned), fallback)


def _is_empty(ranked: Ranked) -> bool:
    return not (ranked.items >= 0).any()


def _response(version: LiveVersion, ranked: Ranked, fallback: Fallback | None) -> Response:
    scored = unpack(version.recommender.vocabulary, ranked, [fallback])[0]
    answer = ItemsResponse(version.name, scored.recommendations(), fallback)
    return Response(msgspec.json.encode(answer), media_type="application/json")
