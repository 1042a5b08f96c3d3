import os

import pytest
from pydantic import ValidationError

from nextcart import config
from nextcart.config import (
    DEFAULT_MATRICES,
    CovisitationConfig,
    MatrixConfig,
    Settings,
    TrainingConfig,
    TypeWeights,
    load_settings,
)
from nextcart.errors import ConfigError

WEIGHTS = {"clicks": 1.0, "carts": 3.0, "orders": 5.0}

BY_POSITION = {
    "direction": "after",
    "last_events": 50,
    "window_hours": 336.0,
    "decay_per_hour": 0.0,
    "position_decay": 0.8,
    "type_weights": {"clicks": 1.0, "carts": 1.0, "orders": 1.0},
    "look_back_events": 10,
    "keep_diagonal": True,
    "normalised": True,
    "top_n": 60,
    "two_hop": "",
}

DESIGNED = {
    "top_sellers": {"decay_per_day": 0.1, "type_weights": WEIGHTS, "max_items": 10_000},
    "covisitation": {
        "direction": "later",
        "last_events": 20,
        "window_hours": 12.0,
        "decay_per_hour": 0.05,
        "position_decay": 1.0,
        "type_weights": WEIGHTS,
        "look_back_events": 0,
        "keep_diagonal": False,
        "normalised": False,
        "top_n": 40,
        "two_hop": "",
        "query_events": 10,
        "query_decay": 0.9,
        "query_type_weights": WEIGHTS,
        "matrices": {
            "next": BY_POSITION | {"position_decay": 0.6},
            "around": BY_POSITION | {"direction": "around", "two_hop": "two_hop"},
            "buys": BY_POSITION | {"type_weights": {"clicks": 0.0, "carts": 1.0, "orders": 1.0}},
        },
    },
    "bought_together": {
        "window_hours": 0.0,
        "min_support": 1,
        "shrinkage": 15.0,
        "size_power": 0.35,
        "popularity_power": 0.0,
        "max_basket_events": 200,
        "query_events": 10,
        "top_n": 40,
    },
    "item2vec": {
        "dim": 32,
        "window": 3,
        "negative": 3,
        "min_count": 5,
        "epochs": 3,
        "learning_rate": 0.125,
        "negative_power": 0.75,
        "top_n": 40,
        "cosine_power": 16.0,
        "query_events": 5,
        "query_decay": 0.6,
        "exact_below": 4096,
        "nprobe": 32,
    },
    "log_bilinear": {
        "dim": 64,
        "context_events": 10,
        "epochs": 10,
        "max_steps": 15_000_000,
        "half_weight_share": 0.15,
        "purchase_weight": 0.3,
        "learning_rate": 0.05,
        "negatives": 256,
        "negative_power": 0.75,
        "dropout": 0.3,
        "top_n": 60,
        "query_events": 5,
        "exact_below": 32_768,
        "nprobe": 16,
    },
    "hybrid": {
        "covisitation": 0.6,
        "item2vec": 0.25,
        "top_sellers": 0.15,
        "candidates_per_limit": 2,
        "short_session_events": 2,
        "short_item2vec": 1.3,
        "short_covisitation": 0.8,
        "intent_covisitation": 1.2,
        "intent_item2vec": 0.9,
    },
    "session_neighbours": {
        "query_events": 10,
        "position_decay": 1.5,
        "recency_days": 30.0,
        "neighbours": 300,
        "item_decay": 2.0,
        "before_weight": 0.8,
        "reach_events": 10,
        "sessions_per_item": 500,
        "max_session_events": 50,
    },
    "ranker": {
        "lists": {
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
        },
        "list_length": 100,
        "history_events": 60,
        "max_candidates": 150,
        "folds": 5,
        "fold_share": 0.15,
        "max_questions": 40000,
        "min_questions": 200,
        "last_positions": 20,
        "negatives": 40,
        "loss": "lambdarank",
        "learning_rate": 0.1,
        "depth": 4,
        "leaves": 16,
        "max_trees": 300,
        "patience": 100,
        "stopping_share": 0.2,
        "min_leaf_rows": 200,
        "l2": 20.0,
        "feature_share": 0.4,
        "row_share": 0.8,
        "truncation": 20,
    },
}
"""The table of models, literally; what it leaves open is fixed here, so that no default moves unseen."""


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    """No variable and no file of the machine that the tests run on."""
    for key in [key for key in os.environ if key.upper().startswith(config.ENV_PREFIX)]:
        monkeypatch.delenv(key)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def toml(tmp_path):
    def write(text: str):
        (tmp_path / "shop.toml").write_text(text)
        return tmp_path / "shop.toml"

    return write


