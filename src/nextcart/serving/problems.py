"""Problems as RFC 9457 documents: what went wrong, in which field, and nothing of the inside of the server."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from nextcart.errors import InputError
from nextcart.serving.schemas import FieldError, ProblemDocument

MEDIA_TYPE = "application/problem+json"
_encoder = msgspec.json.Encoder()


class Problem(InputError):
    """A request cannot be answered; becomes a problem document.

    Attributes:
        status: the HTTP status.
        kind: the last part of the document's ``type``, stable for programs.
        title: the kind in words.
        errors: the fields that are wrong.
        headers: further response headers.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.errors = list(errors)
        self.headers = headers

    def document(self, path: str) -> bytes:
        """The problem as an answer to a request for `path`."""
        document = ProblemDocument(
            type=f"urn:nextcart:problem:{self.kind}",
            title=self.title,
            status=self.status,
            detail=str(self),
            instance=path,
            errors=self.errors,
        )
        return _encoder.encode(document)

    def response(self, path: str) -> Response:
        """The same as FastAPI's answer."""
        return Response(self.document(path), self.status, self.headers, MEDIA_TYPE)


def invalid(*errors: FieldError) -> Problem:
    """422: the request reads well, but fields of it are wrong."""
    detail = "; ".join(f"{error.field}: {error.message}" if error.field else error.message for error in errors)
    return Problem(422, "invalid-request", "The request is not valid", detail, errors=errors)


def malformed(detail: str) -> Problem:
    """400: the body is no JSON."""
    return Problem(400, "malformed-json", "The body is not JSON", detail)


def too_large(max_bytes: int) -> Problem:
    """413: the body is larger than the server reads."""
    return Problem(413, "body-too-large", "The body is too large", f"send at most {max_bytes} bytes in one request")


def not_ready(reason: str) -> Problem:
    """503: no model is loaded and warm yet."""
    return Problem(503, "not-ready", "The model is not ready", reason, headers={"retry-after": "1"})


def bug() -> Problem:
    """500: the server failed; of the reason the client gets nothing."""
    detail = "the server failed on this request; its log says why"
    return Problem(500, "internal-error", "Internal server error", detail)


def install_handlers(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_bad_parameter)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_bug)


# Starlette asks for handlers of the widest type, hence the checks that narrow it.
async def _on_problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, Problem):
        raise error
    return error.response(request.url.path)


async def _on_bad_parameter(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [FieldError(_parameter(problem["loc"]), _message(problem)) for problem in error.errors()]
    return invalid(*errors).response(request.url.path)


def _parameter(loc: Sequence[str | int]) -> str:
    """``limit`` of ``("query", "limit")``, ``exclude[1]`` of ``("query", "exclude", 1)``."""
    return "".join(f"[{part}]" if isinstance(part, int) else str(part) for part in loc[1:])


def _message(problem: dict[str, object]) -> str:
    if problem["type"] == "extra_forbidden":
        return "no such parameter; /docs lists those there are"
    text = str(problem["msg"])
    return text[:1].lower() + text[1:]


async def _on_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    path = request.url.path
    title = HTTPStatus(error.status_code).phrase
    kind = title.lower().replace(" ", "-")
    detail = {
        404: "no such route; /docs lists those there are",
        405: f"{request.method} is not answered here; /docs lists what is",
    }.get(error.status_code, title)
    headers = dict(error.headers) if error.headers else None
    return Problem(error.status_code, kind, title, detail, headers=headers).response(path)


async def _on_bug(request: Request, error: Exception) -> Response:
    # The server logs the exception itself; its text may hold what the visitor sent, so the client gets none of it.
    del error
    return bug().response(request.url.path)
