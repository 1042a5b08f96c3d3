import pytest

from nextcart.config import ModelsConfig, SplitConfig
from nextcart.errors import InputError
from nextcart.events.ingest import ingest
from nextcart.events.schema import Event
from nextcart.events.split import split
from nextcart.events.store import Store
from nextcart.models.model import FitOptions
from nextcart.models.recommender import Recommender
from nextcart.pipeline.unfold import learned_from, stored_session, typical_session, unfold
from nextcart.repository.manifest import DataFacts, Manifest
from tests.raw_files import START, event, line, write
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


def test_the_last_steps_alone_are_the_last_of_all_steps(recommender):
    events = [Event(aid, i, "clicks") for i, aid in enumerate([*aids(recommender, 0, 5, 0, 9), 3])]
    steps = unfold(recommender, events)
    assert unfold(recommender, events, last=1) == steps[-1:]
    assert unfold(recommender, events, last=2) == steps[-2:]
    assert unfold(recommender, events, last=99) == steps


def test_events_out_of_order_are_put_in_order(recommender):
    events = [Event(aid, 10 - i, "clicks") for i, aid in enumerate(aids(recommender, 0, 5, 9))]
    assert unfold(recommender, events) == unfold(recommender, events[::-1])


def test_an_unknown_history_says_so(recommender):
    (step,) = unfold(recommender, [Event("none", 0, "clicks"), Event(aids(recommender, 0)[0], 1, "clicks")])
    assert step.fallback == "unknown_items"
    assert step.rank is not None


@pytest.mark.parametrize(("events", "says"), [([], "no events"), ([Event(1, 0, "clicks")], "1 event")])
def test_a_session_that_nothing_follows_is_refused(recommender, events, says):
    with pytest.raises(InputError, match=f"the session has {says}, so nothing comes next; pick a longer one"):
        unfold(recommender, events)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store of integer and one of text ids."""
    folder = tmp_path_factory.mktemp("stores")
    for name, session in (("int64", 12), ("string", "12")):
        raw = write(folder / f"{name}.jsonl", [line(session, event(7, START + 5, "carts"), event(8))])
        ingest([raw], folder / name)
    return {name: Store.open(folder / name) for name in ("int64", "string")}


@pytest.mark.parametrize(("kind", "aids"), [("int64", [8, 7]), ("string", [8, 7])])
def test_a_session_of_the_store_by_its_id_as_text(stores, kind, aids):
    assert stored_session(stores[kind], "12") == [
        Event(aids[0], START, "clicks"),
        Event(aids[1], START + 5, "carts"),
    ]
    with pytest.raises(InputError, match=f"session '13' is not in .*{kind}; give one that was ingested there"):
        stored_session(stores[kind], "13")


@pytest.mark.parametrize("session", ["x", "1_2", "-12", "12.0", "٣", "", str(2**63), "9" * 60])
def test_what_is_no_session_id_of_a_store_of_integers_is_refused(stores, session):
    with pytest.raises(InputError, match="this shop's session ids are integers of 64 bits; give one"):
        stored_session(stores["int64"], session)


def test_whether_a_version_has_learned_from_a_session(tmp_path):
    # Sessions 0 to 9 end one after the other; the last two are held out, 20 is of another split alone.
    raw = write(
        tmp_path / "a.jsonl", [line(n, event(1, START + 10 * n), event(2, START + 10 * n + 1)) for n in range(10)]
    )
    ingest([raw], tmp_path / "store")
    ingest([write(tmp_path / "b.jsonl", [line(20, event(1), event(2))])], tmp_path / "store", split="test")
    split(tmp_path / "store", SplitConfig(quantile=0.8))
    store = Store.open(tmp_path / "store")
    on_split, on_all = (trained_on(store, name) for name in ("train_split", "train"))
    held_out = typical_session(store, "val_split")
    assert held_out in {"8", "9"}
    assert [learned_from(store, on_split, session) for session in ("0", held_out, "20")] == [True, False, False]
    assert [learned_from(store, on_all, session) for session in ("0", held_out, "20")] == [True, True, False]
    split(tmp_path / "store", SplitConfig(quantile=0.5))
    store = Store.open(tmp_path / "store")
    assert [learned_from(store, on_split, session) for session in ("0", "9", "20")] == [None, False, False]


def trained_on(store, split):
    facts = store.manifest.splits[split]
    data = DataFacts.model_construct(
        split=split, sessions=facts.sessions, events=facts.events, first_ts=facts.first_ts, last_ts=facts.last_ts
    )
    return Manifest.model_construct(data=data)
