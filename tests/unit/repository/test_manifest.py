import json
import math
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nextcart.errors import ArtifactCorrupt, NextcartError, RepositoryError
from nextcart.evaluation.report import Evaluation
from nextcart.repository import Artifact, Environment, Manifest, Repository, VersionDraft
from nextcart.repository.manifest import Aliases, read_manifest, read_record, record_text

HOSTILE_PATHS = [
    "/etc/passwd",
    "../other/weights.npy",
    "covisitation/../../x.npy",
    "covisitation/..",
    "./weights.npy",
    "covisitation//weights.npy",
    "covisitation/",
    "",
    "..\\x.npy",
    "covisitation/we\0ights.npy",
    "covisitation/we\nights.npy",
    "manifest.json",
    "evaluations/next_event-test.json",
]


def artifact(path: str) -> Artifact:
    return Artifact(name="x", path=path, kind="array", bytes=1, sha256="0" * 64, description="")


@pytest.fixture
def edited(repository: Repository, publish: Callable[[int], Manifest]) -> Callable[[dict[str, Any]], Path]:
    """edited(changes): the folder of a version whose manifest has these values instead."""

    def edit(changes: dict[str, Any]) -> Path:
        folder = repository.folder(publish(1).version)
        file = folder / "manifest.json"
        file.chmod(0o644)
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
        return folder

    return edit


def test_what_is_written_is_read_back_equal(repository: Repository, publish: Callable[[int], Manifest]) -> None:
    manifest = publish(1)
    assert read_manifest(repository.folder(manifest.version)) == manifest
    assert manifest.schema_version == 1
    assert manifest.created_at.utcoffset().total_seconds() == 0


def test_the_draft_is_in_the_manifest(publish: Callable[[int], Manifest], draft: VersionDraft) -> None:
    manifest = publish(1)
    assert {name: getattr(manifest, name) for name in VersionDraft.model_fields} == dict(draft)


def test_the_environment_names_installed_versions() -> None:
    here = Environment.here()
    assert here.python.startswith("3.")
    assert "unknown" not in (here.numpy, here.numba, here.duckdb, here.faiss)


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match=r"inside the version's folder|no artifact's name"):
        artifact(path)


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b.npy", "~", "\\", "evaluations", "/"]), max_size=5))
def test_a_path_that_is_accepted_stays_inside(parts: list[str]) -> None:
    try:
        path = artifact("/".join(parts)).path
    except ValidationError:
        return
    root = "/models/versions/x"
    assert os.path.normpath(f"{root}/{path}") == f"{root}/{path}"
    assert not PurePosixPath(path).is_absolute()


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_manifest_with_a_hostile_path_does_not_load(edited: Callable[..., Path], path: str) -> None:
    entry = {**artifact("a/b.npy").model_dump(), "path": path}
    with pytest.raises(ArtifactCorrupt, match=r"manifest\.json: artifacts\.0\.path: .*; run 'nextcart rollback'"):
        read_manifest(edited({"artifacts": [entry]}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra": 1}, "extra: Extra inputs are not permitted"),
        ({"artifacts": [artifact("a/b.npy").model_dump()] * 2}, "lists an artifact twice"),
        ({"version": "20260101T000000Z-00000000"}, "is the manifest of version 20260101T000000Z-00000000"),
        ({"version": "../../x"}, "version: String should match pattern"),
        ({"created_at": "2026-01-01T00:00:00"}, "created_at: Input should have timezone info"),
        ({"schema_version": 0}, "schema_version: Input should be greater than or equal to 1"),
        ({"schema_version": "x"}, "schema_version: "),
    ],
)
def test_a_manifest_that_is_not_as_it_should_be_names_the_field(
    edited: Callable[..., Path], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArtifactCorrupt, match=message):
        read_manifest(edited(changes))


def test_a_newer_manifest_says_to_upgrade(edited: Callable[..., Path]) -> None:
    folder = edited({"schema_version": 2, "of_the_future": True})
    with pytest.raises(RepositoryError, match="schema 2, but this nextcart reads up to 1; upgrade nextcart"):
        read_manifest(folder)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_manifest_is_one_line_with_a_remedy(edited: Callable[..., Path], text: bytes) -> None:
    folder = edited({})
    (folder / "manifest.json").write_bytes(text)
    with pytest.raises(ArtifactCorrupt, match=r"manifest\.json: .*; run 'nextcart rollback'") as caught:
        read_manifest(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [lambda file: file.symlink_to("/etc/hostname"), os.mkfifo, os.mkdir])
def test_a_manifest_that_is_no_regular_file_is_not_opened(
    edited: Callable[..., Path], make: Callable[[Path], None]
) -> None:
    folder = edited({})
    folder.chmod(0o755)
    (folder / "manifest.json").unlink()
    make(folder / "manifest.json")
    with pytest.raises(ArtifactCorrupt, match="is no regular file"):
        read_manifest(folder)


def test_a_metric_that_is_nan_survives(tmp_path: Path, evaluation: Evaluation) -> None:
    file = tmp_path / "x.json"
    file.write_text(record_text(evaluation.model_copy(update={"repeat_share": math.nan})))
    assert math.isnan(read_record(file, Evaluation, "").repeat_share)


def test_records_are_frozen_and_strict() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Aliases().production = "20260101T000000Z-00000000"
    with pytest.raises(ValidationError, match="Extra inputs"):
        Aliases(staging="20260101T000000Z-00000000")
    with pytest.raises(ValidationError, match="pattern"):
        Aliases(production="20260101T000000Z-00000000\n")


def test_every_error_of_a_manifest_is_one_of_ours(edited: Callable[..., Path]) -> None:
    folder = edited({"artifacts": 3})
    with pytest.raises(NextcartError):
        read_manifest(folder)
