"""The models' definitions, a section each; the class of a model is also what its ``fit`` takes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from nextcart.config.base import NotNegative, Positive, PositiveReal, Section, Share


class TypeWeights(Section):
    """What an event of each type counts."""

    clicks: NotNegative = 1.0
    carts: NotNegative = 3.0
    orders: NotNegative = 5.0

    def as_tuple(self) -> tuple[float, float, float]:
        """The weights in the order of `EventType`."""
        return (self.clicks, self.carts, self.orders)


class TopSellersConfig(Section):
    """Recency-weighted popularity: sum of w(type) * exp(-decay_per_day * age in days)."""

    decay_per_day: NotNegative = 0.1
    """Exponential decay of an event's weight with its age, counted from the newest training event."""
    type_weights: TypeWeights = TypeWeights()
    """Weight of the event's type."""
    max_items: Positive = 10_000
    """Items kept in each list: overall and one a type."""


MatrixName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class MatrixConfig(Section):
    """One co-visitation matrix: how an event b counts for another event a of the same session."""

    direction: Literal["later", "after", "around"] = "later"
    """``later``: b is later than a; ``after``: b stands after a, also at the same time; ``around``: or before a."""
    last_events: Positive = 20
    """Only the last events of a session make pairs."""
    window_hours: PositiveReal = 12.0
    """Pairs further apart in time do not count."""
    decay_per_hour: NotNegative = 0.05
    """Exponential decay of a pair's weight with the time between its events."""
    position_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor on a pair's weight for each position further apart: neighbours weigh 1, the next but one this."""
    type_weights: TypeWeights = TypeWeights()
    """Weight of the type of b."""
    look_back_events: Annotated[int, Field(ge=0)] = 0
    """Only pairs at most this many positions apart count; 0: any distance."""
    keep_diagonal: bool = False
    """Whether an item may be its own neighbour (people do come back to it)."""
    normalised: bool = False
    """Each item's weights divided by the sum of them all, those that are not kept among them: shares of what comes."""
    top_n: Annotated[int, Field(gt=0, le=1024)] = 40
    """Neighbours kept of each item."""
    two_hop: MatrixName | Literal[""] = ""
    """Under this name the neighbours of each item's first 30 neighbours are kept too; empty: they are not."""


_BY_POSITION = MatrixConfig(
    direction="after",
    last_events=50,
    window_hours=336.0,
    decay_per_hour=0.0,
    position_decay=0.8,
    type_weights=TypeWeights(clicks=1.0, carts=1.0, orders=1.0),
    look_back_events=10,
    keep_diagonal=True,
    normalised=True,
    top_n=60,
)

DEFAULT_MATRICES = {
    "next": _BY_POSITION.model_copy(update={"position_decay": 0.6}),
    "around": _BY_POSITION.model_copy(update={"direction": "around", "two_hop": "two_hop"}),
    "buys": _BY_POSITION.model_copy(update={"type_weights": TypeWeights(clicks=0.0, carts=1.0, orders=1.0)}),
}
"""What comes next, what stands near, and what is carted or ordered soon: the lists that a ranker asks for."""


