"""Lines of OTTO JSONL in their usual form, from bytes to columns; all other lines are left to a JSON reader."""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.types import Int64s, UInt8s

LEAST_EVENT_BYTES = 30
"""No event takes fewer: ``{"aid":1,"ts":1,"type":"carts"}`` has 31."""

_MOST_DIGITS = 18
"""Numbers of so many digits are within int64; longer ones are left to the JSON reader."""
_MOST_TIES = 64
"""Of so many events at one time it is looked whether two are equal; of more it is not known."""

_NEWLINE, _SPACE, _COMMA, _QUOTE = 10, 32, 44, 34
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = 123, 125, 91, 93
_SESSION = np.frombuffer(b'"session"', np.uint8)
_EVENTS = np.frombuffer(b'"events"', np.uint8)
_AID = np.frombuffer(b'"aid"', np.uint8)
_TS = np.frombuffer(b'"ts"', np.uint8)
_TYPE = np.frombuffer(b'"type"', np.uint8)
_CLICKS = np.frombuffer(b'clicks"', np.uint8)
_CARTS = np.frombuffer(b'carts"', np.uint8)
_ORDERS = np.frombuffer(b'orders"', np.uint8)

Scanned = tuple[Int64s, Int64s, Int64s, UInt8s, Int64s, int, bool]


# Each function below takes a place in the bytes and gives the one behind what it read, or -1 where that is not there.
# None looks beyond the newline at the end of the bytes: it stops at the first byte that is not the one due.


@njit(cache=True, nogil=True)
def _blank(data: UInt8s, i: int) -> int:
    while data[i] == _SPACE:
        i += 1
    return i


@njit(cache=True, nogil=True)
def _word(data: UInt8s, i: int, word: UInt8s) -> int:
    for j in range(len(word)):
        if data[i + j] != word[j]:
            return -1
    return i + len(word)


@njit(cache=True, nogil=True)
def _mark(data: UInt8s, i: int, mark: int) -> int:
    if data[i] == _SPACE:
        i = _blank(data, i)
    if data[i] != mark:
        return -1
    return i + 1 if data[i + 1] != _SPACE else _blank(data, i + 1)


@njit(cache=True, nogil=True)
def _key(data: UInt8s, i: int, key: UInt8s) -> int:
    i = _word(data, i, key)
    return i if i < 0 else _mark(data, i, 58)


@njit(cache=True, nogil=True)
def _number(data: UInt8s, i: int) -> tuple[np.int64, int]:
    start, value = i, np.int64(0)
    while 48 <= data[i] <= 57 and i - start <= _MOST_DIGITS:
        value = value * 10 + np.int64(data[i] - 48)
        i += 1
    digits = i - start
    if digits == 0 or digits > _MOST_DIGITS or (data[start] == 48 and digits > 1):
        return value, -1
    return value, i


@njit(cache=True, nogil=True)
def _type(data: UInt8s, i: int) -> tuple[int, int]:
    if data[i] != _QUOTE:
        return 0, -1
    if data[i + 1] == 111:
        return 2, _word(data, i + 1, _ORDERS)
    end = _word(data, i + 1, _CLICKS)
    return (0, end) if end >= 0 else (1, _word(data, i + 1, _CARTS))


@njit(cache=True, nogil=True)
def _event(data: UInt8s, i: int) -> tuple[np.int64, np.int64, int, int]:
    """Item, time and type of an event behind its brace, and the place behind its other brace."""
    aid, ts, kind = np.int64(0), np.int64(0), 0
    i = _key(data, i, _AID)
    if i >= 0:
        aid, i = _number(data, i)
    if i >= 0:
        i = _mark(data, i, _COMMA)
    if i >= 0:
        i = _key(data, i, _TS)
    if i >= 0:
        ts, i = _number(data, i)
    if i >= 0:
        i = _mark(data, i, _COMMA)
    if i >= 0:
        i = _key(data, i, _TYPE)
    if i >= 0:
        kind, i = _type(data, i)
    if i >= 0:
        i = _mark(data, i, _CLOSE)
    return aid, ts, kind, i


