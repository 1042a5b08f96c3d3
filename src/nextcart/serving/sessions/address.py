"""Where Redis is, and who asks: the URL of the settings, with user and password from the environment."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from nextcart.config import SessionsConfig
from nextcart.errors import ConfigError

USERNAME, PASSWORD = "NEXTCART_REDIS_USERNAME", "NEXTCART_REDIS_PASSWORD"
DEFAULT_PORT, SENTINEL_PORT = 6379, 26379
_FORM = "redis://host:6379/0 or rediss://host:6379/0; give several hosts as host:port,host:port"


@dataclass(frozen=True, slots=True)
class Address:
    """A Redis, or the Sentinels or nodes of one; its text never shows who asks.

    Attributes:
        hosts: host and port of each; more than one only with Sentinel or Cluster.
        database: the number of the database.
        tls: whether the connection is encrypted and the certificate checked, against the system's authorities or those
            of ``SSL_CERT_FILE``.
        username: None for the default user.
        password: None for none.
    """

    hosts: tuple[tuple[str, int], ...]
    database: int
    tls: bool
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{'rediss' if self.tls else 'redis'}://{hosts}/{self.database}"

    def context(self) -> ssl.SSLContext | None:
        """How to encrypt; None for not at all."""
        return ssl.create_default_context() if self.tls else None


def read_address(config: SessionsConfig, environment: Mapping[str, str] = os.environ) -> Address:
    """The address that the settings name.

    Raises:
        ConfigError: the URL cannot be used; the message never holds what stands before an ``@`` in it.
    """
    url = config.redis_url or ""
    scheme, _, rest = url.partition("://")
    netloc, _, path = rest.partition("/")
    if "@" in url:
        raise ConfigError(
            f"sessions.redis_url ***@{url.rsplit('@', 1)[1]} holds a user or a password; take them "
            f"out and set {USERNAME} and {PASSWORD} in the environment"
        )
    if scheme not in ("redis", "rediss") or not netloc or not (path.isdecimal() or not path):
        raise ConfigError(f"sessions.redis_url {url!r} is none of Redis; write {_FORM}")
    usual = SENTINEL_PORT if config.redis_sentinel else DEFAULT_PORT
    hosts = tuple(_host(part, usual, url) for part in netloc.split(","))
    if len(hosts) > 1 and not (config.redis_sentinel or config.redis_cluster):
        raise ConfigError(
            f"sessions.redis_url {url!r} names {len(hosts)} hosts; several go only with redis_sentinel or redis_cluster"
        )
    password = environment.get(PASSWORD) or None
    username = environment.get(USERNAME) or None
    if username and not password:
        raise ConfigError(f"{USERNAME} is set but {PASSWORD} is not; set both, or neither")
    return Address(hosts, int(path or 0), scheme == "rediss", username, password)


def _host(part: str, usual: int, url: str) -> tuple[str, int]:
    try:
        found = urlsplit(f"//{part}")
        port = found.port
    except ValueError:
        found, port = urlsplit("//"), None
    if not found.hostname or found.netloc != part:
        raise ConfigError(f"sessions.redis_url {url!r} has no host and port that can be read; write {_FORM}")
    return found.hostname, port or usual
