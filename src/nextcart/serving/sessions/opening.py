"""Which store the settings ask for."""

from __future__ import annotations

from functools import partial

from nextcart.config import SessionsConfig
from nextcart.errors import ConfigError
from nextcart.serving.sessions.address import read_address
from nextcart.serving.sessions.cluster import ClusterCommands
from nextcart.serving.sessions.commands import Commands
from nextcart.serving.sessions.link import Link
from nextcart.serving.sessions.memory import MemorySessions
from nextcart.serving.sessions.redis_store import OnCall, RedisSessions, ignore
from nextcart.serving.sessions.sentinel import find_master
from nextcart.serving.sessions.store import SessionStore


def open_sessions(config: SessionsConfig, on_call: OnCall = ignore) -> SessionStore:
    """A store as configured; nothing is connected to before the first call, which needs a running loop.

    Args:
        config: memory where it names no Redis.
        on_call: told of each call to Redis.

    Raises:
        ConfigError: the settings name a Redis that cannot be.
    """
    if config.redis_url is None:
        if config.redis_sentinel or config.redis_cluster:
            raise ConfigError("sessions has redis_sentinel or redis_cluster but no redis_url; set it too")
        return MemorySessions(config)
    return RedisSessions(config, _way_to_redis(config), on_call)


def _way_to_redis(config: SessionsConfig) -> Commands:
    address = read_address(config)
    timeout = config.timeout_ms / 1000
    if config.redis_sentinel and config.redis_cluster:
        raise ConfigError("sessions has both redis_sentinel and redis_cluster; a Cluster needs no Sentinel")
    if config.redis_cluster:
        if address.database:
            raise ConfigError("sessions.redis_url names a database, which a Cluster has none of; end it in /0")
        return ClusterCommands(address, timeout)
    if config.redis_sentinel:
        return Link(address, timeout, partial(find_master, address, config.redis_sentinel), must_be_master=True)
    return Link(address, timeout)
