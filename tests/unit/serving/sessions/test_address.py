"""The URL of the settings, and the credentials of the environment."""

from __future__ import annotations

import ssl

import pytest

from nextcart.config import SessionsConfig
from nextcart.errors import ConfigError
from nextcart.serving.sessions import MemorySessions, RedisSessions, open_sessions
from nextcart.serving.sessions.address import read_address

SECRET = "correct-horse-battery"  # noqa: S105 -- of a Redis that is not there


@pytest.mark.parametrize(
    ("url", "hosts", "database", "tls"),
    [
        ("redis://shop", (("shop", 6379),), 0, False),
        ("redis://127.0.0.1:7000/2", (("127.0.0.1", 7000),), 2, False),
        ("rediss://cache.example:6380/", (("cache.example", 6380),), 0, True),
        ("redis://[::1]:7000", (("::1", 7000),), 0, False),
    ],
)
def test_a_url_is_read(url: str, hosts: object, database: int, tls: bool) -> None:
    found = read_address(SessionsConfig(redis_url=url), {})
    assert (found.hosts, found.database, found.tls) == (hosts, database, tls)
    assert isinstance(found.context(), ssl.SSLContext) == tls


def test_several_sentinels_are_read_each_with_its_usual_port() -> None:
    config = SessionsConfig(redis_url="redis://a,b:7001,[::1]/3", redis_sentinel="shop")
    found = read_address(config, {})
    assert found.hosts == (("a", 26379), ("b", 7001), ("::1", 26379))
    assert str(found) == "redis://a:26379,b:7001,[::1]:26379/3"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis://",
        "http://shop:80",
        "redis://shop:port",
        "redis://shop:99999",
        "shop:6379",
        "redis://shop/x",
        "redis://a,b",
        "redis://shop?ssl_cert_reqs=none",
        "unix:///var/run/redis.sock",
    ],
)
def test_a_url_that_cannot_be_is_refused_with_what_can(url: str) -> None:
    with pytest.raises(ConfigError, match=r"redis_url.*(write redis://|go only with)"):
        read_address(SessionsConfig(redis_url=url), {})


@pytest.mark.parametrize("url", ["redis://shop:{}@h:1/0", "redis://:{}@h:1/0", "redis://:a/{}@h:1/0", "{}@h:1/0"])
def test_a_password_in_the_url_is_refused_and_not_told(url: str) -> None:
    with pytest.raises(ConfigError, match="NEXTCART_REDIS_PASSWORD") as caught:
        read_address(SessionsConfig(redis_url=url.format(SECRET)), {})
    assert SECRET not in str(caught.value)
    assert "h:1" in str(caught.value)


def test_user_and_password_come_from_the_environment_and_are_never_shown() -> None:
    environment = {"NEXTCART_REDIS_USERNAME": "shopkeeper", "NEXTCART_REDIS_PASSWORD": SECRET}
    found = read_address(SessionsConfig(redis_url="redis://shop"), environment)
    assert (found.username, found.password) == ("shopkeeper", SECRET)
    for text in (repr(found), str(found)):
        assert SECRET not in text
        assert "shopkeeper" not in text


def test_a_user_without_a_password_is_refused() -> None:
    with pytest.raises(ConfigError, match="set both"):
        read_address(SessionsConfig(redis_url="redis://shop"), {"NEXTCART_REDIS_USERNAME": "shopkeeper"})


def test_sessions_are_in_memory_until_a_redis_is_named() -> None:
    assert isinstance(open_sessions(SessionsConfig()), MemorySessions)
    assert isinstance(open_sessions(SessionsConfig(redis_url="redis://shop")), RedisSessions)
    assert isinstance(open_sessions(SessionsConfig(redis_url="redis://a,b", redis_cluster=True)), RedisSessions)


@pytest.mark.parametrize(
    "settings",
    [
        {"redis_sentinel": "shop"},
        {"redis_cluster": True},
        {"redis_url": "redis://a", "redis_sentinel": "shop", "redis_cluster": True},
        {"redis_url": "redis://a/1", "redis_cluster": True},
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"sessions"):
        open_sessions(SessionsConfig.model_validate(settings))
