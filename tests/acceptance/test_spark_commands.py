"""The command line with --engine spark: the same version as without it, and one line where it cannot work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import Workplace
from tests.running import LESS, environment, nextcart

SETTINGS = """
[training]
deterministic = true
[spark]
memory_mib = 1024
[spark.conf]
"spark.sql.shuffle.partitions" = "2"
"spark.driver.extraJavaOptions" = "-XX:TieredStopAtLevel=1"
"spark.hadoop.fs.s3a.secret.key" = "not for the manifest"
"""


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != "manifest.json")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if "evaluations" not in file.parts}


def test_a_version_by_spark_has_the_same_bytes(
    workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LESS, "NEXTCART__MODELS__RANKER__FOLDS", "2")
    shutil.copytree(workplace.folder / "var" / "store", tmp_path / "var" / "store")
    (tmp_path / "nextcart.toml").write_text(SETTINGS)
    versions = []
    for engine in ("local", "spark"):
        done = nextcart("train", "--engine", engine, "--models", engine, "--json", cwd=tmp_path)
        manifest = json.loads(done.stdout)
        assert "not for the manifest" not in json.dumps(manifest)
        # Java says on its own that it uses an incubator module; Spark's log is silent.
        assert "WARN " not in done.stderr
        versions.append((tmp_path / engine / "versions" / manifest["version"], manifest["evaluations"]))
    (local, local_evaluations), (spark, spark_evaluations) = versions
    assert contents(local)
    assert contents(spark) == contents(local)
    assert spark_evaluations[0]["metrics"] == local_evaluations[0]["metrics"]


def test_without_java(workplace: Workplace, tmp_path: Path) -> None:
    env = {key: value for key, value in environment().items() if key != "JAVA_HOME"} | {"PATH": os.fspath(tmp_path)}
    for command in (["train"], ["split"], ["profile"]):
        done = subprocess.run(
            [sys.executable, "-m", "nextcart", *command, "--engine", "spark"],
            cwd=workplace.folder,
            env=env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert done.stderr.splitlines() == [done.stderr.strip()]
        assert "apt-get install default-jre-headless" in done.stderr


def test_an_unknown_engine(workplace: Workplace) -> None:
    done = nextcart("split", "--engine", "flink", cwd=workplace.folder, code=2)
    assert done.stderr.strip().endswith("--engine: 'flink' is none of local, spark")
