"""Which split a step learns from, and by which a version may be measured."""

from __future__ import annotations

from nextcart.errors import InputError
from nextcart.events.schema import SplitName
from nextcart.events.store import Store
from nextcart.pipeline.kinds import same_events
from nextcart.repository.manifest import Manifest

TRAINING: SplitName = "train_split"
VALIDATION: SplitName = "val_split"
HELD_OUT_EVENTS = "add events that it has not seen by 'nextcart ingest FILE --split test'"
"""What a version of all events can be measured by."""


def training_split(store: Store, on: str | None) -> SplitName:
    """The split to train on; test and validation events are never trained on."""
    if on is None:
        on = TRAINING if TRAINING in store.splits() else "train"
    aliases = {"all": "train"}
    split = store.require(aliases.get(on, on))
    if split not in ("train", "train_split"):
        raise InputError(f"split '{on}' is held out; train on 'all' or 'train_split'")
    return split


def held_out_split(store: Store, split: str | None) -> SplitName:
    """The split to measure on: the one named, else the held-out "test", else the validation split.

    Raises:
        StoreMissing: the store lacks it.
    """
    return store.require(split or ("test" if "test" in store.splits() else VALIDATION))


def refuse_leakage(store: Store, manifest: Manifest, split: SplitName) -> None:
    """Evaluation on what a version has learned would flatter it.

    Raises:
        InputError: the version was, or may have been, trained on events of that split.
    """
    if split == "test":
        return
    if split != VALIDATION or manifest.data.split == "train":
        has_test = "test" in store.splits()
        held_out = "evaluate on 'test'" if has_test else f"{HELD_OUT_EVENTS} and evaluate again"
        raise InputError(
            f"version {manifest.version} was trained on '{manifest.data.split}', which holds events of '{split}'; "
            f"{held_out}, or measure the same settings by another version: 'nextcart split', 'nextcart train'"
        )
    if not same_events(store, manifest):
        raise InputError(
            f"version {manifest.version} was trained on an earlier split, which may hold sessions of today's "
            "'val_split'; run 'nextcart train' and evaluate the new version"
        )
