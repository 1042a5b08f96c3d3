"""What every model is: a config, a `fit`, and an immutable object of plain arrays that saves to a folder.

A folder holds ``model.json`` (kind, schema version, config, facts) and one ``.npy`` file an array. Loading maps the
arrays into memory; nothing is ever pickled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from nextcart.config import Section
from nextcart.errors import ArtifactCorrupt
from nextcart.models.blocked import Blocked
from nextcart.models.shared import Shared
from nextcart.types import Int64s, ItemLists, Objective, Progress, Ranked, SessionBatch, no_progress

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class TrainingArrays:
    """All that a model learns from.

    Attributes:
        sessions: the training sessions, every item known.
        counts: int64, shape (n_items,), training events of each item; falls with the row, since rows are given by
            popularity (see `Vocabulary`).
    """

    sessions: SessionBatch
    counts: Int64s

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return len(self.counts)


@dataclass(frozen=True, slots=True)
class FitOptions:
    """The circumstances of a fit, apart from the model's definition."""

    seed: int = 42
    threads: int = 2
    deterministic: bool = False
    progress: Progress = no_progress


@dataclass(frozen=True, slots=True)
class Query:
    """What a model is asked: sessions, how many items each, and which items may come.

    Attributes:
        sessions: the sessions to answer.
        k: length of each list.
        banned: rows that must not come, a list a session; None bans nothing.
        allowed: rows that alone may come, ascending, a list a session; None allows all.
        shared: what others who ask about the same sessions have found already.
        objective: what the items are for; a ranker orders them for it.
        blocked: rows that must not come in any list; None where an allow list leaves them out already.
        limit: how many items the asker wants where ``k`` looks further, and by which a hybrid chooses how many
            candidates it fuses; 0 for ``k``.
    """

    sessions: SessionBatch
    k: int
    banned: ItemLists | None = None
    allowed: ItemLists | None = None
    shared: Shared | None = None
    objective: Objective = "clicks"
    blocked: Blocked | None = None
    limit: int = 0


class Model(Protocol):
    """A fitted model. Equal scores rank the smaller row first, which is the more popular item."""

    name: ClassVar[str]

    def recommend(self, query: Query) -> Ranked:
        """The model's own candidates for each session, best first, with no backfill."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which they are saved."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model into an existing empty folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved model; arrays are mapped, not copied."""
        ...


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The array, contiguous and read-only: kernels compile once, for read-only model arrays."""
    plain = np.ascontiguousarray(array)
    plain.flags.writeable = False
    return plain


def save_model(
    folder: Path,
    kind: str,
    config: Section,
    arrays: Mapping[str, NDArray[Any]],
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Write ``model.json`` and one ``.npy`` file an array; a dot in an array's name becomes a hyphen in the file's."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "config": config.model_dump(mode="json"),
        "facts": dict(facts or {}),
        "arrays": sorted(arrays),
    }
    for name, array in arrays.items():
        np.save(_array_file(folder, name), array, allow_pickle=False)
    text = json.dumps(document, indent=1, sort_keys=True)
    (folder / "model.json").write_text(text + "\n", encoding="utf-8")


def load_model(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `save_model` wrote: the config's values, the facts and the arrays (read-only, memory-mapped).

    Raises:
        ArtifactCorrupt: a file is missing or is not what it should be.
    """
    try:
        document = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if document["kind"] != kind or document["schema_version"] > SCHEMA_VERSION:
            raise ArtifactCorrupt(
                f"{folder}/model.json: a '{document['kind']}' of schema {document['schema_version']}, not a '{kind}' "
                f"of schema {SCHEMA_VERSION} or older; train again, or use the nextcart that wrote it"
            )
        arrays = {name: mapped(_array_file(folder, name)) for name in document["arrays"]}
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise ArtifactCorrupt(f"{folder}: cannot be read ({error}); run 'nextcart rollback' or train again") from None
    return document["config"], document["facts"], arrays


def _array_file(folder: Path, name: str) -> Path:
    return folder / (name.replace(".", "-") + ".npy")


def mapped(file: Path) -> NDArray[Any]:
    """The array of a ``.npy`` file, memory-mapped and read-only.

    Raises:
        OSError, EOFError, ValueError: the file is missing, or is no such array.
    """
    # A plain ndarray over the map: numba does not know the memmap subclass. Empty arrays cannot be mapped.
    if file.stat().st_size <= 128:
        return frozen(np.load(file, allow_pickle=False))
    return frozen(np.asarray(np.load(file, mmap_mode="r", allow_pickle=False)))