class CovisitationConfig(MatrixConfig):
    """The co-visitation model: its main matrix, how a session asks it, and further named matrices."""

    query_events: Positive = 10
    """A session asks with its last events, newest first."""
    query_decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Weight of the i-th newest event of the session: query_decay ** i."""
    query_type_weights: TypeWeights = TypeWeights()
    """Weight of the type of the session's event."""
    matrices: dict[MatrixName, MatrixConfig] = Field(DEFAULT_MATRICES, validate_default=True)
    """Further matrices by name; ``main`` is taken. A file's keys change those named here, or add others. Under
    ``[models.covisitation.matrices]`` the line ``buys = false`` leaves that one out, its ``two_hop`` with it."""

    @field_validator("matrices", mode="before")
    @classmethod
    def _over_defaults(cls, given: Any) -> Any:
        """Settings from a file are laid over the defaults; a program's `MatrixConfig` are all that there are."""
        if not isinstance(given, dict) or all(isinstance(each, MatrixConfig) for each in given.values()):
            return given
        there = {name: matrix.model_dump() for name, matrix in DEFAULT_MATRICES.items()}
        left_out = {name for name, each in given.items() if each is False and name in there}
        return {name: each for name, each in _laid_over(there, given).items() if name not in left_out}

    @field_validator("matrices")
    @classmethod
    def _name_apart(cls, matrices: dict[str, MatrixConfig], main: ValidationInfo) -> dict[str, MatrixConfig]:
        if "main" in matrices:
            raise ValueError("'main' is the model's own matrix; name it otherwise")
        two_hops = (main.data.get("two_hop"), *(matrix.two_hop for matrix in matrices.values()))
        names = ["main", *matrices, *filter(None, two_hops)]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"there would be two matrices '{name}'; name one of them otherwise")
        return matrices

    def counted(self) -> dict[str, MatrixConfig]:
        """The matrices that are counted from events, by name, the main one first."""
        return {"main": self, **self.matrices}

    def two_hops(self) -> dict[str, str]:
        """The matrices of neighbours' neighbours, each with the name of the counted one that it is made of."""
        return {matrix.two_hop: name for name, matrix in self.counted().items() if matrix.two_hop}


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both tables, key by key down to the last; where both have a value, that of ``above``."""
    laid = below | above
    for name in below.keys() & above.keys():
        if isinstance(below[name], dict) and isinstance(above[name], dict):
            laid[name] = _laid_over(below[name], above[name])
    return laid


class BoughtTogetherConfig(Section):
    """Complements: items carted or ordered in one session, scored by a shrunk conditional probability.

    score(b | a) = (n(a, b) + shrinkage * w * p(b)) / (n(a) + shrinkage) / p(b) ** popularity_power, p(b) being the
    share of baskets with b, and w what a pair counts on the mean of baskets of several items.
    """

    window_hours: NotNegative = 0.0
    """Carts and orders further apart do not pair; 0: any two of a session do."""
    min_support: Positive = 1
    """Sessions that must hold a pair before it counts. What is expected in so many of any
    ``shrinkage`` sessions, and known from as many, goes with everything: with the defaults what is in every 15th."""
    shrinkage: NotNegative = 15.0
    """The share is drawn to that of all baskets as if by so many: a pair seen 3 times of 3 is not certain."""
    size_power: Share = 0.35
    """A pair counts (distinct items of its basket - 1) ** -size_power: 1 lets each item of a basket give a whole vote,
    shared by the others; 0 counts every pair alike."""
    popularity_power: Share = 0.0
    """Correction for popularity: 0 is the plain conditional probability, 1 the lift."""
    max_basket_events: Positive = 200
    """Only the last carts and orders of a session make pairs; keeps the cost of a giant session bounded."""
    query_events: Positive = 10
    """A session asks with its last carts and orders, or with its last item when it has none."""
    top_n: Annotated[int, Field(gt=0, le=1024)] = 40
    """Complements kept of each item."""


class Item2vecConfig(Section):
    """Skip-gram with negative sampling over the item sequences of sessions."""

    dim: Annotated[int, Field(gt=0, le=512)] = 32
    """Length of a vector."""
    window: Positive = 3
    """Items to each side that are context."""
    negative: Positive = 3
    """Negative samples a pair; the pairs of one event share twice as many draws, weighed to the same sum."""
    min_count: Positive = 5
    """Items with fewer training events get no vector."""
    epochs: Positive = 3
    """Passes over the sessions."""
    learning_rate: PositiveReal = 0.125
    """Learning rate at the start; it falls linearly over all epochs to a thousandth of that."""
    negative_power: Share = 0.75
    """Negatives are drawn by item count to this power."""
    top_n: Annotated[int, Field(gt=0, le=1024)] = 40
    """Nearest items kept of each item, itself among them."""
    cosine_power: Annotated[float, Field(gt=0, le=32)] = 16.0
    """A neighbour weighs its cosine to this power: one near neighbour is worth more than several far ones."""
    query_events: Positive = 5
    """A session asks with its last events, newest first."""
    query_decay: Annotated[float, Field(gt=0, le=1)] = 0.6
    """Weight of the i-th newest event of the session: query_decay ** i."""
    exact_below: Annotated[int, Field(ge=0)] = 4096
    """With fewer vectors all pairs are looked at for neighbours."""
    nprobe: Positive = 32
    """Cells of an inverted file that are looked through for the neighbours of each cell's items."""


