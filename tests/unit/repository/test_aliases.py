import json
from collections.abc import Callable
from pathlib import Path

import pytest

from nextcart.errors import ArtifactCorrupt, VersionMissing
from nextcart.repository import Aliases, Manifest, Repository
from nextcart.repository import artifacts as files


@pytest.fixture
def ids(publish: Callable[[int], Manifest]) -> list[str]:
    """Three versions, oldest first."""
    return [publish(seed).version for seed in range(3)]


def damage(repository: Repository, version: str) -> None:
    file = repository.folder(version) / "covisitation" / "weights.npy"
    file.chmod(0o644)
    file.write_bytes(b"other")


def test_names_resolve(repository: Repository, ids: list[str]) -> None:
    repository.promote(ids[0])
    repository.promote(ids[1])
    assert repository.resolve() == ids[1]
    assert repository.resolve("production") == ids[1]
    assert repository.resolve("previous") == ids[0]
    assert repository.resolve("candidate") == ids[2]
    assert repository.resolve("latest") == ids[2]
    for version in ids:
        assert repository.resolve(version) == version


def test_a_unique_start_of_an_id_resolves(repository: Repository, ids: list[str]) -> None:
    unique = next(length for length in range(1, 26) if sum(each.startswith(ids[0][:length]) for each in ids) == 1)
    assert repository.resolve(ids[0][:unique]) == ids[0]
    with pytest.raises(VersionMissing, match=r"'2' starts 3 versions, such as 2.*; give more of its id"):
        repository.resolve("2")
    for ask in (repository.resolve, repository.promote):
        with pytest.raises(VersionMissing, match="no version '' in"):
            ask("")
    with pytest.raises(VersionMissing, match=r"no version 'nope' in .*; 'nextcart models' lists what there is"):
        repository.resolve("nope")


def test_names_that_stand_for_nothing_say_what_to_do(repository: Repository, ids: list[str]) -> None:
    with pytest.raises(VersionMissing, match="nothing promoted yet: run 'nextcart promote'"):
        repository.resolve()
    with pytest.raises(
        VersionMissing, match=r"no previous version .* 'nextcart models', .* 'nextcart promote VERSION'"
    ):
        repository.rollback()
    (repository.root / "aliases.json").unlink()
    with pytest.raises(VersionMissing, match="no candidate: run 'nextcart train' first, or name a version"):
        repository.promote()


def test_promote_and_rollback(repository: Repository, ids: list[str]) -> None:
    first, second, third = ids
    assert repository.promote() == Aliases(production=third, candidate=third)
    assert repository.promote(first) == Aliases(production=first, previous=third, candidate=third)
    assert repository.promote("latest") == Aliases(production=third, previous=first, candidate=third)
    assert repository.promote(second) == Aliases(production=second, previous=third, candidate=third)
    assert repository.rollback() == (Aliases(production=third, candidate=third), second)
    assert repository.aliases() == Aliases(production=third, candidate=third)


def test_a_second_rollback_is_refused_and_a_promotion_undoes_the_first(repository: Repository, ids: list[str]) -> None:
    good, broken, _ = ids
    repository.promote(good)
    repository.promote(broken)
    repository.rollback()
    with pytest.raises(VersionMissing, match="no previous version to go back to"):
        repository.rollback()
    assert repository.aliases().production == good
    undone = repository.promote(broken)
    assert (undone.production, undone.previous) == (broken, good)


def test_promoting_what_is_in_production_changes_nothing(repository: Repository, ids: list[str]) -> None:
    repository.promote(ids[0])
    before = repository.promote(ids[1])
    file = repository.root / "aliases.json"
    inode = file.stat().st_ino
    assert repository.promote(ids[1]) == before
    assert file.stat().st_ino == inode


def test_a_later_publication_moves_only_the_candidate(
    repository: Repository, ids: list[str], publish: Callable[[int], Manifest]
) -> None:
    repository.promote(ids[0])
    repository.promote(ids[1])
    new = publish(9).version
    assert repository.aliases() == Aliases(production=ids[1], previous=ids[0], candidate=new)


def test_a_damaged_version_is_not_promoted(repository: Repository, ids: list[str]) -> None:
    before = repository.promote(ids[0])
    damage(repository, ids[2])
    with pytest.raises(ArtifactCorrupt, match=r"covisitation/weights\.npy differs .*; train again, or promote another"):
        repository.promote()
    assert repository.aliases() == before


def test_there_is_no_rolling_back_to_a_damaged_version(repository: Repository, ids: list[str]) -> None:
    repository.promote(ids[0])
    before = repository.promote(ids[1])
    damage(repository, ids[0])
    with pytest.raises(ArtifactCorrupt, match="differs from its manifest; run 'nextcart promote VERSION'"):
        repository.rollback()
    assert repository.aliases() == before


def test_an_alias_whose_version_is_gone_says_so(repository: Repository, ids: list[str]) -> None:
    repository.promote(ids[0])
    files.remove_tree(repository.root / "versions" / ids[0])
    with pytest.raises(VersionMissing, match=rf"'production' is {ids[0]}, which is not in .*; run 'nextcart promote"):
        repository.resolve()
    assert repository.promote(ids[1]).production == ids[1]


@pytest.mark.parametrize("text", ["", "{", '{"production": "../../x"}', '{"staging": null}', '{"production": 3}', "[]"])
def test_aliases_that_cannot_be_read_name_the_remedy(repository: Repository, ids: list[str], text: str) -> None:
    file = repository.root / "aliases.json"
    file.write_text(text)
    with pytest.raises(ArtifactCorrupt, match=r"aliases\.json: .*; remove it and run 'nextcart promote VERSION'"):
        repository.aliases()
    assert [manifest.version for manifest in repository.versions()] == ids


def test_the_aliases_file_is_as_documented(repository: Repository, ids: list[str]) -> None:
    repository.promote(ids[0])
    document = json.loads(Path(repository.root / "aliases.json").read_text())
    assert document == {"production": ids[0], "previous": None, "candidate": ids[2]}
