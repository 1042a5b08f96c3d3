from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.errors import ConfigError
from nextcart.serving.access import Client, Keys, parse_keys
from nextcart.serving.problems import Problem

SHOP, NEW_SHOP, FEED, BOSS = "shop-secret-0123", "shop-secret-4567", "feed:secret:0123", "admin-secret-012"
TEXT = f"shop:read:{SHOP},shop-2026:read+events:{NEW_SHOP}, feed:events:{FEED} ,boss:admin:{BOSS}"


def bearer(secret: str) -> dict[bytes, bytes]:
    return {b"authorization": f"Bearer {secret}".encode()}


def refused(keys: Keys, headers: dict[bytes, bytes], needed: str) -> Problem:
    with pytest.raises(Problem) as caught:
        keys.check(headers, needed)
    return caught.value


@pytest.fixture
def keys() -> Keys:
    return Keys(parse_keys(TEXT))


@pytest.mark.parametrize(
    ("secret", "may"),
    [
        (SHOP, {"read"}),
        (NEW_SHOP, {"read", "events"}),
        (FEED, {"events"}),
        (BOSS, {"read", "events", "admin"}),
    ],
)
def test_a_key_may_do_what_its_scopes_say_and_admin_everything(keys, secret, may):
    for needed in ("read", "events", "admin"):
        for headers in (
            bearer(secret),
            {b"x-api-key": secret.encode()},
            {b"authorization": b"bearer " + secret.encode()},
        ):
            if needed in may:
                assert keys.check(headers, needed).may(needed)
            else:
                problem = refused(keys, headers, needed)
                assert problem.status == 403
                assert needed in str(problem)
                assert secret not in str(problem)


def test_clients_are_told_apart_by_name(keys):
    names = [keys.check(bearer(secret), "read").name for secret in (SHOP, NEW_SHOP, BOSS, SHOP)]
    assert names == ["shop", "shop-2026", "boss", "shop"]


def test_reading_needs_no_key_unless_it_is_told_to(keys):
    assert keys.check({}, "read") == Client("anonymous", frozenset({"read"}))
    for headers, needed in (({}, "events"), ({}, "admin"), ({b"authorization": b"Basic eDp5"}, "events")):
        problem = refused(keys, headers, needed)
        assert problem.status == 401
        assert problem.headers == {"www-authenticate": 'Bearer realm="nextcart"'}
        assert "X-API-Key" in str(problem)
    strict = Keys(parse_keys(TEXT), anonymous_read=False)
    assert refused(strict, {}, "read").status == 401
    assert strict.check(bearer(SHOP), "read").name == "shop"


def test_an_unknown_key_is_told_even_where_none_is_needed(keys):
    for secret in ("shop-secret-0124", "", SHOP[:-1], SHOP + "x", SHOP.upper()):
        problem = refused(keys, bearer(secret), "read")
        assert problem.status == 401
        assert "unknown" in str(problem)


def test_a_server_without_keys_lets_read_and_says_how_to_do_more():
    keys = Keys(parse_keys(" "))
    assert keys.check({}, "read").name == "anonymous"
    assert keys.check(bearer("some client's key"), "read").name == "anonymous"
    for needed in ("events", "admin"):
        assert "set NEXTCART_API_KEYS" in str(refused(keys, bearer(SHOP), needed))
    assert "set NEXTCART_API_KEYS" in str(refused(Keys({}, anonymous_read=False), {}, "read"))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("only-a-very-long-secret", "key 1 is not name:scope"),
        (f"a:read:{SHOP},supersecretvalue99:read", "key 2 is not name:scope"),
        (f"bad name:read:{SHOP}", "key 1 is not name:scope"),
        (f":read:{SHOP}", "key 1 is not name:scope"),
        ("shop:read:fifteen-letters", "the secret of 'shop' is not 16"),
        ("shop:read:secret with ü inside", "printable ASCII"),
        (f"shop:write:{SHOP}", "the scopes of 'shop' are not of read, events, admin"),
        (f"shop:read+read:{SHOP}", "the scopes of 'shop'"),
        (f"shop::{SHOP}", "the scopes of 'shop'"),
        (f"shop:read:{SHOP},shop:read:{NEW_SHOP}", "two keys are named 'shop'"),
        (f"shop:read:{SHOP},other:read:{SHOP}", "the same secret"),
    ],
)
def test_a_wrong_setting_names_the_key_and_hides_the_secret(text, hint):
    with pytest.raises(ConfigError) as caught:
        parse_keys(text)
    message = str(caught.value)
    assert hint in message
    assert message.startswith("NEXTCART_API_KEYS: ")
    for secret in (SHOP, NEW_SHOP, "fifteen-letters", "supersecretvalue99", "only-a-very-long-secret", "ü inside"):
        assert secret not in message


def test_no_secret_is_held_or_shown(keys):
    held = repr(vars(keys))
    for secret in (SHOP, NEW_SHOP, FEED, BOSS):
        assert secret not in held


@given(st.binary(max_size=80))
def test_whatever_is_sent_is_a_401_or_a_client(sent):
    keys = Keys(parse_keys(TEXT))
    for headers in ({b"authorization": sent}, {b"x-api-key": sent}, {b"authorization": b"Bearer " + sent}):
        assert refused(keys, headers, "admin").status == 401