def refusal(path=None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("model", DESIGNED)
def test_defaults_are_exactly_those_designed(model):
    assert getattr(load_settings().models, model).model_dump() == DESIGNED[model]


def test_no_model_has_a_default_that_is_not_fixed_here():
    assert load_settings().models.model_dump().keys() == DESIGNED.keys()


def test_the_other_defaults_that_others_rely_on():
    settings = load_settings()
    assert (settings.ingest.max_reject_share, settings.ingest.min_events) == (0.01, 2)
    assert (settings.split.method, settings.split.quantile) == ("percentile", 0.9)
    assert (settings.evaluation.k, settings.evaluation.history_events) == (20, 5)
    assert settings.serving.max_batch == 256
    assert settings.training.deterministic is False


def test_without_file_and_environment_all_is_default():
    assert load_settings() == Settings()


def test_the_file_in_the_working_folder_is_read(tmp_path):
    (tmp_path / "nextcart.toml").write_text("[training]\nseed = 7\n")
    assert load_settings().training.seed == 7


def test_a_named_file_is_read_in_its_place(tmp_path, toml):
    (tmp_path / "nextcart.toml").write_text("[training]\nseed = 7\n")
    assert load_settings(toml("[training]\nthreads = 3\n")).training.model_dump() == {
        "seed": 42,
        "threads": 3,
        "deterministic": False,
        "evaluated_sessions": 100_000,
    }


def test_the_environment_goes_over_the_file_key_by_key(monkeypatch, toml):
    monkeypatch.setenv("NEXTCART__TRAINING__SEED", "9")
    monkeypatch.setenv("NEXTCART__MODELS__COVISITATION__TYPE_WEIGHTS__CARTS", "6")
    monkeypatch.setenv("nextcart__training__deterministic", "true")
    settings = load_settings(
        toml("[training]\nseed = 1\nthreads = 3\n[models.covisitation.type_weights]\norders = 8\n")
    )
    assert settings.training == TrainingConfig(seed=9, threads=3, deterministic=True)
    assert settings.models.covisitation.type_weights == TypeWeights(clicks=1, carts=6, orders=8)


def test_one_run_leaves_nothing_for_the_next(toml):
    load_settings(toml("[training]\nseed = 1\n"))
    assert load_settings().training.seed == 42
    assert Settings().training.seed == 42


def test_named_matrices_come_from_the_file_and_the_environment(monkeypatch, toml):
    monkeypatch.setenv("NEXTCART__MODELS__COVISITATION__MATRICES__RECENT__TOP_N", "5")
    path = toml("[models.covisitation.matrices.recent]\nlook_back_events = 1\n[models.covisitation.matrices.wide]\n")
    assert load_settings(path).models.covisitation.matrices == DEFAULT_MATRICES | {
        "recent": MatrixConfig(look_back_events=1, top_n=5),
        "wide": MatrixConfig(),
    }


def test_a_key_of_a_default_matrix_leaves_its_others(monkeypatch, toml):
    monkeypatch.setenv("NEXTCART__MODELS__COVISITATION__MATRICES__NEXT__POSITION_DECAY", "0.7")
    path = toml("[models.covisitation.matrices.buys.type_weights]\norders = 3\n")
    buys = TypeWeights(clicks=0.0, carts=1.0, orders=3.0)
    assert load_settings(path).models.covisitation.matrices == {
        "next": DEFAULT_MATRICES["next"].model_copy(update={"position_decay": 0.7}),
        "around": DEFAULT_MATRICES["around"],
        "buys": DEFAULT_MATRICES["buys"].model_copy(update={"type_weights": buys}),
    }


@pytest.mark.parametrize(
    ("text", "left", "two_hops"),
    [
        ("buys = false", ["next", "around"], {"two_hop": "around"}),
        ("around = false", ["next", "buys"], {}),
        ("[models.covisitation.matrices.around]\ntwo_hop = ''", ["next", "around", "buys"], {}),
        (
            "[models.covisitation.matrices.next]\ntwo_hop = 'far'",
            list(DEFAULT_MATRICES),
            {"two_hop": "around", "far": "next"},
        ),
    ],
)
def test_a_default_matrix_can_be_left_out(toml, text, left, two_hops):
    config = load_settings(toml(f"[models.covisitation.matrices]\n{text}\n")).models.covisitation
    assert list(config.matrices) == left
    assert config.two_hops() == two_hops


def test_a_default_matrix_can_be_left_out_by_the_environment(monkeypatch):
    monkeypatch.setenv("NEXTCART__MODELS__COVISITATION__MATRICES__BUYS", "false")
    assert list(load_settings().models.covisitation.matrices) == ["next", "around"]


def test_no_matrix_at_all_and_those_of_a_program(toml):
    assert load_settings(toml("[models.covisitation]\nmatrices = {}\n")).models.covisitation.matrices == {}
    own = {"own": MatrixConfig(top_n=3)}
    assert CovisitationConfig(matrices=own).matrices == own


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[trainig]\nseed = 1\n", "trainig"),
        ("seed = 1\n", "seed"),
        ("[training]\nsede = 1\n", "training.sede"),
        ("[models.hybrid]\nranker = 0.5\n", "models.hybrid.ranker"),
        ("[models.covisitation.matrices.recent]\ntopn = 5\n", "models.covisitation.matrices.recent.topn"),
    ],
)
def test_an_unknown_key_of_the_file_is_named(toml, text, key):
    message = refusal(toml(text))
    assert f"unknown key '{key}'" in message
    assert "shop.toml" in message
    assert "docs/reference/configuration.md" in message


