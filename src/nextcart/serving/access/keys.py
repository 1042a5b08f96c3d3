"""API keys: who asks, and what they may do.

``NEXTCART_API_KEYS`` holds ``name:scope+scope:secret``, several with commas. Two keys may have equal scopes, so that a
client changes to the new one before the old one goes. Secrets are kept as SHA-256 digests and never written anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Literal, get_args

from nextcart.errors import ConfigError
from nextcart.serving.problems import Problem

ENV = "NEXTCART_API_KEYS"
KeyScope = Literal["read", "events", "admin"]
SCOPES: tuple[KeyScope, ...] = get_args(KeyScope)
MIN_SECRET = 16
ANONYMOUS = "anonymous"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CHALLENGE = {"www-authenticate": 'Bearer realm="nextcart"'}
_MAKE_ONE = f"set {ENV}=name:read+events:secret in the server's environment"


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks.

    Attributes:
        name: the key's; "anonymous" without a key.
        scopes: what it may do; ``admin`` may do everything.
    """

    name: str
    scopes: frozenset[KeyScope]

    def may(self, needed: KeyScope) -> bool:
        """Whether it has the scope, by itself or by ``admin``."""
        return needed in self.scopes or "admin" in self.scopes


_ANYBODY = Client(ANONYMOUS, frozenset({"read"}))


def parse_keys(text: str) -> dict[bytes, Client]:
    """The keys of ``NEXTCART_API_KEYS``, by the digest of the secret.

    Raises:
        ConfigError: a key is not as it should be; the text names it and never shows a secret.
    """
    keys: dict[bytes, Client] = {}
    for place, part in enumerate(filter(None, map(str.strip, text.split(","))), 1):
        name, scopes, secret = _parts(part, place)
        if name in {client.name for client in keys.values()}:
            raise ConfigError(f"{ENV}: two keys are named '{name}'; give each a name of its own")
        digest = sha256(secret.encode()).digest()
        if digest in keys:
            raise ConfigError(f"{ENV}: '{name}' and '{keys[digest].name}' have the same secret; make another")
        keys[digest] = Client(name, scopes)
    return keys


def _parts(part: str, place: int) -> tuple[str, frozenset[KeyScope], str]:
    pieces = part.split(":", 2)
    # A piece of another form may be a secret: the error tells the key's place, never its text.
    if len(pieces) != 3 or not _NAME.fullmatch(pieces[0]):
        raise ConfigError(
            f"{ENV}: key {place} is not name:scope+scope:secret, with a name of letters, digits, '.', '_' and '-'"
        )
    name, listed, secret = pieces
    scopes = frozenset(scope for scope in SCOPES if scope in listed.split("+"))
    if len(scopes) != len(listed.split("+")):
        raise ConfigError(f"{ENV}: the scopes of '{name}' are not of {', '.join(SCOPES)}, joined by '+', each once")
    if len(secret) < MIN_SECRET or not secret.isascii() or not secret.isprintable():
        raise ConfigError(
            f"{ENV}: the secret of '{name}' is not {MIN_SECRET} or more printable ASCII characters; "
            "make one with: openssl rand -hex 24"
        )
    return name, scopes, secret


class Keys:
    """Tells who asks, from the request's headers.

    Args:
        keys: as `parse_keys` gives them.
        anonymous_read: whether what needs ``read`` needs no key.
    """

    def __init__(self, keys: Mapping[bytes, Client], *, anonymous_read: bool = True) -> None:
        self._keys: Sequence[tuple[bytes, Client]] = list(keys.items())
        self._anonymous_read = anonymous_read
        self._met: dict[bytes, Client] = {}

    def check(self, headers: Mapping[bytes, bytes], needed: KeyScope) -> Client:
        """The client, where it may do what it asks for.

        Args:
            headers: by lower-case name; ``X-API-Key: …`` or ``Authorization: Bearer …``.
            needed: the scope that the route needs.

        Raises:
            Problem: 401, no key or an unknown one; 403, the key lacks the scope.
        """
        secret = _secret(headers)
        if not self._keys:
            if needed == "read" and self._anonymous_read:
                return _ANYBODY
            raise _unauthorized(f"the server has no keys, and '{needed}' needs one: {_MAKE_ONE}")
        if secret is None:
            if needed == "read" and self._anonymous_read:
                return _ANYBODY
            raise _unauthorized(f"send a key with the scope '{needed}' as 'Authorization: Bearer …' or 'X-API-Key: …'")
        client = self._client(secret)
        if client is None:
            raise _unauthorized(f"the key is unknown; check it against {ENV} of the server")
        if not client.may(needed):
            detail = (
                f"the key '{client.name}' lacks the scope '{needed}'; add it in {ENV} of the server, or use another"
            )
            raise Problem(403, "forbidden", "The key may not do this", detail)
        return client

    def _client(self, secret: bytes) -> Client | None:
        # Looking a digest up tells an attacker nothing of use: who can choose digests can invert SHA-256.
        digest = sha256(secret).digest()
        known = self._met.get(digest)
        if known is not None:
            return known
        found = None
        for held, client in self._keys:
            if compare_digest(held, digest):
                found = client
        if found is not None:
            self._met[digest] = found
        return found


def _secret(headers: Mapping[bytes, bytes]) -> bytes | None:
    secret = headers.get(b"x-api-key")
    if secret is None:
        # Another scheme, such as Basic, is for a proxy in front and no key.
        given = headers.get(b"authorization", b"")
        if given[:7].lower() == b"bearer ":
            secret = given[7:].strip()
    return secret


def _unauthorized(detail: str) -> Problem:
    return Problem(401, "unauthorized", "A key is needed", detail, headers=_CHALLENGE)
