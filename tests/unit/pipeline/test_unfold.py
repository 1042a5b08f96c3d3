import pytest

from nextcart.config import ModelsConfig
from nextcart.errors import InputError
from nextcart.events.schema import Event
from nextcart.models.model import FitOptions
from nextcart.models.recommender import Recommender
from nextcart.pipeline.unfold import unfold
from tests.shop import make_shop


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    shop = make_shop()
    return Recommender.fit(shop.vocabulary, shop.arrays, ModelsConfig(), FitOptions(), ["covisitation"])


def aids(recommender: Recommender, *rows: int) -> list[int]:
    return [recommender.vocabulary.ids([row])[0] for row in rows]


def test_each_step_is_what_the_session_so_far_would_have_got(recommender):
    events = [Event(aid, i, "clicks") for i, aid in enumerate([*aids(recommender, 0, 5, 0), 3])]
    steps = unfold(recommender, events, limit=7)
    assert [step.history for step in steps] == [events[:1], events[:2], events[:3]]
    assert [step.target for step in steps] == events[1:]
    for step in steps:
        alone = unfold(recommender, [*step.history, step.target], limit=7)[-1]
        assert step == alone
        assert len(step.shown) == 7
        assert [item.target for item in step.shown].count(True) == (step.rank is not None)
        if step.rank:
            assert step.shown[step.rank - 1].aid == step.target.aid
        seen = {event.aid for event in step.history}
        assert all(item.seen == (item.aid in seen) for item in step.shown)
        assert all(item.sources for item in step.shown)


def test_events_out_of_order_are_put_in_order(recommender):
    events = [Event(aid, 10 - i, "clicks") for i, aid in enumerate(aids(recommender, 0, 5, 9))]
    assert unfold(recommender, events) == unfold(recommender, events[::-1])


def test_an_unknown_history_says_so(recommender):
    (step,) = unfold(recommender, [Event("none", 0, "clicks"), Event(aids(recommender, 0)[0], 1, "clicks")])
    assert step.fallback == "unknown_items"
    assert step.rank is not None


@pytest.mark.parametrize("events", [[], [Event(1, 0, "clicks")]])
def test_a_session_that_nothing_follows_is_refused(recommender, events):
    with pytest.raises(InputError, match=f"{len(events)} event"):
        unfold(recommender, events)
