import errno
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from nextcart.config import CovisitationConfig, HybridConfig, ModelsConfig, Settings, TrainingConfig
from nextcart.errors import RepositoryError, RunFailed
from nextcart.events.schema import SplitFacts, StoreManifest
from nextcart.events.store import Store
from nextcart.models.covisitation import Covisitation
from nextcart.models.model import FitOptions
from nextcart.models.recommender import Recommender
from nextcart.models.top_sellers import TopSellers
from nextcart.pipeline import unfinished as module
from nextcart.pipeline.unfinished import UNFINISHED, training_key, unfinished
from nextcart.types import no_progress
from tests.shop import make_shop

OPTIONS = FitOptions(deterministic=True)


@pytest.fixture(scope="module")
def shop():
    return make_shop()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def hold(tmp_path, said):
    """Hold the folder of a training, progress gathered in `said`."""

    def start(key="a", **options):
        return unfinished(tmp_path, key, lambda stage, _done, _total: said.append(stage), **options)

    return start


def fit(shop, keep):
    return Recommender.fit(shop.vocabulary, shop.arrays, ModelsConfig(), OPTIONS, ["covisitation"], keep=keep)


def never() -> Covisitation:
    raise AssertionError("fitted again")


def die(shop, hold, key="a"):
    """A training that fitted its models and died before they were published."""
    with suppress(RunFailed), hold(key) as kept:
        fit(shop, kept.keep)
        raise RunFailed("the disk is full")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_what_a_run_that_died_had_fitted_is_taken_and_said(tmp_path, shop, hold, said):
    die(shop, hold)
    assert sorted(path.name for path in (tmp_path / UNFINISHED / "a").iterdir()) == [
        ".lock",
        "covisitation",
        "top_sellers",
    ]
    with hold() as kept:
        model = kept.keep(Covisitation, never)
        assert said == [
            f"covisitation, taken from the run that stopped after {kept.taken['covisitation'][:10]} "
            f"{kept.taken['covisitation'][11:19]} UTC"
        ]
    plain = Covisitation.fit(shop.arrays, CovisitationConfig(), OPTIONS)
    assert all((model.arrays()[name] == array).all() for name, array in plain.arrays().items())
    assert list((tmp_path / UNFINISHED).iterdir()) == []


def test_what_is_published_of_kept_models_is_what_a_recommender_saves(tmp_path, shop, hold):
    die(shop, hold)
    for name in ("plain", "kept"):
        (tmp_path / name).mkdir()
    with hold() as kept:
        taken = fit(shop, kept.keep)
        assert set(kept.taken) == {"top_sellers", "covisitation"}
        kept.save(taken, tmp_path / "kept")
        inode = (kept.folder / "covisitation" / "main-items.npy").stat().st_ino
    Recommender.fit(shop.vocabulary, shop.arrays, ModelsConfig(), OPTIONS, ["covisitation"]).save(tmp_path / "plain")
    assert contents(tmp_path / "kept") == contents(tmp_path / "plain")
    assert (tmp_path / "kept" / "covisitation" / "main-items.npy").stat().st_ino == inode


def test_a_file_system_without_links_takes_a_copy(tmp_path, shop, hold, monkeypatch):
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    (tmp_path / "version").mkdir()
    with hold() as kept:
        kept.save(fit(shop, kept.keep), tmp_path / "version")
    assert set(Recommender.load(tmp_path / "version").models) == {"top_sellers", "covisitation"}


def test_fresh_forgets_what_was_kept(tmp_path, shop, hold):
    die(shop, hold)
    with hold(fresh=True) as kept:
        assert kept.models() == []
        fit(shop, kept.keep)
        assert kept.taken == {}


def test_a_broken_model_is_fitted_again(tmp_path, shop, hold):
    die(shop, hold)
    (tmp_path / UNFINISHED / "a" / "covisitation" / "model.json").write_text("{}")
    with hold() as kept:
        fit(shop, kept.keep)
        assert set(kept.taken) == {"top_sellers"}
        assert json.loads((kept.folder / "covisitation" / "model.json").read_text())["kind"] == "covisitation"


def test_what_was_half_written_is_not_taken(tmp_path, shop, hold):
    half = tmp_path / UNFINISHED / "a" / ".covisitation"
    half.mkdir(parents=True)
    (half / "model.json").write_text("{")
    with hold() as kept:
        assert not half.exists()
        fit(shop, kept.keep)
        assert kept.taken == {}


