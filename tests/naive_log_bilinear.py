"""The log-bilinear model in numpy's float64, one event and one item after another; random numbers as the kernel's."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from nextcart.kernels.log_bilinear import BLOCK, WEIGHT_RATE, Parameters, Sample
from tests.naive import Session, permitted

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


def train(events, places, items, parameters, squares, sample, rate, dropout, seed) -> tuple[Parameters, Parameters]:
    """What `train_events` makes of parameters and squares, in float64."""
    learned = Parameters(*(np.array(array, np.float64) for array in parameters))
    sums = Parameters(*(np.array(array, np.float64) for array in squares))
    words = random_words(seed)
    for first in range(0, len(events), BLOCK):
        block = [
            (int(items[event]), [int(items[event - 1 - i]) for i in range(min(int(before), len(learned.weights)))])
            for event, before in zip(events[first : first + BLOCK], places[first : first + BLOCK], strict=True)
        ]
        _train_block(block, learned, sums, sample, rate, dropout, words)
    return learned, sums


def _train_block(block, learned: Parameters, sums: Parameters, sample, rate, dropout, words) -> None:
    vectors, biases, weights = learned
    n_items, dim = vectors.shape
    whole = n_items <= sample.size + BLOCK
    rows = list(range(n_items)) if whole else drawn_items(words, sample) + [answer for answer, _ in block]
    before = vectors.copy()
    hidden = int(dropout * 2**24)
    of_columns, of_biases = np.zeros((len(rows), dim)), np.zeros(len(rows))
    backward = []
    for b, (answer, context) in enumerate(block):
        shown = np.array([0.0 if next(words) >> 40 < hidden else 1 / (1 - dropout) for _ in range(dim)])
        described = shown * sum((weights[i] * before[row] for i, row in enumerate(context)), np.zeros(dim))
        column = answer if whole else sample.size + b
        errors = _softmax(before[rows] @ described + biases[rows], rows, column, None if whole else sample)
        errors[column] -= 1
        of_columns += np.outer(errors, described)
        of_biases += errors
        backward.append(shown * (errors @ before[rows]))
    for row, gradient, of_bias in zip(rows, of_columns, of_biases, strict=True):
        _step(vectors[row], sums.vectors[row], gradient, rate, mean=True)
        _step(biases[row : row + 1], sums.biases[row : row + 1], np.array([of_bias]), rate)
    of_weights = np.zeros_like(weights)
    for (_, context), gradient in zip(block, backward, strict=True):
        for i, row in enumerate(context):
            of_weights[i] += vectors[row] * gradient
            _step(vectors[row], sums.vectors[row], gradient * weights[i], rate, mean=True)
    _step(weights, sums.weights, of_weights, WEIGHT_RATE * rate)


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


def described(session: Sequence[int], vectors, weights) -> np.ndarray:
    """The sum of the last events' vectors, each times the weights of its place."""
    last = [(i, row) for i, row in enumerate(reversed(session)) if i < len(weights) and row >= 0]
    return sum((weights[i].astype(np.float64) * vectors[row] for i, row in last), np.zeros(vectors.shape[1]))


def log_scores(
    session: Sequence[int],
    parameters: Parameters,
    nearest,
    query_events: int,
    banned: Collection[int] = (),
    allowed: Collection[int] | None = None,
) -> dict[int, float]:
    """The product and bias of each item that is looked at; nothing for a session without known items."""
    vectors, biases, weights = parameters
    last = session[-len(weights) :]
    own = {row for row in last if row >= 0}
    if not own:
        return {}
    near = {int(other) for row in last[-query_events:] if row >= 0 for other in nearest[row] if other >= 0}
    looked = own | near if allowed is None else set(allowed)
    of = described(session, vectors, weights)
    scores = {row: float(vectors[row] @ of + np.float64(biases[row])) for row in looked}
    return permitted(scores, banned)


def mean_loss(sessions: Sequence[Sequence[int]], parameters: Parameters) -> float:
    """Mean of -log probability of each event but the first, over all items."""
    losses = []
    for session in sessions:
        for i in range(1, len(session)):
            scores = parameters.vectors @ described(session[:i], parameters.vectors, parameters.weights)
            scores = scores + parameters.biases
            most = scores.max()
            losses.append(most + np.log(np.exp(scores - most).sum()) - scores[session[i]])
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
