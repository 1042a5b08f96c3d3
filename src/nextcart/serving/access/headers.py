"""Headers that keep browsers from doing more with an answer than was meant."""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from nextcart.config import AccessConfig

SECURITY_HEADERS = (
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
    (
        "content-security-policy",
        # The page at /docs alone runs anything: its own files, and the few lines that start them.
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
"""On every answer; uvicorn's ``headers``."""


def with_cors(app: ASGIApp, config: AccessConfig) -> ASGIApp:
    """`app`, open to the pages of ``access.cors_origins``; as it is where there are none."""
    if not config.cors_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=config.cors_origins,
        allow_methods=("GET", "POST", "PUT", "DELETE"),
        allow_headers=("authorization", "content-type", "x-api-key", "x-request-id"),
        expose_headers=("x-request-id", "retry-after"),
        max_age=600,
    )
