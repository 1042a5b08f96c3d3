"""What goes over HTTP: the bodies of requests and answers as msgspec structs, the source of the OpenAPI page too.

Ids are integers or strings, in the shop's own form. A field that no struct knows is an error that names it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from nextcart.events import schema
from nextcart.events.rejects import SECONDS_TO
from nextcart.types import DEFAULT_MODELS, Mode, Objective

INT64_MAX = 2**63 - 1
EARLIEST_MS = SECONDS_TO + 1
"""The smallest timestamp that is taken. One bound, and not ingest's range: the decoder checks it at no cost."""

SimilarModel = Literal["item2vec", "covisitation"]
Fallback = Literal["empty_session", "unknown_items", "no_candidates"]
# The bound keeps one absurd id from making a matrix of texts as wide as itself.
Text = Annotated[str, Meta(max_length=schema.MAX_ID_BYTES)]
ItemId = Annotated[int | Text, Meta(description="An item id in the shop's own form.")]
SessionId = (
    Annotated[int, Meta(ge=-INT64_MAX - 1, le=INT64_MAX)]
    | Annotated[
        str, Meta(min_length=1, max_length=schema.MAX_ID_BYTES, description="A session id; given back as it came.")
    ]
)
Timestamp = Annotated[
    int,
    Meta(
        ge=EARLIEST_MS,
        le=INT64_MAX,
        description="Unix milliseconds, UTC; anything smaller looks like seconds and is refused.",
    ),
]
Limit = Annotated[int, Meta(ge=1, description="How many items to return.")]
FallbackField = Annotated[
    Fallback | None,
    Meta(
        description=(
            "Why the list is top sellers only: `empty_session` (nothing was asked with), `unknown_items` (no item that "
            "was asked with is in the catalogue) or `no_candidates` (the model has no answer); null where it has."
        )
    ),
]


class Event(schema.Event, frozen=True, gc=False, forbid_unknown_fields=True):
    """What a visitor did with an item."""

    aid: ItemId
    ts: Timestamp
    type: Annotated[Objective, Meta(description="What the visitor did.")]


class RecommendRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A session so far, and what is wanted for it."""

    events: Annotated[
        list[Event],
        Meta(
            description=(
                "The session so far, or with `session_id` its newest events; sorted by `ts` here, equal times stay in "
                "the order given."
            )
        ),
    ] = []
    session_id: Annotated[
        SessionId | None,
        Meta(description="Adds the events to what the service knows of this session, and answers with all of them."),
    ] = None
    limit: Limit = 20
    objective: Annotated[Objective, Meta(description="The kind of event that the items should lead to.")] = "clicks"
    mode: Annotated[
        Mode, Meta(description="`next` may return items that the session holds already; `discover` never does.")
    ] = "next"
    exclude: Annotated[list[ItemId], Meta(description="Items that must not come.")] = []
    allow: Annotated[
        list[ItemId] | None, Meta(description="Items that alone may come, such as those in stock; null allows all.")
    ] = None
    explain: Annotated[
        bool, Meta(description="Whether each item says which models, and which of the session's events, brought it.")
    ] = False
    model: Annotated[
        str | None,
        Meta(description=f"A model of the version; null takes its first of {', '.join(DEFAULT_MODELS)}."),
    ] = None
    min_score: Annotated[
        float | None,
        Meta(description="Items of a lower score do not come, nor what would fill the list up; null takes all."),
    ] = None
    max_per_neighbourhood: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None,
        Meta(description="At most so many items that are alike: neighbours of the first of them; null sets no bound."),
    ] = None


class BatchRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Many sessions at once."""

    requests: list[RecommendRequest]


