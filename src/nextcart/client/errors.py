"""What a call of the client may raise.

ClientError
├── ApiError      the service answered with a problem
├── Unreachable   no answer came
└── Unexpected    the answer is none that this client knows
"""

from __future__ import annotations

from collections.abc import Sequence

from nextcart.client.answers import FieldError
from nextcart.errors import NextcartError


class ClientError(NextcartError):
    """Base of all that a call may raise."""


class ApiError(ClientError):
    """The service answered with a problem (RFC 9457).

    Attributes:
        status: the HTTP status.
        kind: names the kind of problem, stable for programs, such as ``invalid-request``; ``http-502`` where another
            server than nextcart answered.
        detail: what is wrong, in words.
        errors: the fields that are wrong.
        request_id: of the request, as the service's log has it; None where it gave none.
        retry_after_seconds: how long the service asks to wait; None where it does not say.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{status} {kind}: {detail}")
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = tuple(errors)
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds


class Unreachable(ClientError):
    """No answer came: nobody listens, the connection broke, or it took too long."""


class Unexpected(ClientError):
    """The answer is none that this client knows: a newer service, or none of nextcart at all."""
