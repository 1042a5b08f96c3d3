"""What a ranker's kernels are, in plain Python: candidates, what is known of them, and sessions cut at a moment."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from nextcart.kernels.item_columns import SHRINKAGE
from nextcart.kernels.pair_columns import MOST_DWELL_SECONDS, NEVER, RANK_OFFSET
from tests.naive import DAY_MS, Event, Scores, Session, best

List = Sequence[tuple[int, float]]
"""Items and their scores, best first."""


def unite(
    session: Session,
    lists: Sequence[List],
    takes: Sequence[int],
    bits: Sequence[int],
    history_events: int,
    history_bit: int,
    max_candidates: int,
    banned: Collection[int] = (),
    allowed: Collection[int] | None = None,
) -> dict[int, int]:
    """The candidates in their order, and the bits of what brought each; none for a session without a known item."""
    if all(event.item < 0 for event in session):
        return {}
    last = session[max(0, len(session) - history_events) :]
    offers = [(event.item, history_bit) for event in reversed(last)]
    for each, take, bit in zip(lists, takes, bits, strict=True):
        offers += [(item, bit) for item, _ in each[:take]]
    found: dict[int, int] = {}
    for item, bit in offers:
        if item < 0 or item in banned or (allowed is not None and item not in allowed):
            continue
        if item in found:
            found[item] |= bit
        elif len(found) < max_candidates:
            found[item] = bit
    return found


def describe(
    session: Session, candidates: Sequence[int], lists: Sequence[List], item_columns: Sequence[Sequence[float]]
) -> list[list[float]]:
    """A row of features for each candidate."""
    blank = [0.0] * len(item_columns[0])
    newest = session[-1].item if session else -1
    of_last = list(item_columns[newest]) if newest >= 0 else blank
    rows = []
    for item in candidates:
        places = [{listed: (score, rank) for rank, (listed, score) in enumerate(each)} for each in lists]
        row: list[float] = [value for each in places for value in each.get(item, (0.0, NEVER))]
        ranks = [each[item][1] for each in places if item in each]
        row += [len(ranks), min(ranks, default=NEVER), sum(1 / (rank + RANK_OFFSET) for rank in ranks)]
        rows.append([*row, *_of_pair(session, item, candidates), *item_columns[item], *of_last, *_of_session(session)])
    return rows


def _of_pair(session: Session, item: int, candidates: Collection[int]) -> list[float]:
    places = [place for place, event in enumerate(session) if event.item == item]
    if not places:
        return [NEVER, NEVER, 1000 * NEVER, 0, NEVER, -1, 0, 0, 0, -1, 0]
    end, last = len(session) - 1, places[-1]
    dwells = [_dwell(session, place) for place in places if place < end]
    types = Counter(session[place].type for place in places)
    return [
        end - last,
        len({event.item for event in session[last + 1 :] if event.item in candidates}),
        (session[end].ts - session[last].ts) / 1000,
        len(places),
        end - places[0],
        session[last].type,
        types[1],
        types[2],
        sum(place > 0 and session[place - 1].item == session[end].item for place in places),
        dwells[-1] if dwells else -1,
        sum(dwells),
    ]


def _dwell(session: Session, place: int) -> float:
    return min((session[place + 1].ts - session[place].ts) / 1000, MOST_DWELL_SECONDS)


def _of_session(session: Session) -> list[float]:
    if not session:
        return [0] * 9
    distinct, last = len({event.item for event in session}), session[-1]
    before = session[-2] if len(session) > 1 else None
    return [
        len(session),
        distinct,
        last.type,
        (last.ts - before.ts) / 1000 if before else 0,
        (session[-2].ts - session[-3].ts) / 1000 if len(session) > 2 else 0,
        (last.ts - session[0].ts) / 1000,
        1 - distinct / len(session),
        bool(before and before.item == last.item),
        last.ts // 3_600_000 % 24,
    ]


def best_candidates(scores: Scores, bits: Mapping[int, int], k: int) -> list[tuple[int, float, int]]:
    """Item, score and bits of the best, padded to ``k``."""
    chosen = [(item, score, bits[item]) for item, score in best(scores, k)]
    return chosen + [(-1, 0.0, 0)] * (k - len(chosen))


# Sessions cut at a moment.


def heads(sessions: Sequence[Session], cut_ts: int, least: int) -> list[list[Event]]:
    """Of each session what comes before the cut; nothing where that is too little."""
    before = [[event for event in session if event.ts < cut_ts] for session in sessions]
    return [head if len(head) >= least else [] for head in before]


class Question(NamedTuple):
    session: int
    shown: int
    targets: set[int]


def questions(sessions: Sequence[Session], wanted: int, next_only: bool, last_positions: int) -> Iterator[Question]:
    """The positions that something is to be found after."""
    for number, session in enumerate(sessions):
        for shown in range(1, len(session)):
            if shown < len(session) - last_positions:
                continue
            later = session[shown : shown + 1] if next_only else session[shown:]
            targets = {event.item for event in later if event.item >= 0 and wanted in (event.type, -1)}
            if targets:
                yield Question(number, shown, targets)


# Items.


def item_columns(sessions: Sequence[Session], n_items: int) -> list[list[float]]:
    """What the events say of each item, in the order of `ITEM_COLUMNS`."""
    times = [event.ts for session in sessions for event in session]
    now, start = max(times, default=0), min(times, default=0)
    days = max(1.0, (now - start) / DAY_MS)
    of_item = [
        [(s, e) for s, session in enumerate(sessions) for e, event in enumerate(session) if event.item == item]
        for item in range(n_items)
    ]
    repeats = [sum(e > 0 and sessions[s][e - 1].item == item for s, e in own) for item, own in enumerate(of_item)]
    ends = [sum(e == len(sessions[s]) - 1 for s, e in own) for own in of_item]
    known = max(1, sum(map(len, of_item)))
    returns = [sum(_came_back(sessions[s], e) for s, e in own) for own in of_item]
    dwells = [[math.log1p(_dwell(sessions[s], e)) for s, e in own if e + 1 < len(sessions[s])] for own in of_item]
    usual_dwell = sum(map(sum, dwells)) / max(1, sum(map(len, dwells)))
    rows = []
    for own, repeated, ended, returned, dwelt in zip(of_item, repeats, ends, returns, dwells, strict=True):
        events = [sessions[s][e] for s, e in own]
        n, ages = len(events), [now - event.ts for event in events]
        within = [sum(age < window * DAY_MS for age in ages) for window in (1, 3, 7)]
        a_day = n / days + 0.1
        rows.append(
            [
                *(math.log1p(count) for count in (n, *within)),
                (within[0] + 0.1) / a_day,
                (within[1] / 3 + 0.1) / a_day,
                sum(event.type == 1 for event in events) / (n + SHRINKAGE),
                sum(event.type == 2 for event in events) / (n + SHRINKAGE),
                min(ages) / DAY_MS if ages else days,
                max(ages) / DAY_MS if ages else days,
                n / max(1, len({s for s, _ in own})),
                (repeated + SHRINKAGE * sum(repeats) / known) / (n + SHRINKAGE),
                (ended + SHRINKAGE * sum(ends) / known) / (n + SHRINKAGE),
                (returned + SHRINKAGE * sum(returns) / known) / (n + SHRINKAGE),
                (sum(dwelt) + SHRINKAGE * usual_dwell) / (len(dwelt) + SHRINKAGE),
            ]
        )
    return rows


def _came_back(session: Session, place: int) -> bool:
    item = session[place].item
    return any(event.item == item for event in session[:place]) and session[place - 1].item != item