def test_a_run_that_fitted_nothing_leaves_nothing(tmp_path, hold):
    with pytest.raises(KeyboardInterrupt), hold():
        raise KeyboardInterrupt
    assert list((tmp_path / UNFINISHED).iterdir()) == []


def test_a_success_removes_what_other_trainings_left_but_not_those_on_their_way(tmp_path, shop, hold):
    die(shop, hold, "dead")
    with hold("running"), hold("a"):
        pass
    assert not (tmp_path / UNFINISHED / "dead").exists()
    with hold("b") as running:
        fit(shop, running.keep)
        with hold("a"):
            pass
        assert running.models() != []


def test_a_failure_leaves_what_other_trainings_left(tmp_path, shop, hold):
    die(shop, hold, "dead")
    die(shop, hold, "a")
    assert {path.name for path in (tmp_path / UNFINISHED).iterdir()} == {"dead", "a"}


def test_the_same_training_twice_at_once_is_refused_and_another_is_not(hold):
    with (
        hold("a"),
        hold("b"),
        pytest.raises(
            RepositoryError, match=rf"is training the same models on the same events: '.*' \(process {os.getpid()} "
        ),
        hold("a"),
    ):
        pass


@pytest.mark.parametrize("where", ["sync", "save"])
def test_a_full_disk_stops_the_keeping_and_not_the_training(tmp_path, shop, hold, said, monkeypatch, where):
    def full(*_: object) -> None:
        raise (
            OSError(errno.ENOSPC, "No space left on device")
            if where == "sync"
            else OSError("9 requested and 1 written")
        )

    with hold() as kept:
        kept.keep(TopSellers, lambda: TopSellers.fit(shop.arrays, ModelsConfig().top_sellers, OPTIONS))
        monkeypatch.setattr(*((module, "sync", full) if where == "sync" else (Covisitation, "save", full)))
        kept.keep(Covisitation, lambda: Covisitation.fit(shop.arrays, CovisitationConfig(), OPTIONS))
        assert kept.models() == ["top_sellers"]
        assert not (kept.folder / ".covisitation").exists()
    assert said == ["covisitation, not kept for a later run (No space left on device)"]


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_fitted(tmp_path):
    (tmp_path / "models").write_text("")
    said = r"models: cannot be written \(Not a directory\); free space"
    with pytest.raises(RunFailed, match=said), unfinished(tmp_path / "models", "a", no_progress):
        pass


def store(fingerprint="f", events=10) -> Store:
    facts = SplitFacts(files=(), events=events, sessions=2, short_sessions=0, items=3, first_ts=0, last_ts=1)
    manifest = StoreManifest(
        session_type="int64",
        aid_type="int64",
        fingerprint=fingerprint,
        next_position=0,
        sources=(),
        splits={"train": facts, "train_split": facts},
    )
    return Store(Path("store"), manifest)


def settings(**sections) -> Settings:
    return Settings(**sections)


def test_the_key_is_of_all_that_decides_a_fit_and_of_nothing_else(monkeypatch):
    key = training_key(store(), "train", settings(), None)
    assert training_key(store(), "train", settings(), None) == key
    hybrid = ModelsConfig(hybrid=HybridConfig(covisitation=0.1))
    assert training_key(store(), "train", settings(models=hybrid), None) == key
    others = {
        training_key(store("g"), "train", settings(), None),
        training_key(store(events=11), "train", settings(), None),
        training_key(store(), "train_split", settings(), None),
        training_key(store(), "train", settings(), None, counted_elsewhere=True),
        training_key(store(), "train", settings(), ["covisitation"]),
        training_key(store(), "train", settings(models=ModelsConfig(covisitation=CovisitationConfig(top_n=9))), None),
        training_key(store(), "train", settings(training=TrainingConfig(seed=1)), None),
        training_key(store(), "train", settings(training=TrainingConfig(threads=1)), None),
        training_key(store(), "train", settings(training=TrainingConfig(deterministic=True)), None),
    }
    monkeypatch.setattr(module, "_CODE_OF_A_FIT", ("kernels",))
    others.add(training_key(store(), "train", settings(), None))
    assert len(others) == 10
    assert key not in others