@pytest.mark.parametrize(
    ("variable", "named"),
    [
        ("NEXTCART__TRAINIG__SEED", "NEXTCART__TRAINIG__SEED: no section 'trainig'"),
        ("NEXTCART__SEED", "NEXTCART__SEED: no section 'seed'"),
        ("NEXTCART__TRAINING__SEDE", "unknown key 'training.sede'"),
        ("NEXTCART__MODELS__RANKED__LEAVES", "unknown key 'models.ranked'"),
    ],
)
def test_an_unknown_variable_is_named(monkeypatch, variable, named):
    monkeypatch.setenv(variable, "1")
    message = refusal()
    assert named in message
    assert "training" in message
    assert "None" not in message


def test_other_variables_are_none_of_ours(monkeypatch):
    monkeypatch.setenv("NEXTCART_HOME", "/nowhere")
    monkeypatch.setenv("TRAINING__SEED", "5")
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[training]\nseed = -1\n", "training.seed"),
        ("[training]\nseed = 9223372036854775808\n", "training.seed"),
        ("[training]\nthreads = 0\n", "training.threads"),
        ("[training]\nthreads = 'two'\n", "training.threads"),
        ("training = 3\n", "training"),
        ("[ingest]\nmax_reject_share = 1.5\n", "ingest.max_reject_share"),
        ("[split]\nquantile = 1.0\n", "split.quantile"),
        ("[split]\nmethod = 'random'\n", "split.method"),
        ("[models.top_sellers]\ndecay_per_day = -0.1\n", "models.top_sellers.decay_per_day"),
        ("[models.top_sellers]\ndecay_per_day = nan\n", "models.top_sellers.decay_per_day"),
        ("[models.covisitation]\nwindow_hours = inf\n", "models.covisitation.window_hours"),
        ("[models.covisitation]\nquery_decay = 0.0\n", "models.covisitation.query_decay"),
        ("[models.covisitation]\ntop_n = 1025\n", "models.covisitation.top_n"),
        ("[models.covisitation.matrices.Recent]\n", "models.covisitation.matrices.Recent"),
        ("[models.covisitation.matrices.main]\n", "models.covisitation.matrices"),
        ("[models.covisitation.matrices.next]\ntwo_hop = 'buys'\n", "models.covisitation.matrices"),
        ("[models.covisitation]\ntwo_hop = 'next'\n", "models.covisitation.matrices"),
        ("[models.covisitation.matrices]\nbuy = false\n", "models.covisitation.matrices.buy"),
        ("[models.covisitation.matrices]\nbuys = true\n", "models.covisitation.matrices.buys"),
        ("[models.covisitation.matrices.next]\ndirection = 'before'\n", "models.covisitation.matrices.next.direction"),
        ("[models.covisitation.matrices.next]\nposition_decay = 0.0\n", "matrices.next.position_decay"),
        ("[models.item2vec]\nlearning_rate = 0\n", "models.item2vec.learning_rate"),
        ("[evaluation]\nk = 0\n", "evaluation.k"),
        ("[serving]\nport = 65536\n", "serving.port"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_was_given(toml, text, key):
    message = refusal(toml(text))
    assert f"{key}" in message
    assert "got" in message
    assert "shop.toml" in message


def test_the_same_holds_for_the_environment(monkeypatch):
    monkeypatch.setenv("NEXTCART__TRAINING__SEED", "many")
    assert "training.seed" in refusal()
    monkeypatch.setenv("NEXTCART__TRAINING__SEED", "1")
    monkeypatch.setenv("NEXTCART__TRAINING", "{")
    assert "NEXTCART__" in refusal()


@pytest.mark.parametrize("variable", ["NEXTCART__ACCESS__CORS_ORIGINS", "nextcart__spark__conf", "NEXTCART__TRAINING"])
def test_a_variable_that_should_be_json_is_named_with_the_remedy(monkeypatch, variable):
    monkeypatch.setenv(variable, "https://shop.example")
    message = refusal()
    assert message.startswith(f"environment variable {variable}: ")
    assert """write a list as '["a", "b"]'""" in message


def test_origins_come_from_the_environment_as_json(monkeypatch):
    monkeypatch.setenv("NEXTCART__ACCESS__CORS_ORIGINS", '["https://shop.example"]')
    assert load_settings().access.cors_origins == ("https://shop.example",)


@pytest.mark.parametrize("content", [b"[training\n", b"seed = \n", b"\xff\xfe"])
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    (tmp_path / "bad.toml").write_bytes(content)
    assert "bad.toml" in refusal(tmp_path / "bad.toml")


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert "none.toml: no such file" in refusal(tmp_path / "none.toml")
    assert "no such file" in refusal(tmp_path)


def test_settings_are_frozen():
    settings = load_settings()
    for section, key in ((settings, "training"), (settings.training, "seed"), (settings.models.hybrid, "item2vec")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, 1)


def test_a_section_refuses_what_it_does_not_know():
    with pytest.raises(ValidationError, match="topn"):
        CovisitationConfig(topn=5)


def test_weights_are_in_the_order_of_the_event_types():
    assert TypeWeights(clicks=1, carts=2, orders=3).as_tuple() == (1.0, 2.0, 3.0)


def test_a_saved_config_is_the_same_again():
    models = load_settings().models
    assert type(models).model_validate_json(models.model_dump_json()) == models
