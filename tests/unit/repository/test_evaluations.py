import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nextcart.errors import ArtifactCorrupt, RepositoryError, VersionMissing
from nextcart.evaluation.report import Evaluation, KeptSums
from nextcart.repository import Manifest, Repository


@pytest.fixture
def version(publish: Callable[[int], Manifest]) -> str:
    """A version with one evaluation, on val_split, in its manifest."""
    return publish(1).version


def changed(evaluation: Evaluation, **changes: object) -> Evaluation:
    return evaluation.model_copy(update=changes)


def test_those_of_training_are_there_from_the_start(
    repository: Repository, version: str, evaluation: Evaluation
) -> None:
    assert repository.evaluations(version) == [evaluation]


def test_a_later_one_on_another_split_stands_beside(
    repository: Repository, version: str, evaluation: Evaluation
) -> None:
    test = changed(evaluation, split="test")
    file = repository.add_evaluation(version, test)
    assert file == repository.folder(version) / "evaluations" / "next_event-test.json"
    assert json.loads(file.read_text())["split"] == "test"
    assert repository.evaluations(version) == [evaluation, test]
    assert repository.promote(version).production == version


def test_a_later_one_on_the_same_split_replaces_it(
    repository: Repository, version: str, evaluation: Evaluation
) -> None:
    repository.add_evaluation(version, changed(evaluation, sessions=11))
    newest = changed(evaluation, sessions=12)
    repository.add_evaluation(version, newest)
    assert repository.evaluations(version) == [newest]
    assert repository.manifest(version).evaluations == (evaluation,)


def test_a_quick_look_never_hides_a_full_evaluation(
    repository: Repository, version: str, evaluation: Evaluation
) -> None:
    quick = changed(evaluation, limited=True, sessions=3)
    assert repository.add_evaluation(version, quick).name == "next_event-val_split-limited.json"
    assert repository.evaluations(version) == [evaluation, quick]


@pytest.mark.parametrize("split", ["../test", "a/b", "", ".hidden", "test-limited", "a\n"])
def test_a_split_names_no_path(repository: Repository, version: str, evaluation: Evaluation, split: str) -> None:
    with pytest.raises(RepositoryError, match="no name of a split"):
        repository.add_evaluation(version, changed(evaluation, split=split))
    assert list((repository.folder(version) / "evaluations").iterdir()) == []


def test_a_version_that_is_not_there_takes_none(repository: Repository, evaluation: Evaluation) -> None:
    with pytest.raises(VersionMissing, match="'nextcart models' lists"):
        repository.add_evaluation("20260101T000000Z-00000000", evaluation)
    assert not repository.root.exists()


def test_half_written_leftovers_are_not_read_and_do_not_hinder(
    repository: Repository, version: str, evaluation: Evaluation
) -> None:
    folder = repository.folder(version) / "evaluations"
    (folder / ".next_event-test.json.tmp").write_text("{")
    assert repository.evaluations(version) == [evaluation]
    repository.add_evaluation(version, changed(evaluation, split="test"))
    assert [file.name for file in folder.iterdir()] == ["next_event-test.json"]


def test_one_that_cannot_be_read_is_named(repository: Repository, version: str) -> None:
    (repository.folder(version) / "evaluations" / "next_event-test.json").write_text('{"split": 3}')
    with pytest.raises(
        ArtifactCorrupt, match=r"next_event-test\.json: split: .*; remove it and run 'nextcart evaluate"
    ):
        repository.evaluations(version)


def test_a_linked_folder_is_refused(
    repository: Repository, version: str, evaluation: Evaluation, tmp_path: Path
) -> None:
    folder = repository.folder(version)
    folder.chmod(0o755)
    (folder / "evaluations").rmdir()
    (folder / "evaluations").symlink_to(tmp_path)
    with pytest.raises(ArtifactCorrupt, match="evaluations is a link"):
        repository.add_evaluation(version, evaluation)
    with pytest.raises(ArtifactCorrupt, match="evaluations is a link"):
        repository.evaluations(version)


def with_sums(evaluation: Evaluation) -> Evaluation:
    return changed(evaluation, kept=KeptSums(asked=(("hybrid", "next"),), figures=("recall",)))


SUMS = np.arange(20, dtype=np.float32).reshape(1, 10, 2)


def test_what_the_figures_are_made_of_is_kept_beside_them(
    repository: Repository, version: str, evaluation: Evaluation
) -> None:
    file = repository.add_evaluation(version, with_sums(evaluation), SUMS)
    assert file.with_suffix(".npy").is_file()
    (kept,) = repository.evaluations(version)
    assert kept.kept is not None
    np.testing.assert_array_equal(repository.session_sums(version, kept), SUMS)
    # Others that lie there do not touch the version's own files.
    assert repository.promote(version).production == version


def test_figures_without_sums_take_those_of_before_away(
    repository: Repository, version: str, evaluation: Evaluation
) -> None:
    file = repository.add_evaluation(version, with_sums(evaluation), SUMS)
    repository.add_evaluation(version, with_sums(evaluation))
    assert not file.with_suffix(".npy").exists()
    (kept,) = repository.evaluations(version)
    again = f"run 'nextcart evaluate --version {version} --protocol next_event --split val_split'"
    with pytest.raises(RepositoryError, match=f"its next_event evaluation was made by training, .* session; {again}"):
        repository.session_sums(version, kept)


@pytest.mark.parametrize("damage", ["changed", "gone", "linked", "none"])
def test_sums_that_differ_are_refused(
    repository: Repository, version: str, evaluation: Evaluation, damage: str, tmp_path: Path
) -> None:
    sums = repository.add_evaluation(version, with_sums(evaluation), SUMS).with_suffix(".npy")
    if damage == "changed":
        np.save(sums, SUMS + 1)
    elif damage == "none":
        sums.write_bytes(b"")
    else:
        sums.rename(tmp_path / "elsewhere.npy")
        if damage == "linked":
            sums.symlink_to(tmp_path / "elsewhere.npy")
    (kept,) = repository.evaluations(version)
    with pytest.raises(ArtifactCorrupt, match=r"next_event-val_split\.npy: .*; run 'nextcart evaluate --version"):
        repository.session_sums(version, kept)
