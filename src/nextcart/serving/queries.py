"""The query's parameters of a request, decoded into a struct, and what is wrong with them said by name."""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from nextcart.serving.bodies import field_error
from nextcart.serving.lane import Call
from nextcart.serving.problems import invalid
from nextcart.serving.schemas import FieldError

T = TypeVar("T", bound=msgspec.Struct)

LISTS = ("exclude",)
"""Parameters that may be given many times."""


def decode_query(call: Call, struct: type[T]) -> T:
    """The parameters as a struct.

    Raises:
        Problem: 422, a parameter is unknown, is given twice, or is not what it should be, and which.
    """
    text = call.query
    if not text:
        return struct()
    values: dict[str, Any] = {}
    for name, value in parse_qsl(text.decode("latin-1"), keep_blank_values=True):
        if name in LISTS:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise invalid(FieldError(name, "is given twice; give it once"))
        else:
            values[name] = value
    try:
        return msgspec.convert(values, struct, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(field_error(str(error), struct, "parameter")) from None