class LogBilinearConfig(Section):
    """The log-bilinear model: the next item by learned vectors of the last ones, weighed by place, type and pause."""

    dim: Annotated[int, Field(gt=0, le=512, multiple_of=8)] = 64
    """Length of a vector; a multiple of 8."""
    context_events: Annotated[int, Field(gt=0, le=255)] = 10
    """So many of a session's last events say what comes next."""
    epochs: Positive = 10
    """Passes over the events; fewer where they would be more than ``max_steps``."""
    max_steps: Positive = 15_000_000
    """Events that are learned from, all passes together; of a log with more the newest, once."""
    half_weight_share: NotNegative = 0.15
    """In the later half of the passes, an event whose age is this share of the log's time is drawn half as often as the
    newest, share / (share + age), in passes of the same length; 0: all ages alike."""
    purchase_weight: Annotated[float, Field(gt=0, le=1)] = 0.3
    """In the same passes carts and orders are drawn so many times as often as clicks, where there are clicks."""
    learning_rate: PositiveReal = 0.05
    """Adagrad's learning rate."""
    negatives: Positive = 256
    """Items that an event's is to be told from, shared by 32 events; no more than the catalogue has."""
    negative_power: Share = 0.75
    """These are drawn by item count to this power."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Share of what describes a session that is hidden while learning."""
    top_n: Annotated[int, Field(gt=0, le=1024)] = 60
    """Nearest items kept of each item, itself among them."""
    query_events: Positive = 5
    """Of so many of a session's last events the nearest items are looked at."""
    exact_below: Annotated[int, Field(ge=0)] = 32_768
    """With fewer items all pairs are looked at for the nearest."""
    nprobe: Positive = 16
    """Cells of an inverted file that are looked through for the nearest of each cell's items."""


class NeighboursQueryConfig(Section):
    """How a session asks for the training sessions like it, and what these are worth."""

    query_events: Annotated[int, Field(gt=0, le=255)] = 10
    """A session asks with its last distinct items."""
    position_decay: PositiveReal = 1.5
    """The i-th newest of these (from 0) weighs exp(-i / position_decay)."""
    recency_days: PositiveReal = 30.0
    """A training session weighs exp(-age in days / recency_days)."""
    neighbours: Positive = 300
    """So many of the nearest training sessions give their items."""
    item_decay: PositiveReal = 2.0
    """An item weighs exp(-distance / item_decay), its distance to the newest shared item counted in events."""
    before_weight: Share = 0.8
    """Factor on items that stand before the shared one."""
    reach_events: Annotated[int, Field(gt=0, le=255)] = 10
    """Items further from the shared one add nothing."""


class SessionNeighboursConfig(NeighboursQueryConfig):
    """The session-neighbours model: what it keeps, and how a session asks it."""

    sessions_per_item: Positive = 500
    """The most recent sessions kept of each item."""
    max_session_events: Annotated[int, Field(gt=0, le=256)] = 50
    """Only the last events of a session are kept."""


class HybridConfig(Section):
    """Rank fusion of co-visitation, item2vec and top sellers: sum of w_m / log2(rank_m + 1)."""

    covisitation: NotNegative = 0.6
    """Weight of co-visitation."""
    item2vec: NotNegative = 0.25
    """Weight of item2vec."""
    top_sellers: NotNegative = 0.15
    """Weight of top sellers."""
    candidates_per_limit: Positive = 2
    """Candidates of each model, as a multiple of the limit asked for."""
    short_session_events: Annotated[int, Field(ge=0)] = 2
    """Up to this many events a session is short: item2vec and covisitation are weighed as below."""
    short_item2vec: NotNegative = 1.3
    """Factor on item2vec where the session is short."""
    short_covisitation: NotNegative = 0.8
    """Factor on co-visitation where the session is short."""
    intent_covisitation: NotNegative = 1.2
    """Factor on co-visitation where the last event is a cart or an order."""
    intent_item2vec: NotNegative = 0.9
    """Factor on item2vec where the last event is a cart or an order."""


