"""Learning a log-bilinear model of sessions: which item comes after the last ones.

Mnih & Hinton 2007, "Three new graphical models for statistical language modelling", with a diagonal matrix a place as
in Mnih & Kavukcuoglu 2013, and one vector an item for both of its parts. The softmax is over a sample (Bengio & Senécal
2008), the steps are Adagrad's (Duchi et al. 2011), a rate a row.

One thread trains: the same seed gives the same bytes each time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from nextcart.kernels.skipgram import draw, next_random
from nextcart.types import Float32s, Int32s, Int64s, UInt8s

BLOCK = 32
"""Events that share one sample of items, and one step of them."""

WEIGHT_RATE = 0.1
"""Share of the learning rate by which the places' weights move: all events move the same few."""

IMPOSSIBLE = np.float32(-1e9)

PAUSES = 10
"""Kinds of pause before an event: none for a session's first, then below 3, 15, 63, … seconds, and so on by fours."""

KINDS = 3 * PAUSES
"""Kinds of events: their type, and the pause before them."""


class Parameters(NamedTuple):
    """What is learned, or sums of its squared gradients.

    Attributes:
        vectors: float32, shape (n_items, dim); of the sums (n_items, 1), a mean over the row.
        biases: float32, shape (n_items,).
        weights: float32, shape (context_events, dim), of the newest event's place first.
        kind_weights: float32, shape (KINDS, dim); an event's vector counts its place's weights times its kind's.
        kind_vectors: float32, shape (KINDS, dim), added to the item's vector.
    """

    vectors: Float32s
    biases: Float32s
    weights: Float32s
    kind_weights: Float32s
    kind_vectors: Float32s


class Sample(NamedTuple):
    """How items are drawn that an event is to be told from.

    Attributes:
        keep, other: as of `alias_table`.
        log_expected: float32, shape (n_items,), log of how often an item is drawn for a block.
        size: draws for a block.
    """

    keep: Float32s
    other: Int32s
    log_expected: Float32s
    size: int


@njit(cache=True, nogil=True)
def kinds_of(offsets: Int64s, ts: Int64s, types: UInt8s) -> UInt8s:
    """The kind of each event, uint8, shape (n_events,): ``type * PAUSES`` plus the kind of the pause before it."""
    kinds = np.empty(len(ts), np.uint8)
    for s in range(len(offsets) - 1):
        for e in range(offsets[s], offsets[s + 1]):
            pause = 0
            if e > offsets[s]:
                bound = 4_000
                pause = 1
                while pause < PAUSES - 1 and ts[e] - ts[e - 1] >= bound - 1_000:
                    bound *= 4
                    pause += 1
            kinds[e] = types[e] * PAUSES + pause
    return kinds


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def train_events(
    events: Int64s,
    places: UInt8s,
    items: Int32s,
    kinds: UInt8s,
    parameters: Parameters,
    squares: Parameters,
    sample: Sample,
    rate: float,
    dropout: float,
    seed: int,
) -> None:
    """Learn from each event once, in place: to tell its item from a sample's by the events before it.

    Where the sample would be no smaller than the catalogue, it is the catalogue.

    Args:
        events: places among ``items`` of the events to learn from, in the order of learning.
        places: so many events precede each in its session, 255 for more.
        items: dense item rows of all sessions, none negative, oldest first within a session.
        kinds: of all events, see `kinds_of`.
        parameters: what is learned.
        squares: the sums so far; positive.
        sample: how the other items are drawn.
        rate: learning rate.
        dropout: share of what describes a session that is hidden at each event; below 1.
        seed: of the draws.
    """
    n_items, dim = parameters.vectors.shape
    whole = n_items <= sample.size + BLOCK
    width = n_items if whole else sample.size + BLOCK
    rows = np.empty(width, np.int32)
    columns = np.empty((dim, width), np.float32)
    steps = np.empty((dim, width), np.float32)
    errors = np.empty((BLOCK, width), np.float32)
    described = np.empty((BLOCK, dim), np.float32)
    shown = np.empty((BLOCK, dim), np.float32)
    backward = np.empty((BLOCK, dim), np.float32)
    answers = np.empty(BLOCK, np.int64)
    state = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)
    for _ in range(4):
        state = next_random(state)
    if whole:
        rows[:] = np.arange(n_items)
    for first in range(0, len(events), BLOCK):
        block = events[first : first + BLOCK]
        before = places[first : first + BLOCK]
        used = width
        if whole:
            for b in range(len(block)):
                answers[b] = items[block[b]]
        else:
            state = draw(rows[: sample.size], sample.keep, sample.other, state)
            used = sample.size + len(block)
            for b in range(len(block)):
                answers[b] = sample.size + b
                rows[sample.size + b] = items[block[b]]
        for m in range(used):
            for d in range(dim):
                columns[d, m] = parameters.vectors[rows[m], d]
        state = _hide(shown[: len(block)], dropout, state)
        for b in range(len(block)):
            _describe(described[b], shown[b], items, kinds, block[b], before[b], parameters)
            _score(errors[b, :used], described[b], columns, rows, parameters.biases, sample.log_expected, whole)
            _to_errors(errors[b, :used], rows, answers[b])
        _carry_back(errors, described, columns, len(block), used, steps, backward)
        _step_items(rows[:used], steps, errors[: len(block)], parameters, squares, np.float32(rate))
        for b in range(len(block)):
            for d in range(dim):
                backward[b, d] *= shown[b, d]
        _step_sessions(block, before, items, kinds, backward, parameters, squares, np.float32(rate))


