"""The log-bilinear model in numpy's float64, one event and one item after another; random numbers as the kernel's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

import numpy as np

from nextcart.kernels.log_bilinear import BLOCK, KINDS, PAUSES, WEIGHT_RATE, Parameters, Sample
from tests.naive import Event, Session, permitted

WORD = 2**64 - 1


def random_words(seed: int) -> Iterator[int]:
    """The states of xorshift64, from the fifth on."""
    state = (seed * 0x9E3779B97F4A7C15 + 1) & WORD
    drawn = 0
    while True:
        state ^= (state << 13) & WORD
        state ^= state >> 7
        state ^= (state << 17) & WORD
        drawn += 1
        if drawn > 4:
            yield state


def drawn_items(words: Iterator[int], sample: Sample) -> list[int]:
    """As many items as a sample has, from the alias table."""
    rows = []
    for _ in range(sample.size):
        word = next(words)
        row = ((word >> 33) * len(sample.keep)) >> 31
        rows.append(row if (word & 0xFFFFFF) / 2**24 < sample.keep[row] else int(sample.other[row]))
    return rows


def kinds(session: Sequence[Event]) -> list[int]:
    """Type and pause before each event: 0 for the first, else how many of 0, 3, 15, 63, … seconds it has reached."""
    bounds = [4**i - 1 for i in range(PAUSES - 1)]
    pauses = [sum(1000 * bound <= b.ts - a.ts for bound in bounds) for a, b in pairwise(session)]
    return [PAUSES * event.type + pause for event, pause in zip(session, [0, *pauses], strict=False)]


def no_kinds(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and vectors of kinds that change nothing."""
    return np.ones((KINDS, dim), np.float32), np.zeros((KINDS, dim), np.float32)


def train(
    events, places, items, kinds, parameters, squares, sample, rate, dropout, seed
) -> tuple[Parameters, Parameters]:
    """What `train_events` makes of parameters and squares, in float64."""
    learned = Parameters(*(np.array(array, np.float64) for array in parameters))
    sums = Parameters(*(np.array(array, np.float64) for array in squares))
    words = random_words(seed)
    for first in range(0, len(events), BLOCK):
        block = [
            (
                int(items[event]),
                [
                    (int(items[event - 1 - i]), int(kinds[event - 1 - i]))
                    for i in range(min(int(before), len(learned.weights)))
                ],
            )
            for event, before in zip(events[first : first + BLOCK], places[first : first + BLOCK], strict=True)
        ]
        _train_block(block, learned, sums, sample, rate, dropout, words)
    return learned, sums


def _train_block(block, learned: Parameters, sums: Parameters, sample, rate, dropout, words) -> None:
    vectors, biases, weights, kind_weights, kind_vectors = learned
    n_items, dim = vectors.shape
    whole = n_items <= sample.size + BLOCK
    rows = list(range(n_items)) if whole else drawn_items(words, sample) + [answer for answer, _ in block]
    before = vectors.copy()
    hidden = int(dropout * 2**24)
    of_columns, of_biases = np.zeros((len(rows), dim)), np.zeros(len(rows))
    backward = []
    for b, (answer, context) in enumerate(block):
        shown = np.array([0.0 if next(words) >> 40 < hidden else 1 / (1 - dropout) for _ in range(dim)])
        described = shown * sum(
            (
                weights[i] * kind_weights[kind] * (before[row] + kind_vectors[kind])
                for i, (row, kind) in enumerate(context)
            ),
            np.zeros(dim),
        )
        column = answer if whole else sample.size + b
        errors = _softmax(before[rows] @ described + biases[rows], rows, column, None if whole else sample)
        errors[column] -= 1
        of_columns += np.outer(errors, described)
        of_biases += errors
        backward.append(shown * (errors @ before[rows]))
    for row, gradient, of_bias in zip(rows, of_columns, of_biases, strict=True):
        _step(vectors[row], sums.vectors[row], gradient, rate, mean=True)
        _step(biases[row : row + 1], sums.biases[row : row + 1], np.array([of_bias]), rate)
    of_weights, of_kind_weights, of_kind_vectors = map(np.zeros_like, (weights, kind_weights, kind_vectors))
    for (_, context), gradient in zip(block, backward, strict=True):
        for i, (row, kind) in enumerate(context):
            vector = vectors[row] + kind_vectors[kind]
            of_weights[i] += kind_weights[kind] * vector * gradient
            of_kind_weights[kind] += weights[i] * vector * gradient
            step = gradient * weights[i] * kind_weights[kind]
            of_kind_vectors[kind] += step
            _step(vectors[row], sums.vectors[row], step, rate, mean=True)
    _step(weights, sums.weights, of_weights, WEIGHT_RATE * rate)
    _step(kind_weights, sums.kind_weights, of_kind_weights, WEIGHT_RATE * rate)
    _step(kind_vectors, sums.kind_vectors, of_kind_vectors, WEIGHT_RATE * rate)


