"""A client of the HTTP service: the same calls in a plain and in an asynchronous form, typed, with retries.

    with Client("http://127.0.0.1:8080", api_key=key) as client:
        shown = client.recommend([Event(aid=1462420, ts=now_ms, type="carts")], session_id="s-1", limit=20)

Needs the extra ``client``: pip install 'nextcart[client]'.
"""

from importlib.util import find_spec

if find_spec("httpx") is None:
    raise ImportError("nextcart.client needs httpx; install it with: pip install 'nextcart[client]'")

from nextcart.client.answers import (
    Accepted,
    FieldError,
    Health,
    ItemList,
    Receipt,
    Recommendation,
    Recommendations,
    Refused,
    Rejected,
)
from nextcart.client.asynchronous import AsyncClient
from nextcart.client.bodies import Boost, Event, Pin, RecommendRequest, Rules, SessionEvent
from nextcart.client.errors import ApiError, ClientError, Unexpected, Unreachable
from nextcart.client.retries import Retries
from nextcart.client.synchronous import Client

__all__ = [
    "Accepted",
    "ApiError",
    "AsyncClient",
    "Boost",
    "Client",
    "ClientError",
    "Event",
    "FieldError",
    "Health",
    "ItemList",
    "Pin",
    "Receipt",
    "RecommendRequest",
    "Recommendation",
    "Recommendations",
    "Refused",
    "Rejected",
    "Retries",
    "Rules",
    "SessionEvent",
    "Unexpected",
    "Unreachable",
]
