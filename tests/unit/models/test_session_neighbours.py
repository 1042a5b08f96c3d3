"""Session neighbours from end to end: fitted on a shop, asked, saved and asked again."""

import mmap

import numpy as np
import pytest
from pydantic import ValidationError

from nextcart.config import NeighboursQueryConfig, SessionNeighboursConfig
from nextcart.errors import ArtifactCorrupt
from nextcart.models.model import FitOptions, Query, TrainingArrays
from nextcart.models.session_neighbours import SessionNeighbours
from nextcart.models.shared import Shared
from nextcart.types import Source
from tests import naive
from tests.naive import check_ranking, sessions_of
from tests.shop import Shop, lists_of


@pytest.fixture(scope="module")
def model(shop: Shop) -> SessionNeighbours:
    return SessionNeighbours.fit(shop.arrays, SessionNeighboursConfig(), FitOptions())


def same(a, b) -> bool:
    return all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in ("items", "scores", "sources"))


def test_a_shop_is_answered_as_in_python(shop, model):
    learned = sessions_of(shop.arrays.sessions)
    bans = lists_of(*([i] for i in range(len(shop.asking))))
    ranked = model.recommend(Query(shop.asking, 12, bans))
    for i, session in enumerate(sessions_of(shop.asking)):
        wanted = naive.session_neighbours(learned, session, SessionNeighboursConfig())
        check_ranking(ranked.items[i], ranked.scores[i], naive.permitted(wanted, {i}), 12)
    assert ((ranked.sources == Source.SESSION_NEIGHBOURS) == (ranked.items >= 0)).all()


def test_the_session_s_own_items_may_come_back(shop, model):
    session = sessions_of(shop.asking)[-1]
    first = model.recommend(Query(shop.asking, 5)).items[-1].tolist()
    assert {event.item for event in session} & set(first)


def test_a_saved_model_answers_as_before_from_mapped_arrays(shop, model, tmp_path):
    model.save(tmp_path)
    loaded = SessionNeighbours.load(tmp_path)
    assert loaded.config == model.config
    assert same(loaded.recommend(Query(shop.asking, 20)), model.recommend(Query(shop.asking, 20)))
    for name, array in loaded.arrays().items():
        assert not array.flags.writeable
        base = array
        while isinstance(base, np.ndarray) and base.base is not None:
            base = base.base
        assert isinstance(base, mmap.mmap), name


def test_a_model_without_one_of_its_arrays_is_no_model(model, tmp_path):
    model.save(tmp_path)
    (tmp_path / "ends.npy").unlink()
    with pytest.raises(ArtifactCorrupt, match="cannot be read"):
        SessionNeighbours.load(tmp_path)


def test_no_session_is_newer_than_what_was_learned_from(shop):
    """Fitted on the sessions before a time, it holds none that ended later, and answers as if there were none."""
    sessions = sessions_of(shop.arrays.sessions)
    cut = float(np.median([session[-1].ts for session in sessions]))
    early = [session for session in sessions if session[-1].ts < cut]
    arrays = TrainingArrays(naive.batch_of(early), shop.arrays.counts)
    before = SessionNeighbours.fit(arrays, SessionNeighboursConfig(), FitOptions())
    assert 0 < before.index.ends.max() < cut
    ranked = before.recommend(Query(shop.asking, 12))
    for i, session in enumerate(sessions_of(shop.asking)):
        wanted = naive.session_neighbours(early, session, SessionNeighboursConfig())
        check_ranking(ranked.items[i], ranked.scores[i], wanted, 12)


def test_it_is_asked_with_other_settings_than_its_own(shop, model):
    settings = NeighboursQueryConfig(position_decay=4.0, recency_days=5.0, neighbours=20, before_weight=0.0)
    other = SessionNeighboursConfig(**settings.model_dump())
    ranked = model.ask(Query(shop.asking, 12), settings)
    assert same(ranked, SessionNeighbours(other, model.index).recommend(Query(shop.asking, 12)))
    own = model.recommend(Query(shop.asking, 12))
    assert not same(ranked, own)
    assert same(own, SessionNeighbours(model.config, model.index).recommend(Query(shop.asking, 12)))


def test_what_is_shared_is_kept_apart_by_settings(shop, model):
    settings = NeighboursQueryConfig(neighbours=3)
    shared = Shared(12)
    own, other = (model.ask(Query(shop.asking, 12, shared=shared), each) for each in (None, settings))
    assert same(own, model.ask(Query(shop.asking, 12)))
    assert same(other, model.ask(Query(shop.asking, 12), settings))


@pytest.mark.parametrize(
    "wrong", [{"neighbours": 0}, {"item_decay": 0.0}, {"max_session_events": 257}, {"before_weight": 1.5}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        SessionNeighboursConfig(**wrong)
