"""Recommendations for a file of sessions: a line in, a line out, in input order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from nextcart.errors import InputError, RunFailed
from nextcart.events.readers import read_sessions
from nextcart.models.received import session_batch
from nextcart.models.recommender import FALLBACKS, Recommender
from nextcart.types import Id, Mode, Objective, Progress, no_progress


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """Sessions answered, and how many of them got top sellers only, by reason."""

    sessions: int
    fallbacks: dict[str, int]


class Line(msgspec.Struct):
    """One line of the output."""

    session: Id
    items: list[Id]
    scores: list[float]


def recommend_file(
    recommender: Recommender,
    sessions: Path,
    output: Path | None,
    *,
    limit: int = 20,
    model: str | None = None,
    objective: Objective = "clicks",
    mode: Mode = "next",
    progress: Progress = no_progress,
    stdout: BinaryIO | None = None,
) -> BatchSummary:
    """Answer every session of an OTTO JSONL file; sessions and items need not be known.

    Every line is read before the first is answered, so that a bad one at the end costs no more than that, and nothing
    is written. A pipe can be read only once: what came before its bad line is in `stdout`.

    Args:
        recommender: the version to ask.
        sessions: plain, ``.gz`` or ``.zst``; an empty line is passed over.
        output: JSONL, written beside and renamed once it is whole; None writes to `stdout`.
        limit: items a session.
        model: None takes the version's default model.
        objective: what the items are for.
        mode: "next" or "discover".
        progress: told of sessions done.
        stdout: where the lines go without `output`.

    Raises:
        UnreadableInput: the file of sessions cannot be read.
        InputError: a line is no session, or its times are in seconds (names file and line); there is no session; there
            is no such model; or `output` is a directory. Nothing new stands at `output`.
        RunFailed: the output cannot be written.
    """
    encoder = msgspec.json.Encoder()
    counts = np.zeros(len(FALLBACKS), np.int64)
    total = _checked(sessions, progress) if sessions.is_file() else 0
    with _target(output, stdout) as target:
        for chunk in read_sessions(sessions):
            answer = recommender.recommend(
                session_batch(recommender.vocabulary, chunk), limit, model=model, objective=objective, mode=mode
            )
            counts += np.bincount(answer.fallback, minlength=len(FALLBACKS))
            for session, items, scores in zip(chunk, answer.ranked.items, answer.ranked.scores, strict=True):
                found = items >= 0
                line = Line(session.session, recommender.vocabulary.ids(items[found]), scores[found].tolist())
                target.write(encoder.encode(line) + b"\n")
            progress("recommending", int(counts.sum()), total)
        if not counts.any():
            raise _no_sessions(sessions)
    reasons = {str(name): int(count) for name, count in zip(FALLBACKS, counts, strict=True) if name and count}
    return BatchSummary(int(counts.sum()), reasons)


def _checked(sessions: Path, progress: Progress) -> int:
    """The number of sessions in a file whose every line is one."""
    found = 0
    for chunk in read_sessions(sessions):
        found += len(chunk)
        progress("checking", found, 0)
    if not found:
        raise _no_sessions(sessions)
    return found


def _no_sessions(file: Path) -> InputError:
    return InputError(f"{file}: holds no sessions, so there is nothing to answer; check that it is the right file")


@contextmanager
def _target(output: Path | None, stdout: BinaryIO | None) -> Iterator[BinaryIO]:
    """The stream to write to; a file appears only once it is whole."""
    if output is None:
        if stdout is None:
            raise InputError("neither an output file nor a stream was given; name one with --output")
        yield stdout
        return
    if output.is_dir():
        raise InputError(f"--output {output}: is a directory; name a file")
    beside = output.with_name(f".{output.name}.part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(output)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise RunFailed(
            f"--output {output}: cannot be written ({error.strerror}); free some space or name another file"
        ) from error
