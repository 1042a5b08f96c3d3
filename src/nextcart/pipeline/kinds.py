"""What is known of a version's training events when it is evaluated: are they still there, and how old is an item."""

from __future__ import annotations

import numpy as np

from nextcart.config import EvaluationConfig
from nextcart.evaluation.slices import ItemKinds
from nextcart.events.schema import SplitName
from nextcart.events.store import Store
from nextcart.models.vocabulary import Vocabulary
from nextcart.repository.manifest import Manifest
from nextcart.types import DAY_MS, UNKNOWN


def same_events(store: Store, manifest: Manifest) -> bool:
    """Whether the store's split looks as it did when the version was trained on it."""
    now, then = store.manifest.splits.get(manifest.data.split), manifest.data
    return now is not None and (now.events, now.sessions, now.first_ts, now.last_ts) == (
        then.events,
        then.sessions,
        then.first_ts,
        then.last_ts,
    )


def item_kinds(store: Store, split: SplitName | None, vocabulary: Vocabulary, config: EvaluationConfig) -> ItemKinds:
    """Where popularity parts a catalogue, and age too where the split that it was learned from is given."""
    if split is None:
        return ItemKinds.of(vocabulary.counts)
    table = store.run("item_first_events", split=split)
    rows = vocabulary.rows_of_arrow(table.column("aid").combine_chunks())
    start = store.manifest.splits[split].last_ts - round(config.young_item_days * DAY_MS)
    young = np.zeros(len(vocabulary), bool)
    known = rows != UNKNOWN
    young[rows[known]] = table.column("first_ts").to_numpy()[known] > start
    return ItemKinds.of(vocabulary.counts, young)
