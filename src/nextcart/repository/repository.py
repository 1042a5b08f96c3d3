"""The model repository: a folder of published versions, and the aliases that say which of them is served.

    versions/<version>/manifest.json, <model>/…, evaluations/<protocol>-<split>.json and .npy
    aliases.json            {"production": …, "previous": …, "candidate": …}
    .staging-<random>/      a version being written; renamed into versions/ once it is whole and on disk

Reading takes no lock and writes nothing, so a read-only mount is enough to serve.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from nextcart.disk import sync
from nextcart.errors import ArtifactCorrupt, RepositoryError, RunFailed, VersionMissing
from nextcart.evaluation.report import Evaluation
from nextcart.models.model import mapped
from nextcart.repository import artifacts as files
from nextcart.repository.manifest import (
    EVALUATIONS,
    MANIFEST,
    VERSION_PATTERN,
    Aliases,
    Artifact,
    Manifest,
    VersionDraft,
    draft_manifest,
    read_manifest,
    read_record,
    record_text,
)
from nextcart.types import Float32s

_STAGING = ".staging-"
_NO_VERSION = "no version yet: run 'nextcart train' first"


class Repository:
    """Versions of the models in a folder, which need not exist before the first version is published.

    Attributes:
        root: the repository's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def publish(self, write: Callable[[Path], None], draft: VersionDraft) -> Manifest:
        """Publish what `write` puts into the empty folder it is given, and name it candidate.

        The version is complete or absent, whatever happens in between, and read-only from then on. One version is
        published at a time; a second publisher waits. Where `write` fails nothing stays behind, and its error passes.

        Args:
            write: fills a folder with the models' folders, regular files only.
            draft: what is known of the version.

        Raises:
            RunFailed: the disk is full or the folder cannot be written (any OSError, those of `write` included).
            ArtifactCorrupt: `write` left a link, or an array that is none; or aliases.json cannot be read, in which
                case the version is published all the same.
        """
        with self._writing("publish"):
            for leftover in self.root.glob(f"{_STAGING}*"):
                files.remove_tree(leftover)
            staging = self.root / f"{_STAGING}{secrets.token_hex(4)}"
            try:
                staging.mkdir()
                write(staging)
                manifest = self._move_in(staging, draft)
            finally:
                files.remove_tree(staging)
            with self._writing("aliases"):
                self._set(self.aliases().model_copy(update={"candidate": manifest.version}))
        return manifest

    def versions(self) -> list[Manifest]:
        """The manifests of all readable versions, oldest first; `broken` has the others. Hashes nothing."""
        return self._scan()[0]

    def broken(self) -> list[tuple[str, str]]:
        """Name and reason of each entry among the versions whose manifest cannot be read."""
        return self._scan()[1]

    def aliases(self) -> Aliases:
        """The versions that have a name; all None before the first is published.

        Raises:
            ArtifactCorrupt: aliases.json cannot be read.
        """
        file = self.root / "aliases.json"
        if not os.path.lexists(file):
            return Aliases()
        return read_record(file, Aliases, "remove it and run 'nextcart promote VERSION'")

    def resolve(self, name: str | None = None) -> str:
        """The version that a name stands for: an alias, ``latest``, an id or the unique start of one.

        Args:
            name: None is ``production``; an empty text names nothing.

        Raises:
            VersionMissing: there is no such version, or more than one.
            ArtifactCorrupt: it is an alias, and aliases.json cannot be read.
        """
        names = self._names()
        if not names:
            raise VersionMissing(f"{_NO_VERSION} (looked in {self.root})")
        if name == "":
            raise self._missing(name)
        name = name or "production"
        if name == "latest":
            return self._latest()
        if name in Aliases.model_fields:
            return self._aliased(name, names)
        matches = [version for version in names if version.startswith(name) and re.fullmatch(VERSION_PATTERN, version)]
        if len(matches) > 1:
            raise VersionMissing(f"'{name}' starts {len(matches)} versions, such as {matches[0]}; give more of its id")
        if not matches:
            raise self._missing(name)
        return matches[0]

    def manifest(self, version: str) -> Manifest:
        """The manifest of a version, given its whole id.

        Raises:
            VersionMissing: there is no such version.
            ArtifactCorrupt: its manifest cannot be read.
            RepositoryError: a newer nextcart wrote it.
        """
        return read_manifest(self._version_folder(version))

    def folder(self, version: str, *, verify: bool = True, pause: Callable[[], None] = files.no_pause) -> Path:
        """The folder of a version's models, its files checked against the manifest unless `verify` is False.

        `pause` is called after each chunk that was read, so that what answers meanwhile has the processor.

        Raises:
            VersionMissing: there is no such version.
            ArtifactCorrupt: a file is missing, differs, is a link, or is not in the manifest.
        """
        folder = self._version_folder(version)
        if verify:
            files.verify(folder, read_manifest(folder).artifacts, pause=pause)
        return folder

    def evaluations(self, version: str) -> list[Evaluation]:
        """A version's evaluations, one a protocol, split and `limited`: the one made last.

        Raises:
            VersionMissing: there is no such version.
            ArtifactCorrupt: the manifest or an evaluation cannot be read.
        """
        found = {_key(evaluation): evaluation for evaluation in self.manifest(version).evaluations}
        for file in sorted(self._evaluations_folder(version).glob("[!.]*.json")):
            evaluation = read_record(file, Evaluation, "remove it and run 'nextcart evaluate' again")
            found[_key(evaluation)] = evaluation
        return list(found.values())

    def add_evaluation(self, version: str, evaluation: Evaluation, sums: Float32s | None = None) -> Path:
        """Keep an evaluation beside the version's manifest; it replaces an earlier one on the same split.

        A limited evaluation has a file of its own, so a quick look never hides a full one.

        Args:
            version: its whole id.
            evaluation: the figures.
            sums: what they are made of, session by session, see `KeptSums`; it is kept as ``.npy`` of the same name.

        Returns:
            The file, ``evaluations/<protocol>-<split>.json``, or ``…-limited.json``.

        Raises:
            VersionMissing: there is no such version.
            ArtifactCorrupt: the version's folder, or that of its evaluations, is a link.
            RepositoryError: the evaluation's split is no plain name.
            RunFailed: the file cannot be written.
        """
        folder = self._evaluations_folder(version)
        if not re.fullmatch(r"[a-z0-9_]+", evaluation.split):
            raise RepositoryError(f"split '{evaluation.split}': no name of a split; use small letters, digits and '_'")
        file = folder / f"{_file_stem(evaluation)}.json"
        kept = None
        with self._writing("aliases"):
            folder.mkdir(exist_ok=True)
            if sums is not None and evaluation.kept is not None:
                # First, so that whoever finds the figures finds what they are made of; the hash tells a crash between.
                files.write_whole(file.with_suffix(".npy"), sums)
                kept = evaluation.kept.model_copy(update={"sha256": files.sha256_of(file.with_suffix(".npy"))})
            files.write_whole(file, record_text(evaluation.model_copy(update={"kept": kept})))
            if kept is None:
                file.with_suffix(".npy").unlink(missing_ok=True)
        return file

    def session_sums(self, version: str, evaluation: Evaluation) -> Float32s:
        """What an evaluation's kept figures are made of, memory-mapped; see `KeptSums`.

        Raises:
            VersionMissing: there is no such version.
            ArtifactCorrupt: the file differs from its evaluation, or is no such array.
            RepositoryError: nothing was kept with this evaluation.
        """
        again = f"--version {version} --protocol {evaluation.protocol} --split {evaluation.split}"
        remedy = f"run 'nextcart evaluate {again}'"
        if evaluation.kept is None:
            raise RepositoryError(
                f"{version}: its {evaluation.protocol} evaluation was made by training, which keeps no figures session "
                f"by session; {remedy}"
            )
        file = self._evaluations_folder(version) / f"{_file_stem(evaluation)}.npy"
        try:
            if not file.is_symlink() and files.sha256_of(file) == evaluation.kept.sha256:
                return cast(Float32s, mapped(file))
        except (OSError, ValueError) as error:
            raise ArtifactCorrupt(f"{file}: cannot be read ({error}); {remedy}") from None
        raise ArtifactCorrupt(f"{file}: differs from its evaluation; {remedy}")

    def promote(self, version: str | None = None) -> Aliases:
        """Put a version into production once its files are verified; what was there becomes ``previous``.

        Promoting what is in production already changes nothing.

        Args:
            version: any name that `resolve` takes; None is the candidate.

        Raises:
            VersionMissing: there is no such version.
            ArtifactCorrupt: a file of it differs; production stays as it is.
        """
        chosen = self.resolve("candidate" if version is None else version)
        with self._writing("aliases"):
            self._verified(chosen, "train again, or promote another version")
            aliases = self.aliases()
            if chosen == aliases.production:
                return aliases
            return self._set(aliases.model_copy(update={"production": chosen, "previous": aliases.production}))

    def rollback(self) -> tuple[Aliases, str | None]:
        """Put ``previous`` into production once its files are verified; after that there is no ``previous``.

        So a second rollback is refused, and cannot bring back what the first one took out of production: promoting it
        does.

        Returns:
            The aliases now, and the version that was in production.

        Raises:
            VersionMissing: nothing was in production before, or it was rolled back to already.
            ArtifactCorrupt: a file of the previous version differs; production stays as it is.
        """
        self.resolve("previous")
        with self._writing("aliases"):
            chosen = self.resolve("previous")
            self._verified(chosen, "run 'nextcart promote VERSION' with another version")
            aliases = self.aliases()
            return self._set(aliases.model_copy(update={"production": chosen, "previous": None})), aliases.production

    def _move_in(self, staging: Path, draft: VersionDraft) -> Manifest:
        artifacts = files.describe(staging)
        created_at = datetime.now(UTC)
        versions = self.root / "versions"
        versions.mkdir(exist_ok=True)
        version = _free_version(versions, created_at, _content_hash(artifacts, draft))
        manifest = draft_manifest(draft, version, created_at, artifacts)
        (staging / MANIFEST).write_text(record_text(manifest), encoding="utf-8")
        (staging / EVALUATIONS).mkdir()
        files.seal(staging)
        staging.rename(versions / version)
        # Only now: a folder that may not be written cannot be moved to another parent.
        files.make_read_only(versions / version)
        sync(versions)
        sync(self.root)
        return manifest

    def _scan(self) -> tuple[list[Manifest], list[tuple[str, str]]]:
        manifests, broken = [], []
        for name in self._names():
            try:
                manifests.append(self.manifest(name))
            except RepositoryError as error:
                broken.append((name, str(error)))
        return sorted(manifests, key=lambda manifest: (manifest.created_at, manifest.version)), broken

    def _names(self) -> list[str]:
        try:
            return sorted(entry.name for entry in (self.root / "versions").iterdir() if not entry.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RepositoryError(f"{self.root}: cannot be read ({error.strerror}); name another folder") from None

    def _version_folder(self, version: str) -> Path:
        folder = self.root / "versions" / version
        if not re.fullmatch(VERSION_PATTERN, version) or not os.path.lexists(folder):
            raise self._missing(version)
        if folder.is_symlink() or not folder.is_dir():
            raise ArtifactCorrupt(f"{folder} is a link or no folder; remove it, or run 'nextcart rollback'")
        return folder

    def _evaluations_folder(self, version: str) -> Path:
        folder = self._version_folder(version) / EVALUATIONS
        if folder.is_symlink():
            raise ArtifactCorrupt(f"{folder} is a link; remove it and run 'nextcart evaluate' again")
        return folder

    def _latest(self) -> str:
        versions = self.versions()
        if not versions:
            raise VersionMissing(f"no readable version in {self.root}: run 'nextcart train' again")
        return versions[-1].version

    def _aliased(self, alias: str, names: Sequence[str]) -> str:
        version: str | None = getattr(self.aliases(), alias)
        if version is None:
            raise VersionMissing(
                {
                    "production": "nothing promoted yet: run 'nextcart promote'",
                    "previous": (
                        "no previous version to go back to: choose one from 'nextcart models', then run "
                        "'nextcart promote VERSION'"
                    ),
                    "candidate": "no candidate: run 'nextcart train' first, or name a version",
                }[alias]
                + f" (looked in {self.root})"
            )
        if version not in names:
            raise VersionMissing(
                f"'{alias}' is {version}, which is not in {self.root}; run 'nextcart promote VERSION' with another"
            )
        return version

    def _missing(self, name: str) -> VersionMissing:
        return VersionMissing(f"no version '{name}' in {self.root}; 'nextcart models' lists what there is")

    def _verified(self, version: str, remedy: str) -> None:
        folder = self._version_folder(version)
        files.verify(folder, read_manifest(folder).artifacts, remedy)

    def _set(self, aliases: Aliases) -> Aliases:
        files.write_whole(self.root / "aliases.json", record_text(aliases))
        return aliases

    @contextmanager
    def _writing(self, lock: str) -> Iterator[None]:
        # Two locks: promote and rollback must not wait for the gigabytes of a version that is being written.
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with files.locked(self.root / f".{lock}.lock"):
                yield
        except OSError as error:
            reason = error.strerror or error
            raise RunFailed(
                f"{self.root}: cannot be written ({reason}); free space or set its permissions, then run again"
            ) from error


def _content_hash(artifacts: Sequence[Artifact], draft: VersionDraft) -> str:
    content = [[(artifact.path, artifact.sha256) for artifact in artifacts], draft.config, draft.data.fingerprint]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _free_version(versions: Path, time: datetime, digest: str) -> str:
    while os.path.lexists(versions / (version := f"{time:%Y%m%dT%H%M%SZ}-{digest}")):
        time += timedelta(seconds=1)
    return version


def _file_stem(evaluation: Evaluation) -> str:
    return f"{evaluation.protocol}-{evaluation.split}{'-limited' if evaluation.limited else ''}"


def _key(evaluation: Evaluation) -> tuple[str, str, bool]:
    return evaluation.protocol, evaluation.split, evaluation.limited
