"""What the Spark engine does before Spark starts; tests/integration/test_spark_parity.py has the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nextcart.config import SparkConfig
from nextcart.errors import ConfigError, InputError
from nextcart.events import spark_engine
from nextcart.events.engine import opener
from nextcart.events.queries import queries
from nextcart.events.schema import StoreManifest
from nextcart.events.store import Store, views_over_splits

EMPTY = Store(
    Path("store"),
    StoreManifest(session_type="int64", aid_type="int64", fingerprint="", next_position=0, sources=(), splits={}),
)


@pytest.mark.parametrize("name", queries())
def test_parameters_stay_parameters(name: str) -> None:
    found = spark_engine.transpiled(queries()[name].sql)
    assert all(f":{parameter}" in found for parameter in queries()[name].parameters)
    assert "$" not in found


def test_what_would_become_something_else() -> None:
    """Each was a trap: DuckDB's words on the left, what Spark is to get on the right."""
    for query, wanted in {
        "select a // 2": "a DIV 2",
        "select weight::real": "CAST(weight AS FLOAT)",
        "select 2::double": "CAST(2 AS DOUBLE)",
        "select array_length(list_distinct(list(a)))": "SIZE(ARRAY_DISTINCT(COLLECT_LIST(a)))",
    }.items():
        assert wanted in spark_engine.transpiled(query)
    everything = " ".join([*(query.sql for query in queries().values()), *views_over_splits().values()])
    for trap in ("quantile_disc", "percentile_disc", "abs(hash", "len(list"):
        assert trap not in everything


@pytest.mark.parametrize("missing", spark_engine.PACKAGES)
def test_a_missing_package(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_engine, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(InputError, match=r"pip install 'nextcart\[spark\]'"):
        spark_engine.require_programs()


def test_a_missing_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"needs Java 17 or newer and finds none on the path: .*default-jre-headless"):
        spark_engine.require_programs()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java"))
    with pytest.raises(InputError, match="finds none in JAVA_HOME"):
        spark_engine.require_programs()


def raised_by(call: Callable[[], object]) -> type[Exception] | None:
    try:
        call()
    except InputError as error:
        return type(error)
    return None


def test_java_home_goes_before_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.touch(mode=0o755)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    assert raised_by(spark_engine.require_programs) is InputError
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert raised_by(spark_engine.require_programs) is None
    monkeypatch.setenv("PATH", str(java.parent))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "gone"))
    assert raised_by(spark_engine.require_programs) is InputError


def test_a_cluster_needs_a_scratch_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_engine, "require_programs", lambda: None)
    with (
        pytest.raises(ConfigError, match=r"spark\.scratch_uri: missing for the master spark://host:7077"),
        spark_engine.spark_engine(EMPTY, SparkConfig(master="spark://host:7077")),
    ):
        pass


def test_only_spark_has_an_opener() -> None:
    assert opener("local", SparkConfig()) is None
    assert opener("spark", SparkConfig()) is not None


@pytest.mark.parametrize(
    ("place", "by_spark", "by_arrow"),
    [
        ("/data/a b", "file:///data/a b", None),
        ("s3a://shop/store", "s3a://shop/store", "s3://shop/store"),
        ("gs://shop/store", "gs://shop/store", "gs://shop/store"),
    ],
)
def test_how_places_are_named(place: str, by_spark: str, by_arrow: str | None) -> None:
    assert spark_engine.spark_path(place) == by_spark
    if by_arrow is not None:
        assert spark_engine.arrow_uri(place) == by_arrow


def test_places_on_this_machine(tmp_path: Path) -> None:
    for place in (str(tmp_path), tmp_path.as_uri()):
        system, path = spark_engine.filesystem(place)
        assert (system.type_name, path) == ("local", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[PATH_NOT_FOUND] no such path: s3a://a", "[PATH_NOT_FOUND] no such path: s3a://a"),
        ("An error occurred while calling o28.parquet.\n: java.E: no class\n\tat a.b(C.java:1)\n", "java.E: no class"),
        (
            "Error while instantiating 'x':\n\nJVM stacktrace:\n\tat a.b\nCaused by: E: not 'many'\n\tat c.d",
            "E: not 'many'",
        ),
        ("", "no reason given"),
    ],
)
def test_what_is_said_of_a_failure(text: str, wanted: str) -> None:
    assert spark_engine.reason(text) == wanted
