"""A seeded synthetic shop of clicks, carts and orders, written as OTTO JSONL or Parquet.

The preset ``otto`` has the published shape of the OTTO dataset at any scale: types, session lengths, the long tail of
items, repeats, days and hours. What is learnable in it is set by `nextcart.events.synth_shop` (which item leads to
which, weekly campaigns) and `nextcart.events.synth_walk` (repeats, baskets).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import duckdb
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from nextcart.config import Positive, PositiveReal, Section
from nextcart.events.synth_curves import session_lengths
from nextcart.events.synth_figures import OTTO, START_MS, Counter, Figures
from nextcart.events.synth_output import Chunk, Ids, writing
from nextcart.events.synth_shop import Shop
from nextcart.events.synth_times import event_times, hourly_calendar
from nextcart.events.synth_walk import walk
from nextcart.types import IdType, Progress, no_progress

__all__ = ["START_MS", "SynthConfig", "SynthSummary", "generate"]

Floats = NDArray[np.float64]

SESSIONS_PER_CHUNK = 50_000
"""Sessions generated at a time; part of what a seed means, since each chunk has a random stream of its own."""
CATALOGUE_STREAM = 2**32
"""Number of the catalogue's random stream, past those of the chunks."""


class SynthConfig(Section):
    """What shop to make."""

    preset: Literal["small", "otto"] = "small"
    """``small``: 20,000 sessions of 4,000 items; ``otto``: 12.9 M sessions of 1.86 M items. Both over 28 days."""
    scale: PositiveReal = 1.0
    """Factor on the preset's sessions and items."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """The same settings and seed give the same bytes."""
    days: Positive = 28
    """Days from the first event to the last."""
    ids: IdType = "int64"
    """``string``: sessions are UUIDs and items are SKUs."""

    @property
    def n_sessions(self) -> int:
        """Sessions to write."""
        return max(1, round({"small": 20_000, "otto": OTTO.sessions}[self.preset] * self.scale))

    @property
    def n_items(self) -> int:
        """Size of the catalogue; a few of its items may never be seen."""
        return max(8, round({"small": 4_000, "otto": OTTO.items}[self.preset] * self.scale))


@dataclass(frozen=True, slots=True)
class SynthSummary:
    """What was written: the file, the events of each type, and the shop's figures."""

    output: str
    bytes: int
    clicks: int
    carts: int
    orders: int
    figures: Figures

    def as_dict(self) -> dict[str, object]:
        """The counts by name, the figures, and those of OTTO, for JSON."""
        figures = self.figures
        return {
            "output": self.output,
            "bytes": self.bytes,
            "sessions": figures.sessions,
            "events": figures.events,
            "items": figures.items,
            "clicks": self.clicks,
            "carts": self.carts,
            "orders": self.orders,
            "first_ts": figures.first_ts,
            "last_ts": figures.last_ts,
            "figures": figures.as_dict(),
            "otto": OTTO.as_dict(),
        }


def generate(config: SynthConfig, output: Path, progress: Progress = no_progress) -> SynthSummary:
    """Write the shop of `config` to `output`.

    A name ending in ``.parquet`` gives Parquet in long form; ``.jsonl``, ``.jsonl.gz`` and ``.jsonl.zst`` give OTTO
    JSONL. Works through chunks of sessions, so memory does not grow with their number. The file appears when it is
    whole.

    Raises:
        InputError: `output` is a directory, its name tells no format, or it cannot be created.
        RunFailed: writing failed, such as on a full disk; an older file of that name is untouched.
    """
    shop = Shop.build(config.n_items, -(-config.days // 7), np.random.default_rng([config.seed, CATALOGUE_STREAM]))
    calendar = hourly_calendar(config.days)
    counter = Counter(len(shop), config.days)
    with duckdb.connect() as connection:
        ids = Ids(connection, shop.aids, config.ids, config.seed)
        with writing(output, ids) as writer:
            for start in range(0, config.n_sessions, SESSIONS_PER_CHUNK):
                chunk = _chunk(config, shop, calendar, start)
                writer.write(chunk)
                counter.add(chunk)
                progress("synth", min(start + SESSIONS_PER_CHUNK, config.n_sessions), config.n_sessions)
    clicks, carts, orders = counter.by_type()
    return SynthSummary(str(output), output.stat().st_size, clicks, carts, orders, counter.figures())


def _chunk(config: SynthConfig, shop: Shop, calendar: Floats, start: int) -> Chunk:
    """Sessions `start` and following, from their own random stream."""
    rng = np.random.default_rng([config.seed, start // SESSIONS_PER_CHUNK])
    n = min(SESSIONS_PER_CHUNK, config.n_sessions - start)
    # Ascending in time over the whole file, as in OTTO; the early start makes room for the visits that follow.
    begin = 1 - (1 - (start + np.arange(n) + rng.random(n)) / config.n_sessions) ** 0.73
    weeks = np.minimum(np.interp(begin, calendar, np.arange(len(calendar))) // (7 * 24), (config.days - 1) // 7)
    walked = walk(shop, session_lengths(n, rng), weeks.astype(np.int64), rng)
    return Chunk(start, walked, START_MS + event_times(walked, begin, calendar, rng))