DEFAULT_LISTS = {
    "next": 40,
    "next_of_last": 20,
    "around": 40,
    "around_of_last": 20,
    "around_of_all": 20,
    "buys": 10,
    "two_hop": 20,
    "neighbours": 60,
    "log_bilinear": 40,
    "top_sellers": 20,
}
"""The lists that a ranker asks for, and how many items of each become candidates."""


class RankerConfig(Section):
    """A learned order of all sources' candidates: which lists bring them, what it learns from, and how."""

    lists: dict[str, Annotated[int, Field(gt=0, le=1000)]] = Field(DEFAULT_LISTS)
    """How many items of each list become candidates. A co-visitation matrix brings three: of the last 10 events,
    ``<matrix>_of_last`` and ``<matrix>_of_all``. Further lists are ``bought_together``, ``popular_of_day`` (the last
    day's events), ``popular_of_hour`` (the hour of the day) and ``popular_nearby`` (of late, among the neighbours'
    items). A list that is not named, or of no trained model, is not asked."""
    list_length: Annotated[int, Field(gt=0, le=1000)] = 100
    """Length of the lists in which a candidate's rank is looked up."""
    history_events: Annotated[int, Field(ge=0)] = 60
    """The items of so many of the session's last events are candidates too; a later order is often of an early cart."""
    max_candidates: Annotated[int, Field(gt=0, le=2000)] = 150
    """The most candidates of a session."""
    folds: Positive = 5
    """At most so many times the sources are fitted on what came before a cut, and asked about the sessions after it."""
    fold_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """At most this share of the sessions lies between two cuts; the newest lie after the first."""
    max_questions: Positive = 40_000
    """The most questions that an objective is learned from; a large log poses so many in its last hours."""
    min_questions: Positive = 200
    """An objective with fewer questions gets no forest of its own: that of clicks answers for it."""
    last_positions: Positive = 20
    """Questions are posed at so many of a session's last positions."""
    negatives: Positive = 40
    """About so many candidates that did not come are kept of each question."""
    loss: Literal["lambdarank", "binary"] = "lambdarank"
    """LightGBM's objective."""
    learning_rate: PositiveReal = 0.1
    """LightGBM's learning rate."""
    depth: Annotated[int, Field(gt=0, le=64)] = 4
    """Nodes at most between a tree's root and a leaf; what a call takes grows with it."""
    leaves: Annotated[int, Field(gt=1, le=1024)] = 16
    """Leaves of a tree."""
    max_trees: Positive = 300
    """The most trees; fewer where the later part of the questions gains nothing by more."""
    patience: Positive = 100
    """Trees without gain after which no more are tried."""
    stopping_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the questions, the latest, that decide on the number of trees."""
    min_leaf_rows: Positive = 200
    """Least rows of a leaf."""
    l2: NotNegative = 20.0
    """LightGBM's lambda_l2."""
    feature_share: Annotated[float, Field(gt=0, le=1)] = 0.4
    """Share of the features that a tree may look at."""
    row_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Share of the rows that a tree is grown from."""
    truncation: Positive = 20
    """Places of a list that are to be right: lambdarank's truncation level."""


class ModelsConfig(Section):
    """The models, a section each."""

    top_sellers: TopSellersConfig = TopSellersConfig()
    covisitation: CovisitationConfig = CovisitationConfig()
    bought_together: BoughtTogetherConfig = BoughtTogetherConfig()
    item2vec: Item2vecConfig = Item2vecConfig()
    log_bilinear: LogBilinearConfig = LogBilinearConfig()
    session_neighbours: SessionNeighboursConfig = SessionNeighboursConfig()
    hybrid: HybridConfig = HybridConfig()
    ranker: RankerConfig = RankerConfig()