@njit(cache=True, nogil=True, inline="always")
def _hide(shown: Float32s, dropout: float, state: np.uint64) -> np.uint64:
    """Draw 0 for what is hidden, and for the rest what keeps the expected sum; the random state that follows."""
    bound = np.uint64(dropout * (1 << 24))
    kept = np.float32(1.0 / (1.0 - dropout))
    for b in range(shown.shape[0]):
        for d in range(shown.shape[1]):
            state = next_random(state)
            shown[b, d] = np.float32(0.0) if (state >> np.uint64(40)) < bound else kept
    return state


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _describe(
    out: Float32s, shown: Float32s, items: Int32s, kinds: UInt8s, event: int, before: int, parameters: Parameters
) -> None:
    """The sum of the events before one, each its item's and kind's vectors times both weights; times ``shown``."""
    out[:] = 0.0
    for place in range(min(before, len(parameters.weights))):
        e = event - 1 - place
        vector, weight = parameters.vectors[items[e]], parameters.weights[place]
        of_kind, factor = parameters.kind_vectors[kinds[e]], parameters.kind_weights[kinds[e]]
        for d in range(len(out)):
            out[d] += weight[d] * factor[d] * (vector[d] + of_kind[d])
    for d in range(len(out)):
        out[d] *= shown[d]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _score(
    scores: Float32s,
    described: Float32s,
    columns: Float32s,
    rows: Int32s,
    biases: Float32s,
    log_expected: Float32s,
    whole: bool,
) -> None:
    """Of each item of the sample: product with the session, and bias; less the log of how often it is drawn."""
    for m in range(len(scores)):
        scores[m] = biases[rows[m]]
        if not whole:
            scores[m] -= log_expected[rows[m]]
    for d in range(len(described)):
        value, column = described[d], columns[d]
        if value != 0.0:
            for m in range(len(scores)):
                scores[m] += value * column[m]


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _to_errors(scores: Float32s, rows: Int32s, answer: int) -> None:
    """In place: the softmax, less 1 at the answer; other draws of the answer's item have no part in it."""
    for m in range(len(scores)):
        if rows[m] == rows[answer] and m != answer:
            scores[m] = IMPOSSIBLE
    most = scores.max()
    total = np.float32(0.0)
    for m in range(len(scores)):
        scores[m] = np.exp(scores[m] - most)
        total += scores[m]
    for m in range(len(scores)):
        scores[m] /= total
    scores[answer] -= np.float32(1.0)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _carry_back(
    errors: Float32s, described: Float32s, columns: Float32s, n: int, used: int, steps: Float32s, backward: Float32s
) -> None:
    """The gradients of the sample's vectors, shape (dim, used), and of what describes the sessions, (n, dim)."""
    for d in range(len(columns)):
        column, step = columns[d], steps[d]
        for m in range(used):
            step[m] = 0.0
        for b in range(n):
            value, error = described[b, d], errors[b]
            total = np.float32(0.0)
            for m in range(used):
                step[m] += value * error[m]
                total += error[m] * column[m]
            backward[b, d] = total


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _step_items(
    rows: Int32s, steps: Float32s, errors: Float32s, parameters: Parameters, squares: Parameters, rate: np.float32
) -> None:
    """Move the sample's vectors and biases."""
    dim = len(steps)
    for m in range(len(rows)):
        row = rows[m]
        total, bias = np.float32(0.0), np.float32(0.0)
        for b in range(len(errors)):
            bias += errors[b, m]
        for d in range(dim):
            total += steps[d, m] * steps[d, m]
        squares.vectors[row, 0] += total / np.float32(dim)
        squares.biases[row] += bias * bias
        pace = rate / np.sqrt(squares.vectors[row, 0])
        for d in range(dim):
            parameters.vectors[row, d] -= pace * steps[d, m]
        parameters.biases[row] -= rate * bias / np.sqrt(squares.biases[row])


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _step_sessions(
    block: Int64s,
    before: UInt8s,
    items: Int32s,
    kinds: UInt8s,
    backward: Float32s,
    parameters: Parameters,
    squares: Parameters,
    rate: np.float32,
) -> None:
    """Move the vectors of the events before each, and, once, the weights of the places and what the kinds have."""
    context, dim = parameters.weights.shape
    step = np.empty(dim, np.float32)
    of_weights = np.zeros((context, dim), np.float32)
    of_kind_weights = np.zeros((KINDS, dim), np.float32)
    of_kind_vectors = np.zeros((KINDS, dim), np.float32)
    for b in range(len(block)):
        for place in range(min(before[b], context)):
            e = block[b] - 1 - place
            row, kind = items[e], kinds[e]
            total = np.float32(0.0)
            for d in range(dim):
                factor, weight = parameters.kind_weights[kind, d], parameters.weights[place, d]
                felt = (parameters.vectors[row, d] + parameters.kind_vectors[kind, d]) * backward[b, d]
                of_weights[place, d] += factor * felt
                of_kind_weights[kind, d] += weight * felt
                step[d] = backward[b, d] * weight * factor
                of_kind_vectors[kind, d] += step[d]
                total += step[d] * step[d]
            squares.vectors[row, 0] += total / np.float32(dim)
            pace = rate / np.sqrt(squares.vectors[row, 0])
            for d in range(dim):
                parameters.vectors[row, d] -= pace * step[d]
    slow = np.float32(WEIGHT_RATE) * rate
    _step_all(parameters.weights, squares.weights, of_weights, slow)
    _step_all(parameters.kind_weights, squares.kind_weights, of_kind_weights, slow)
    _step_all(parameters.kind_vectors, squares.kind_vectors, of_kind_vectors, slow)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _step_all(values: Float32s, squares: Float32s, gradients: Float32s, rate: np.float32) -> None:
    """Move every value by its gradient, both of shape (n, dim)."""
    for i in range(len(values)):
        for d in range(values.shape[1]):
            gradient = gradients[i, d]
            squares[i, d] += gradient * gradient
            values[i, d] -= rate * gradient / np.sqrt(squares[i, d])
