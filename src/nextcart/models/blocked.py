"""Items that must not come in any list, as a shop blocks them: a mask over the catalogue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextcart.types import Int32s, ItemLists, UInt8s


@dataclass(frozen=True, slots=True)
class Blocked:
    """Blocked items; looking one up costs the same however many there are.

    Attributes:
        mask: uint8, shape (n_items,), 1 for a blocked row.
        count: how many rows are blocked.
    """

    mask: UInt8s
    count: int

    @classmethod
    def of(cls, rows: Int32s, n_items: int) -> Blocked | None:
        """The given rows blocked, each of which the catalogue holds; None for no row at all."""
        if not len(rows):
            return None
        mask = np.zeros(n_items, np.uint8)
        mask[rows] = 1
        mask.flags.writeable = False
        return cls(mask, int(np.count_nonzero(mask)))

    def out_of(self, lists: ItemLists) -> ItemLists:
        """The lists without what is blocked."""
        return _kept(lists, self.mask[lists.items] == 0)

    def within(self, lists: ItemLists) -> ItemLists:
        """What is blocked of the lists, which may hold `UNKNOWN` rows."""
        return _kept(lists, (lists.items >= 0) & (self.mask[lists.items] == 1))


def _kept(lists: ItemLists, keep: NDArray[np.bool_]) -> ItemLists:
    before = np.zeros(len(keep) + 1, np.int64)
    np.cumsum(keep, out=before[1:])
    return ItemLists(before[lists.offsets], lists.items[keep])
