"""A shop's rules over the rows of one version's catalogue."""

from __future__ import annotations

import numpy as np

from nextcart.models.rules import RowRules
from nextcart.models.vocabulary import Vocabulary
from nextcart.serving.rules.document import Rules
from nextcart.types import UNKNOWN


def row_rules(rules: Rules, vocabulary: Vocabulary) -> tuple[RowRules, int]:
    """The rules by row, and how many of the named items the catalogue lacks: the next version may hold them."""
    block = vocabulary.rows(rules.block)
    pins = vocabulary.rows([pin.aid for pin in rules.pin])
    boosted = vocabulary.rows([boost.aid for boost in rules.boost])
    # No list reaches further than the catalogue does.
    positions = np.array([min(pin.position, len(vocabulary) + 1) for pin in rules.pin], np.int32)
    unknown = sum(int(np.count_nonzero(rows == UNKNOWN)) for rows in (block, pins, boosted))
    rows = RowRules.of(
        rules.version,
        len(vocabulary),
        block=block,
        pins=pins,
        positions=positions,
        boosted=boosted,
        factors=np.array([boost.factor for boost in rules.boost], np.float64),
    )
    return rows, unknown
