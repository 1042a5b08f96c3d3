"""Kinds of targets whose figures stand apart: by repetition, popularity, age, and how much was known of the session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nextcart.evaluation.cutting import Questions
from nextcart.types import Bools, Int64s

BEFORE = {"after_1": (1, 1), "after_2_4": (2, 4), "after_5_9": (5, 9), "after_10": (10, np.iinfo(np.int64).max)}
"""Fewest and most events before the question."""
SLICES = ("repeat", "new", "head", "middle", "tail", "young", "old", *BEFORE)


@dataclass(frozen=True, slots=True)
class ItemKinds:
    """Where popularity and age part the catalogue.

    Attributes:
        head: rows below are the head: the most popular items, which together hold a third of the training events.
        tail: rows from here on are the tail, with the last third; what lies between is the middle.
        young: bool, shape (n_items,), the item's first training event lies in the last days of training; None where
            that is not known.
    """

    head: int
    tail: int
    young: Bools | None = None

    @classmethod
    def of(cls, counts: Int64s, young: Bools | None = None) -> ItemKinds:
        """Part a catalogue by the training events of each row, which never ascend, and by what is young."""
        events = np.cumsum(counts)
        if not len(events):
            return cls(0, 0, young)
        head, tail = np.searchsorted(events, events[-1] * np.array([1 / 3, 2 / 3]))
        return cls(int(head) + 1, int(tail) + 1, young)

    def slices(self, questions: Questions) -> dict[str, Bools]:
        """Which targets are in each of `SLICES`; an unknown item has neither popularity nor age."""
        rows = questions.targets.items
        known = rows >= 0
        before = np.repeat(questions.before, np.diff(questions.targets.offsets))
        found = {
            "repeat": questions.repeats,
            "new": ~questions.repeats,
            "head": known & (rows < self.head),
            "middle": (rows >= self.head) & (rows < self.tail),
            "tail": rows >= self.tail,
        }
        if self.young is not None:
            young = known & self.young[rows]
            found |= {"young": young, "old": known & ~young}
        return found | {name: (before >= least) & (before <= most) for name, (least, most) in BEFORE.items()}
