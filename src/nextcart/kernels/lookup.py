"""Finding the dense row of an id: an open-addressing table of rows, over int64 ids or fixed-width bytes."""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.types import Int32s, Int64s, UInt8s

EMPTY = -1


@njit(cache=True, nogil=True)
def _hash_int(value: int | np.int64) -> np.int64:
    """The finaliser of splitmix64 (Steele et al. 2014): neighbouring ids land far apart."""
    z = np.uint64(value) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.int64((z ^ (z >> np.uint64(31))) >> np.uint64(1))


@njit(cache=True, nogil=True)
def _hash_bytes(value: UInt8s) -> np.int64:
    """FNV-1a, 64 bits, over the bytes before the first NUL."""
    z = np.uint64(0xCBF29CE484222325)
    for byte in value:
        if byte == 0:
            break
        z = (z ^ np.uint64(byte)) * np.uint64(0x100000001B3)
    return _hash_int(np.int64(z >> np.uint64(1)))


@njit(cache=True, nogil=True)
def _same_bytes(a: UInt8s, b: UInt8s) -> bool:
    """Whether two NUL-padded texts are equal; their widths may differ."""
    for i in range(max(len(a), len(b))):
        left = a[i] if i < len(a) else np.uint8(0)
        right = b[i] if i < len(b) else np.uint8(0)
        if left != right:
            return False
        if left == 0:
            break
    return True


@njit(cache=True, nogil=True)
def int_table(ids: Int64s) -> Int32s:
    """The table of distinct int64 ids, at a load of at most a half."""
    size = 16
    while size < 2 * len(ids):
        size *= 2
    slots = np.full(size, EMPTY, np.int32)
    for row in range(len(ids)):
        slot = _hash_int(ids[row]) & (size - 1)
        while slots[slot] != EMPTY:
            slot = (slot + 1) & (size - 1)
        slots[slot] = row
    return slots


@njit(cache=True, nogil=True)
def find_ints(slots: Int32s, ids: Int64s, wanted: Int64s) -> Int32s:
    """The row of each wanted id, `EMPTY` where it is not held."""
    mask = len(slots) - 1
    rows = np.empty(len(wanted), np.int32)
    for i in range(len(wanted)):
        slot = _hash_int(wanted[i]) & mask
        while slots[slot] != EMPTY and ids[slots[slot]] != wanted[i]:
            slot = (slot + 1) & mask
        rows[i] = slots[slot]
    return rows


@njit(cache=True, nogil=True)
def bytes_table(ids: UInt8s) -> Int32s:
    """The table of distinct NUL-padded texts, shape (n, width)."""
    size = 16
    while size < 2 * len(ids):
        size *= 2
    slots = np.full(size, EMPTY, np.int32)
    for row in range(len(ids)):
        slot = _hash_bytes(ids[row]) & (size - 1)
        while slots[slot] != EMPTY:
            slot = (slot + 1) & (size - 1)
        slots[slot] = row
    return slots


@njit(cache=True, nogil=True)
def find_bytes(slots: Int32s, ids: UInt8s, wanted: UInt8s) -> Int32s:
    """The row of each wanted text, `EMPTY` where it is not held; the widths of both sides may differ."""
    mask = len(slots) - 1
    rows = np.empty(len(wanted), np.int32)
    for i in range(len(wanted)):
        slot = _hash_bytes(wanted[i]) & mask
        while slots[slot] != EMPTY and not _same_bytes(ids[slots[slot]], wanted[i]):
            slot = (slot + 1) & mask
        rows[i] = slots[slot]
    return rows


@njit(cache=True, nogil=True)
def pad_texts(offsets: Int64s, data: UInt8s, width: int) -> UInt8s:
    """Texts as offsets and bytes become NUL-padded rows (n, width); a text longer than the width is cut."""
    out = np.zeros((len(offsets) - 1, width), np.uint8)
    for i in range(len(offsets) - 1):
        for j in range(min(width, offsets[i + 1] - offsets[i])):
            out[i, j] = data[offsets[i] + j]
    return out


@njit(cache=True, nogil=True)
def in_order(offsets: Int64s, ts: Int64s) -> bool:
    """Whether the times of each session never fall."""
    for s in range(len(offsets) - 1):
        for e in range(offsets[s] + 1, offsets[s + 1]):
            if ts[e] < ts[e - 1]:
                return False
    return True