class LoggedEventBody(Event, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An event that is to be kept."""

    session_id: SessionId
    event_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=schema.MAX_ID_BYTES)] | None,
        Meta(description="The client's own id of the event: sent again, it adds nothing."),
    ] = None
    request_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=schema.MAX_ID_BYTES)] | None,
        Meta(description="Of the answer that showed the item, where it is known."),
    ] = None


class EventsRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Events as they happened; a single one may be sent without the list around it."""

    events: list[LoggedEventBody]


class RejectedEvent(Struct, frozen=True):
    """An event that was not taken."""

    place: Annotated[int, Meta(description="In the list that was sent, from 0.")]
    field: str
    message: str


class EventsResponse(Struct, frozen=True):
    """What became of the events; those accepted are on disk."""

    accepted: int
    duplicates: Annotated[int, Meta(description="Events whose `event_id` was there already.")]
    rejected: list[RejectedEvent]


class BasketRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """A basket, and how many complements are wanted for it."""

    items: Annotated[list[ItemId], Meta(description="The items in the basket.")]
    limit: Limit = 20
    exclude: Annotated[list[ItemId], Meta(description="Items that must not come.")] = []


class ItemsRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Items that a rule is about."""

    items: Annotated[list[ItemId], Meta(description="Item ids in the shop's own form.")]


class Recommendation(Struct, frozen=True, gc=False):
    """An item of an answer, best first."""

    aid: ItemId
    score: Annotated[
        float,
        Meta(
            description=(
                "Never rises within a list, and means nothing outside it: each model has a scale of its own. An item "
                "that only fills the list up scores 0, or as the item before it where that is below 0; where "
                "`fallback` is set, the scores tell no more than the order."
            )
        ),
    ]
    sources: Annotated[
        list[str] | UnsetType, Meta(description="The models that brought the item; only with `explain`.")
    ] = UNSET
    because: Annotated[
        Event | UnsetType | None,
        Meta(description="The session's event that spoke for it most; only with `explain`, null where none did."),
    ] = UNSET


class RecommendResponse(Struct, frozen=True):
    """The recommendations for one session."""

    request_id: Annotated[str, Meta(description="Made by the server, one an answer.")]
    session_id: SessionId | None
    model_version: str
    recommendations: list[Recommendation]
    fallback: FallbackField
    took_ms: Annotated[float, Meta(description="Time in the server; in a batch, that of the whole batch.")]


class BatchResponse(Struct, frozen=True):
    """One answer a request, in the order of the requests."""

    responses: list[RecommendResponse]


class PlainResponse(Struct, frozen=True):
    """The recommendations for one session as ids alone."""

    request_id: Annotated[str, Meta(description="Made by the server, one an answer.")]
    session_id: SessionId | None
    model_version: str
    recommendations: list[ItemId]
    fallback: FallbackField
    took_ms: Annotated[float, Meta(description="Time in the server.")]


class ItemsResponse(Struct, frozen=True):
    """Items for an item, a basket or anybody."""

    model_version: str
    recommendations: list[Recommendation]
    fallback: FallbackField = None


class Refused(Struct, frozen=True):
    """A version, or the shop's rules, that would not go live."""

    what: Annotated[str, Meta(description="A version's id, or `rules`.")]
    reason: str


class HealthResponse(Struct, frozen=True, omit_defaults=True):
    """The state of the process."""

    status: Literal["live", "ready"]
    model_version: Annotated[str | None, Meta(description="The version that answers; only when ready.")] = None
    candidate_version: Annotated[str | None, Meta(description="The version that answers a share of sessions.")] = None
    refused: Annotated[list[Refused], Meta(description="What was promoted or set but would not go live.")] = []


class TopSellersQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of top sellers."""

    limit: Limit = 20
    exclude: Annotated[list[str], Meta(description="Items that must not come; may be given many times.")] = []
    objective: Annotated[
        Objective | UnsetType,
        Meta(description="Best by this type of event alone; by all types, weighted, when left out."),
    ] = UNSET


class BoughtTogetherQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of what is bought together with an item."""

    limit: Limit = 20
    exclude: Annotated[list[str], Meta(description="Items that must not come; may be given many times.")] = []


class SimilarQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of similar items."""

    limit: Limit = 20
    exclude: Annotated[list[str], Meta(description="Items that must not come; may be given many times.")] = []
    model: Annotated[
        SimilarModel,
        Meta(description="`item2vec`: cosine of the vectors as scores; `covisitation`: the raw weights."),
    ] = "item2vec"


class FieldError(Struct, frozen=True):
    """One thing that is wrong with a request."""

    field: Annotated[str, Meta(description="Where, such as `events[3].ts`.")]
    message: str


class ProblemDocument(Struct, frozen=True, omit_defaults=True):
    """A problem as RFC 9457 has it."""

    type: Annotated[str, Meta(description="Names the kind of problem; stable, for programs.")]
    title: str
    status: int
    detail: str
    instance: Annotated[str, Meta(description="The path that was asked.")]
    errors: Annotated[list[FieldError], Meta(description="The fields that are wrong, where fields are.")] = []