@njit(cache=True, nogil=True)
def _in_order(aids: Int64s, ts: Int64s, types: UInt8s, first: int, n: int) -> bool:
    """Whether event ``n`` is no earlier than the one before it in its session, and equal to none."""
    if n == first or ts[n] > ts[n - 1]:
        return True
    if ts[n] < ts[n - 1]:
        return False
    for other in range(n - 1, first - 1, -1):
        if ts[other] != ts[n]:
            return True
        if n - other > _MOST_TIES or (aids[other] == aids[n] and types[other] == types[n]):
            return False
    return True


@njit(cache=True, nogil=True)
def scan_lines(data: UInt8s, limits: Int64s, last_session: int | np.int64) -> Scanned:
    """Read the lines of the form ``{"session": N, "events": [{"aid": N, "ts": N, "type": "clicks"}, …]}``.

    Spaces may stand between the parts. A number is written without sign, fraction and leading zeros, of at most 18
    digits; a type is one of the three. Whatever else stands on a line makes it an odd one, all of it.

    Args:
        data: uint8, whole lines; the last byte is a newline.
        limits: int64, shape (4,): the newest time that is taken; the first and last of the times that are not; the
            longest line, in bytes.
        last_session: session of the line before; -1 where there is none.

    Returns:
        Of the events that were read: sessions, items and times (int64), types (uint8); then the odd lines, int64 of
        shape (n, 4): line from 0, start, end (without the newline) and the number of events read before it; the number
        of lines; and whether the events that were read ascend by (session, ts), each session on one line, and no two
        are equal.
    """
    most = len(data) // LEAST_EVENT_BYTES + 1
    sessions, aids, ts = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    types = np.empty(most, np.uint8)
    most_lines = 0
    for byte in data:
        most_lines += byte == _NEWLINE
    odd = np.empty((most_lines, 4), np.int64)
    n, n_odd, n_lines, start, ordered = 0, 0, 0, 0, True
    while start < len(data):
        first = n
        i = _blank(data, start)
        is_blank = data[i] == _NEWLINE
        session, in_order = np.int64(0), True
        i = -1 if is_blank else _mark(data, i, _OPEN)
        if i >= 0:
            i = _key(data, i, _SESSION)
        if i >= 0:
            session, i = _number(data, i)
        if i >= 0:
            i = _mark(data, i, _COMMA)
        if i >= 0:
            i = _key(data, i, _EVENTS)
        if i >= 0:
            i = _mark(data, i, _OPEN_LIST)
        while i >= 0:
            i = _mark(data, i, _OPEN)
            if i < 0:
                break
            aid, time, kind, i = _event(data, i)
            if i < 0:
                break
            if time <= 0 or time > limits[0] or limits[1] <= time <= limits[2]:
                i = -1
                break
            sessions[n], aids[n], ts[n], types[n] = session, aid, time, kind
            in_order = in_order and _in_order(aids, ts, types, first, n)
            n += 1
            if data[i] == _CLOSE_LIST:
                i = _mark(data, i, _CLOSE_LIST)
                break
            i = _mark(data, i, _COMMA)
        if i >= 0:
            i = _mark(data, i, _CLOSE)
        if i >= 0 and data[i] == _NEWLINE and i - start <= limits[3]:
            ordered = ordered and in_order and bool(session > last_session)
            last_session = session
            start = i + 1
        else:
            end = start
            while data[end] != _NEWLINE:
                end += 1
            n = first
            if not is_blank:
                odd[n_odd, 0], odd[n_odd, 1], odd[n_odd, 2], odd[n_odd, 3] = n_lines, start, end, n
                n_odd += 1
            start = end + 1
        n_lines += 1
    return sessions[:n], aids[:n], ts[:n], types[:n], odd[:n_odd], n_lines, ordered
