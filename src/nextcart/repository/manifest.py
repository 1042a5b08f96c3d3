"""What is written down about a version: its manifest, and the aliases that name versions.

Everything here is read from files that anybody may have changed: unknown keys, wrong types and paths that lead out of
the version's folder are refused.
"""

from __future__ import annotations

import json
import platform
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from nextcart.errors import ArtifactCorrupt, RepositoryError
from nextcart.evaluation.report import Evaluation
from nextcart.types import IdType

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
EVALUATIONS = "evaluations"
VERSION_PATTERN = r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$"

AnyRecord = TypeVar("AnyRecord", bound=BaseModel)


def _inside(path: str) -> str:
    parts = path.split("/")
    if "\\" in path or not path.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise ValueError("must be a relative path inside the version's folder")
    if parts[0] in (MANIFEST, EVALUATIONS):
        raise ValueError(f"'{parts[0]}' is no artifact's name")
    return path


ArtifactPath = Annotated[str, AfterValidator(_inside)]
UtcTime = Annotated[AwareDatetime, AfterValidator(lambda time: time.astimezone(UTC))]
VersionId = Annotated[str, Field(pattern=VERSION_PATTERN)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class Record(BaseModel):
    """Base of all that the repository writes down: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DataFacts(Record):
    """The events that a version was fitted on."""

    fingerprint: str
    """Fingerprint of the event store."""
    split: Literal["train", "train_split"]
    sessions: Count
    events: Count
    items: Count
    first_ts: int
    """Oldest event, Unix milliseconds."""
    last_ts: int
    """Newest event, Unix milliseconds."""
    session_type: IdType
    aid_type: IdType


class Artifact(Record):
    """One file of a version."""

    name: str
    """The path without its suffix, such as ``covisitation/weights``."""
    path: ArtifactPath
    """Relative to the version's folder, with forward slashes."""
    kind: Literal["array", "json", "text", "binary"]
    bytes: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    description: str


class Timing(Record):
    """What one stage of the training took."""

    stage: str
    wall_seconds: Seconds
    cpu_seconds: Seconds
    peak_memory_bytes: Count


class Environment(Record):
    """Where a version was fitted: the versions of what computed it."""

    python: str
    platform: str
    numpy: str
    numba: str
    duckdb: str
    faiss: str

    @classmethod
    def here(cls) -> Environment:
        """The environment of this process."""
        return cls(
            python=platform.python_version(),
            platform=platform.platform(),
            numpy=_installed("numpy"),
            numba=_installed("numba"),
            duckdb=_installed("duckdb"),
            faiss=_installed("faiss-cpu"),
        )


class VersionDraft(Record):
    """What the training knows of a version before it is published."""

    code_version: str
    config: dict[str, JsonValue]
    """All settings of the run; seed and ``deterministic`` are among them."""
    data: DataFacts
    evaluations: tuple[Evaluation, ...] = ()
    """Metrics by split and model, as known at training."""
    timings: tuple[Timing, ...] = ()


class Manifest(VersionDraft):
    """All that is written down about a published version."""

    schema_version: Annotated[int, Field(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION
    version: VersionId
    created_at: UtcTime
    environment: Environment
    artifacts: tuple[Artifact, ...]

    @model_validator(mode="after")
    def _paths_are_unique(self) -> Manifest:
        if len({artifact.path for artifact in self.artifacts}) != len(self.artifacts):
            raise ValueError("lists an artifact twice")
        return self


class Aliases(Record):
    """The versions that have a name.

    Attributes:
        production: the version that is served.
        previous: what was in production before it; `Repository.rollback` goes back to it, and leaves none.
        candidate: the version published last.
    """

    production: VersionId | None = None
    previous: VersionId | None = None
    candidate: VersionId | None = None


class _AnySchema(BaseModel):
    schema_version: int


def draft_manifest(draft: VersionDraft, version: str, created_at: datetime, artifacts: Sequence[Artifact]) -> Manifest:
    """The manifest of a drafted version fitted in this environment."""
    return Manifest(
        **dict(draft),
        version=version,
        created_at=created_at,
        environment=Environment.here(),
        artifacts=tuple(artifacts),
    )


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest in a version's folder; no other file is looked at.

    Raises:
        ArtifactCorrupt: it is missing, unreadable, or that of another version.
        RepositoryError: a newer nextcart wrote it.
    """
    file = folder / MANIFEST
    remedy = "run 'nextcart rollback', train again, or remove the folder"
    schema_version = read_record(file, _AnySchema, remedy).schema_version
    if schema_version > SCHEMA_VERSION:
        raise RepositoryError(
            f"{file}: schema {schema_version}, but this nextcart reads up to {SCHEMA_VERSION}; upgrade nextcart"
        )
    manifest = read_record(file, Manifest, remedy)
    if manifest.version != folder.name:
        raise ArtifactCorrupt(f"{file}: is the manifest of version {manifest.version}; {remedy}")
    return manifest


def read_record(file: Path, kind: type[AnyRecord], remedy: str) -> AnyRecord:
    """Read a JSON file as a record.

    Raises:
        ArtifactCorrupt: the file is missing, a link, unreadable, or holds something else; ends with `remedy`.
    """
    try:
        # A link could lead anywhere, and opening a pipe would never return.
        if not stat.S_ISREG(file.lstat().st_mode):
            raise ArtifactCorrupt(f"{file}: is no regular file; {remedy}")
        return kind.model_validate_json(file.read_bytes())
    except OSError as error:
        raise ArtifactCorrupt(f"{file}: cannot be read ({error.strerror}); {remedy}") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ArtifactCorrupt(f"{file}: {where + ': ' if where else ''}{problem['msg']}; {remedy}") from None


def record_text(record: BaseModel) -> str:
    """A record as the JSON text that `read_record` reads back, equal."""
    # json keeps a metric that is NaN, where pydantic's own writer makes it a null that no longer reads as a number.
    return json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def _installed(package: str) -> str:
    try:
        return installed_version(package)
    except PackageNotFoundError:
        return "unknown"
