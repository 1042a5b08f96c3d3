"""Request bodies: read up to a cap, decoded into a struct, and what is wrong with them said field by field."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, TypeVar, get_args

import msgspec
from starlette.types import Message

from nextcart.config import ServingConfig
from nextcart.serving.lane import Call
from nextcart.serving.problems import Problem, invalid, malformed, too_large
from nextcart.serving.schemas import EARLIEST_MS, Event, FieldError, RecommendRequest, SimilarModel
from nextcart.types import Mode, Objective

T = TypeVar("T")

MAX_ECHO = 80
"""Characters of the client's own text that a message gives back."""

# Both read text that the client chose the better part of: neither may try one place of it more than once.
_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_NAMED_FIELD = re.compile(r"Object (?:contains )?(?P<what>unknown|missing required) field `(?P<name>.*)`", re.DOTALL)
_TOO_EARLY = f"Expected `int` >= {EARLIEST_MS}"
_CHOICES = {
    "type": get_args(Objective),
    "objective": get_args(Objective),
    "mode": get_args(Mode),
    "model": get_args(SimilarModel),
}
_OBJECTS: dict[str, type[msgspec.Struct]] = {"events": Event, "requests": RecommendRequest}


async def read_body(call: Call, max_bytes: int) -> bytes:
    """The body of a request, of which at most `max_bytes` and one network chunk are ever held.

    Raises:
        Problem: 413, the body is larger; a body that says so in its ``content-length`` is not read at all.
    """
    if call.body is not None:
        if len(call.body) > max_bytes:
            raise too_large(max_bytes)
        return call.body
    told = call.headers.get(b"content-length", b"")
    if told.isdigit() and int(told) > max_bytes:
        raise too_large(max_bytes)
    message = await call.receive()
    if not message.get("more_body", False) and len(message.get("body", b"")) <= max_bytes:
        _check_connected(message)
        body: bytes = message.get("body", b"")
        return body
    return await _read_on(call, message, max_bytes)


async def _read_on(call: Call, message: Message, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        _check_connected(message)
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise too_large(max_bytes)
        chunks.append(chunk)
        more = message.get("more_body", False)
        if more:
            message = await call.receive()
    return b"".join(chunks)


def _check_connected(message: Message) -> None:
    if message["type"] == "http.disconnect":
        raise Problem(400, "disconnected", "The client went away", "the body ended before its end")


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The body as a struct.

    Raises:
        Problem: 400, it is no JSON; 422, a field of it is wrong, and which.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise invalid(field_error(str(error), decoder.type)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(f"the body must be UTF-8 JSON: {error}") from None
    except RecursionError:
        raise malformed("the body is nested deeper than anything that is taken here") from None


def field_error(text: str, root: Any, word: str = "field") -> FieldError:
    """What msgspec says, as a field and a message: ``events[3].ts`` and ``expected int, got str``."""
    at = _PATH.search(text)
    path = at["path"].lstrip(".")[:MAX_ECHO] if at else ""
    message = text[: at.start()] if at else text
    named = _NAMED_FIELD.fullmatch(message)
    if named:
        field = f"{path}.{named['name'][:MAX_ECHO]}".lstrip(".")
        if named["what"] == "missing required":
            return FieldError(field, "is missing")
        return FieldError(field, f"no such {word}; there are {', '.join(_fields_at(path, root))}")
    if message.startswith("Invalid enum value"):
        return FieldError(path, f"must be one of {', '.join(_CHOICES[_last_name(path)])}")
    if message == _TOO_EARLY and _last_name(path) == "ts":
        return FieldError(path, f"below {EARLIEST_MS}, which looks like seconds; give Unix milliseconds")
    return FieldError(path, (message[:1].lower() + message[1:MAX_ECHO]).replace("`", ""))


def _last_name(path: str) -> str:
    """``events`` of ``requests[0].events[3]``."""
    return re.sub(r"\[[^]]*\]$", "", path.rsplit(".", 1)[-1])


def _fields_at(path: str, root: Any) -> tuple[str, ...]:
    struct: type[msgspec.Struct] = _OBJECTS.get(_last_name(path), root)
    return struct.__struct_fields__


def limit_errors(limit: int, config: ServingConfig, prefix: str = "") -> list[FieldError]:
    """Whether `limit` is within the configured bound."""
    if 1 <= limit <= config.max_limit:
        return []
    return [FieldError(f"{prefix}limit", f"must be from 1 to {config.max_limit}")]


def count_errors(field: str, count: int, most: int) -> list[FieldError]:
    """Whether a list of `count` entries is within its bound."""
    return [] if count <= most else [FieldError(field, f"has {count} entries; send at most {most}")]


def model_errors(model: str | None, models: Collection[str], prefix: str = "") -> list[FieldError]:
    """Whether the version has the model that is asked for."""
    if model is None or model in models:
        return []
    return [FieldError(f"{prefix}model", f"this version has no such model; it has {', '.join(models)}")]
