"""Events and shown lists as MessagePack bytes: a sixth of what they take as objects, and nothing for the collector.

An event is ``[aid, ts, type]``, 16 bytes for an OTTO id. Equal events are equal bytes, so that Redis can compare them.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from msgspec.msgpack import Decoder, Encoder, Ext

from nextcart.serving.schemas import Event
from nextcart.serving.sessions.store import Shown
from nextcart.types import TYPE_NAMES, EventType, Id

_LARGE_INT = 1
"""The extension type of an integer past 64 bits, which MessagePack has none for: its bytes, big-endian."""
_NUMBERS = {name: kind.value for name, kind in zip(TYPE_NAMES, EventType, strict=True)}

_encode = Encoder().encode


def _from_extension(_: int, data: memoryview) -> int:
    return int.from_bytes(data, "big", signed=True)


_TypeNumber = Annotated[int, Meta(ge=0, lt=len(TYPE_NAMES))]
_decode_events = Decoder(list[tuple[Any, int, _TypeNumber]], ext_hook=_from_extension).decode
_decode_shown = Decoder(tuple[str, str, str, list[Any]], ext_hook=_from_extension).decode


def pack(event: Event) -> bytes:
    """One event; those of a session may be joined."""
    try:
        return _encode((event.aid, event.ts, _NUMBERS[event.type]))
    except OverflowError:
        return _encode((_fitting(event.aid), event.ts, _NUMBERS[event.type]))


def unpack(count: int, packed: bytes) -> list[Event]:
    """The events of ``count`` that were joined.

    Raises:
        msgspec.MsgspecError: the bytes are none of `pack`.
    """
    found = _decode_events(b"\xdd" + count.to_bytes(4, "big") + packed)
    return [Event(aid, ts, TYPE_NAMES[number]) for aid, ts, number in found]


def pack_shown(shown: Shown) -> bytes:
    """A shown list."""
    head = (shown.request_id, shown.version, shown.objective)
    try:
        return _encode((*head, shown.aids))
    except OverflowError:
        return _encode((*head, [_fitting(aid) for aid in shown.aids]))


def unpack_shown(packed: bytes) -> Shown:
    """What `pack_shown` packed.

    Raises:
        msgspec.MsgspecError: the bytes are none of `pack_shown`.
    """
    return Shown(*_decode_shown(packed))


def _fitting(aid: Id) -> Id | Ext:
    if isinstance(aid, str) or -(2**63) <= aid < 2**64:
        return aid
    return Ext(_LARGE_INT, aid.to_bytes(aid.bit_length() // 8 + 1, "big", signed=True))
