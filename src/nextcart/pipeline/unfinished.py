"""What a training has fitted and not yet published: kept model by model, so that a run that died is gone on with."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path

import nextcart
from nextcart.config import Settings
from nextcart.disk import sync
from nextcart.errors import ArtifactCorrupt, RepositoryError, RunFailed
from nextcart.events.lock import drop_lock, held, held_if_free
from nextcart.events.schema import SplitName
from nextcart.events.store import Store
from nextcart.models.fitting import FittedModel
from nextcart.models.recommender import Recommender
from nextcart.repository.manifest import Environment
from nextcart.types import Progress

UNFINISHED = "unfinished"
_CODE_OF_A_FIT = ("kernels", "models")


class Unfinished:
    """The folder of a training on its way; each fitted model in it is complete or absent.

    Attributes:
        folder: a folder a model, as the model saves itself.
        taken: models that an earlier run of this training fitted -> when it had fitted them, ISO 8601.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.taken: dict[str, str] = {}
        self._progress = progress

    def keep(self, kind: type[FittedModel], fit: Callable[[], FittedModel]) -> FittedModel:
        """The model that an earlier run kept, else the one that ``fit`` gives, which is kept."""
        found = self._find(kind)
        if found is not None:
            return found
        fitted = fit()
        self._save(fitted)
        return fitted

    def save(self, recommender: Recommender, target: Path) -> None:
        """As `Recommender.save`; the files of kept models are linked, so that publishing needs no room for them."""
        for name, part in {"vocabulary": recommender.vocabulary, **recommender.models}.items():
            (target / name).mkdir()
            kept = sorted((self.folder / name).glob("*.*"))
            for file in kept:
                _link(file, target / name / file.name)
            if not kept:
                part.save(target / name)

    def models(self) -> list[str]:
        """Names of the models that are there."""
        return [entry.name for entry in self.folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]

    def _find(self, kind: type[FittedModel]) -> FittedModel | None:
        folder = self.folder / kind.name
        if not folder.is_dir():
            return None
        try:
            model = kind.load(folder)
        except ArtifactCorrupt:
            shutil.rmtree(folder)
            return None
        fitted_at = datetime.fromtimestamp(int((folder / "model.json").stat().st_mtime), UTC)
        self.taken[kind.name] = fitted_at.isoformat()
        stopped = f"{fitted_at:%Y-%m-%d %H:%M:%S} UTC"
        self._progress(f"{kind.name}, taken from the run that stopped after {stopped}", 1, 1)
        return model

    def _save(self, model: FittedModel) -> None:
        staged = self.folder / f".{model.name}"
        try:
            staged.mkdir()
            model.save(staged)
            for path in (*staged.iterdir(), staged):
                sync(path)
            staged.rename(self.folder / model.name)
            sync(self.folder)
        except OSError as error:
            # Keeping saves time, no more: whether there is room for a version, publishing says. numpy names no reason
            # where an array is cut short.
            reason = error.strerror or "No space left on device"
            self._progress(f"{model.name}, not kept for a later run ({reason})", 1, 1)
        finally:
            shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def unfinished(models: Path, key: str, progress: Progress, *, fresh: bool = False) -> Iterator[Unfinished]:
    """Hold the folder of a training; it is removed in the end, and stays where the run fails after it fitted a model.

    After a success those of other trainings that died are removed as well.

    Args:
        models: the repository's folder.
        key: of `training_key`.
        progress: told which models are taken from an earlier run.
        fresh: forget what an earlier run kept.

    Raises:
        RepositoryError: another process is at the same training; names it.
        RunFailed: the folder cannot be made.
    """
    folder = models / UNFINISHED / key
    with ExitStack() as stack:
        try:
            stack.enter_context(held(folder, RepositoryError, "training the same models on the same events"))
            _clear(folder, "" if fresh else ".")
        except OSError as error:
            raise RunFailed(
                f"{models}: cannot be written ({error.strerror}); free space or set its permissions, then run again"
            ) from error
        kept = Unfinished(folder, progress)
        try:
            yield kept
        except BaseException:
            if not kept.models():
                _remove(folder)
            raise
        _remove(folder)
        for other in folder.parent.glob("*/"):
            with held_if_free(other) as free:
                if free:
                    _remove(other)


def training_key(
    store: Store, split: SplitName, settings: Settings, only: Iterable[str] | None, *, counted_elsewhere: bool = False
) -> str:
    """Digest of all that decides what a training fits: events, models, their configs, circumstances, code.

    ``counted_elsewhere``: by another engine than the kernels here, whose sums differ in the last bits.
    """
    root = Path(nextcart.__file__).parent
    sources = sorted(file for room in _CODE_OF_A_FIT for file in (root / room).glob("*.py"))
    decides = {
        "events": [store.manifest.fingerprint, split, store.manifest.splits[split].model_dump(mode="json")],
        "only": None if only is None else sorted(set(only)),
        "models": settings.models.model_dump(mode="json", exclude={"hybrid"}),
        "counted_elsewhere": counted_elsewhere,
        "training": settings.training.model_dump(mode="json"),
        "version": installed_version("nextcart"),
        "code": [hashlib.sha256(file.read_bytes()).hexdigest() for file in sources],
        "environment": Environment.here().model_dump(mode="json", exclude={"platform"}),
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def _remove(folder: Path) -> None:
    """Remove the folder of a training that this process holds, its lock last."""
    _clear(folder)
    drop_lock(folder, with_folder=True)


def _clear(folder: Path, prefix: str = "") -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name.startswith(prefix):
            shutil.rmtree(entry, ignore_errors=True)


def _link(file: Path, target: Path) -> None:
    try:
        target.hardlink_to(file)
    except OSError:
        # A file system without links.
        shutil.copyfile(file, target)
