import json

import numpy as np
import pytest

from nextcart.config import TopSellersConfig
from nextcart.errors import ArtifactCorrupt
from nextcart.models.fitting import MODEL_NAMES
from nextcart.models.model import frozen, load_model, save_model
from nextcart.models.recommender import Recommender

ARRAYS = {
    "main.items": np.arange(100, dtype=np.int32),
    "main.weights": np.linspace(0, 1, 100, dtype=np.float32).reshape(10, 10),
    "empty": np.empty((0, 8), np.float32),
}


@pytest.fixture
def folder(tmp_path):
    save_model(tmp_path, "kind", TopSellersConfig(), ARRAYS, {"fact": 3})
    return tmp_path


def test_what_is_saved_is_loaded(folder):
    config, facts, arrays = load_model(folder, "kind")
    assert TopSellersConfig(**config) == TopSellersConfig()
    assert facts == {"fact": 3}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert arrays[name].shape == array.shape
        assert arrays[name].tolist() == array.tolist()
        assert not arrays[name].flags.writeable
    assert sorted(file.name for file in folder.iterdir()) == [
        "empty.npy",
        "main-items.npy",
        "main-weights.npy",
        "model.json",
    ]


def test_the_same_is_saved_as_the_same_bytes(folder, tmp_path_factory):
    again = tmp_path_factory.mktemp("again")
    save_model(again, "kind", TopSellersConfig(), dict(reversed(ARRAYS.items())), {"fact": 3})
    for file in folder.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes()


def _pickle(path):
    np.save(path, np.array([{"a": 1}, None], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("model.json", lambda path: path.unlink()),
        ("model.json", lambda path: path.write_text("{")),
        ("model.json", lambda path: path.write_text("[]")),
        ("model.json", lambda path: path.write_text("{}")),
        ("model.json", lambda path: path.write_bytes(b"\xff\xfe")),
        ("main-items.npy", lambda path: path.unlink()),
        ("main-items.npy", lambda path: path.write_bytes(b"")),
        ("main-items.npy", lambda path: path.write_bytes(path.read_bytes()[:60])),
        ("main-items.npy", lambda path: path.write_bytes(path.read_bytes()[:-1])),
        ("main-items.npy", lambda path: path.write_bytes(b"no array" * 100)),
        ("main-items.npy", _pickle),
        ("empty.npy", lambda path: path.write_bytes(path.read_bytes()[:20])),
    ],
)
def test_a_damaged_file_is_an_artifact_corrupt_that_names_the_folder(folder, name, spoil):
    spoil(folder / name)
    with pytest.raises(ArtifactCorrupt, match=str(folder)) as caught:
        load_model(folder, "kind")
    assert "rollback" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_kind_and_a_newer_schema_are_refused(folder):
    with pytest.raises(ArtifactCorrupt, match=r"'kind'.*not a 'other'"):
        load_model(folder, "other")
    document = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(document | {"schema_version": 2}))
    with pytest.raises(ArtifactCorrupt, match="schema 2"):
        load_model(folder, "kind")


def test_frozen_arrays_are_contiguous_and_read_only():
    array = frozen(np.arange(20).reshape(4, 5)[:, ::2])
    assert array.flags.c_contiguous
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


@pytest.mark.parametrize("missing", ["vocabulary", "top_sellers", "item2vec", "covisitation"])
def test_a_version_that_lacks_what_others_need_is_corrupt(recommender, tmp_path, missing):
    recommender.save(tmp_path)
    for file in (tmp_path / missing).iterdir():
        file.unlink()
    (tmp_path / missing).rmdir()
    with pytest.raises(ArtifactCorrupt, match=missing):
        Recommender.load(tmp_path)


def test_a_version_without_a_model_that_nothing_needs_loads(recommender, tmp_path):
    recommender.save(tmp_path)
    for name in ("hybrid", "bought_together"):
        for file in (tmp_path / name).iterdir():
            file.unlink()
        (tmp_path / name).rmdir()
    assert set(Recommender.load(tmp_path).models) == set(MODEL_NAMES) - {"hybrid", "bought_together"}