def _softmax(scores, rows: list[int], column: int, sample: Sample | None) -> np.ndarray:
    """Over a sample: less the log of how often each is drawn, and without other draws of the answer."""
    if sample:
        scores = scores - sample.log_expected[rows].astype(np.float64)
        others = [m for m, row in enumerate(rows) if row == rows[column] and m != column]
        scores[others] = -np.inf
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def _step(values, sums, gradient, rate: float, *, mean: bool = False) -> None:
    """Adagrad, in place; with one sum a row of the mean square."""
    sums += (gradient**2).mean() if mean else gradient**2
    values -= rate * gradient / np.sqrt(sums)


def shares(session: Sequence[Event], parameters: Parameters) -> dict[int, np.ndarray]:
    """What each of the last events adds, by its index: its item's and kind's vectors times its place's and kind's."""
    exact = Parameters(*(np.asarray(array, np.float64) for array in parameters))
    last = list(enumerate(zip(session, kinds(session), strict=True)))[::-1][: len(exact.weights)]
    return {
        index: exact.weights[place] * exact.kind_weights[kind] * (exact.vectors[event.item] + exact.kind_vectors[kind])
        for place, (index, (event, kind)) in enumerate(last)
        if event.item >= 0
    }


def described(session: Sequence[Event], parameters: Parameters) -> np.ndarray:
    """The sum of what the last events add."""
    return sum(shares(session, parameters).values(), np.zeros(parameters.vectors.shape[1]))


def log_scores(
    session: Sequence[Event],
    parameters: Parameters,
    nearest,
    query_events: int,
    banned: Collection[int] = (),
    allowed: Collection[int] | None = None,
) -> dict[int, float]:
    """The product and bias of each item that is looked at; nothing for a session without known items."""
    last = [event.item for event in session[-len(parameters.weights) :]]
    own = {row for row in last if row >= 0}
    if not own:
        return {}
    near = {int(other) for row in last[-query_events:] if row >= 0 for other in nearest[row] if other >= 0}
    looked = own | near if allowed is None else set(allowed)
    of = described(session, parameters)
    scores = {row: float(parameters.vectors[row] @ of + np.float64(parameters.biases[row])) for row in looked}
    return permitted(scores, banned)


def mean_loss(sessions: Sequence[Sequence[Event]], parameters: Parameters) -> float:
    """Mean of -log probability of each event but the first, over all items."""
    losses = []
    for session in sessions:
        for i in range(1, len(session)):
            scores = parameters.vectors @ described(session[:i], parameters) + parameters.biases
            most = scores.max()
            losses.append(most + np.log(np.exp(scores - most).sum()) - scores[session[i].item])
    return float(np.mean(losses))


def learned_events(sessions: Sequence[Session], most: int) -> list[tuple[int, int]]:
    """Event and how many precede it, of as many of the newest sessions as pose no more than ``most``, or of one."""
    starts = np.cumsum([0, *map(len, sessions)]).tolist()
    chosen = [i for i, session in enumerate(sessions) if len(session) > 1]
    if sum(len(sessions[i]) - 1 for i in chosen) > most:
        newest = sorted(chosen, key=lambda i: (-sessions[i][-1].ts, i))
        chosen, left = [], most
        for i in newest:
            left -= len(sessions[i]) - 1
            if left < 0 and chosen:
                break
            chosen.append(i)
    return [(starts[i] + place, min(place, 255)) for i in sorted(chosen) for place in range(1, len(sessions[i]))]
