"""Every call of the service: what is sent, and how its answer is read. The clients only carry it there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

import msgspec

from nextcart.client.answers import Accepted, Batch, Health, ItemList, Receipt, Recommendations
from nextcart.client.bodies import Event, RecommendRequest, Rules, SessionEvent
from nextcart.types import Id, Mode, Objective

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call.

    Attributes:
        method: the HTTP method.
        path: from the service's root, quoted.
        read: makes the answer of its body; raises `msgspec.MsgspecError` for what is none.
        body: JSON; None for none.
        params: the query.
        idempotent: whether a second time changes nothing that the first did not.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    body: bytes | None = None
    params: Sequence[tuple[str, str]] = ()
    idempotent: bool = True


def _reader(kind: type[T]) -> Callable[[bytes], T]:
    return msgspec.json.Decoder(kind).decode


_read_recommendations = _reader(Recommendations)
_read_batch = _reader(Batch)
_read_items = _reader(ItemList)
_read_accepted = _reader(Accepted)
_read_receipt = _reader(Receipt)
_read_health = _reader(Health)
_read_rules = _reader(Rules)
_read_object = _reader(dict[str, Any])


def recommend(
    events: Sequence[Event] = (),
    *,
    session_id: Id | None = None,
    limit: int = 20,
    objective: Objective = "clicks",
    mode: Mode = "next",
    exclude: Sequence[Id] = (),
    allow: Sequence[Id] | None = None,
    explain: bool = False,
    model: str | None = None,
    min_score: float | None = None,
    max_per_neighbourhood: int | None = None,
) -> Call[Recommendations]:
    """What the session will click, put into the cart or order next; arguments as of `RecommendRequest`."""
    request = RecommendRequest(
        events=events,
        session_id=session_id,
        limit=limit,
        objective=objective,
        mode=mode,
        exclude=exclude,
        allow=allow,
        explain=explain,
        model=model,
        min_score=min_score,
        max_per_neighbourhood=max_per_neighbourhood,
    )
    return Call("POST", "/v1/recommend", _read_recommendations, _encode(request))


def recommend_batch(requests: Sequence[RecommendRequest]) -> Call[list[Recommendations]]:
    """Answers for many sessions, in the order of the requests."""
    body = _encode({"requests": requests})
    return Call("POST", "/v1/recommend/batch", lambda answer: _read_batch(answer).responses, body)


def top_sellers(*, limit: int = 20, objective: Objective | None = None, exclude: Sequence[Id] = ()) -> Call[ItemList]:
    """What sells best now; by one type of event, or by all of them."""
    by = [("objective", objective)] if objective else []
    return Call("GET", "/v1/top-sellers", _read_items, params=[*_list_params(limit, exclude), *by])


def bought_together(items: Id | Sequence[Id], *, limit: int = 20, exclude: Sequence[Id] = ()) -> Call[ItemList]:
    """What is put into the cart or ordered together with an item, or with the items of a basket."""
    basket = [items] if isinstance(items, int | str) else items
    body = _encode({"items": basket, "limit": limit, "exclude": exclude})
    return Call("POST", "/v1/bought-together", _read_items, body)


def similar(aid: Id, *, limit: int = 20, model: str | None = None, exclude: Sequence[Id] = ()) -> Call[ItemList]:
    """What is near an item: by ``item2vec``, or with ``covisitation`` seen after it."""
    by = [("model", model)] if model else []
    return Call("GET", f"/v1/items/{_in_path(aid)}/similar", _read_items, params=[*_list_params(limit, exclude), *by])


def post_events(events: SessionEvent | Sequence[SessionEvent]) -> Call[Accepted]:
    """Keep events: those accepted are on the service's disk when this returns.

    An event without an ``event_id`` gets one, so that a retry within this call adds nothing.
    """
    given = [events] if isinstance(events, SessionEvent) else events
    named = [msgspec.structs.replace(event, event_id=event.event_id or str(uuid4())) for event in given]
    return Call("POST", "/v1/events", _read_accepted, _encode({"events": named}))


def erase_session(session_id: Id) -> Call[Receipt]:
    """Forget a session; the receipt says where it was found and when it will be gone."""
    return Call("DELETE", f"/v1/sessions/{_in_path(session_id)}", _read_receipt)


def model() -> Call[dict[str, Any]]:
    """The manifest of the version that answers."""
    return Call("GET", "/v1/model", _read_object)


def ready() -> Call[Health]:
    """The state of the service; where it cannot answer yet, `ApiError` of status 503 says why."""
    return Call("GET", "/health/ready", _read_health)


def reload() -> Call[Health]:
    """Look for a promoted version now; returns once it is live, or refused."""
    return Call("POST", "/v1/admin/reload", _read_health)


def rules() -> Call[Rules]:
    """The shop's rules as they are in force."""
    return Call("GET", "/v1/admin/rules", _read_rules)


def replace_rules(rules: Rules) -> Call[Rules]:
    """Put other rules in force; `ApiError` of status 409 where others changed them since ``rules.version``."""
    # A second time would meet the version that the first has made.
    return Call("PUT", "/v1/admin/rules", _read_rules, _encode(rules), idempotent=False)


def block(items: Sequence[Id]) -> Call[Rules]:
    """Keep items out of every answer from now on; gives the rules as they are then."""
    return Call("POST", "/v1/admin/rules/block", _read_rules, _encode({"items": items}))


def unblock(items: Sequence[Id]) -> Call[Rules]:
    """Let blocked items come again; gives the rules as they are then."""
    return Call("POST", "/v1/admin/rules/unblock", _read_rules, _encode({"items": items}))


def _list_params(limit: int, exclude: Sequence[Id]) -> list[tuple[str, str]]:
    return [("limit", str(limit)), *(("exclude", str(aid)) for aid in exclude)]


def _in_path(value: Id) -> str:
    """An id as a part of a path: with its slashes and dots quoted, which else lead elsewhere."""
    return quote(str(value), safe="").replace(".", "%2E")
