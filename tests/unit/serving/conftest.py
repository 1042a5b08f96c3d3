from __future__ import annotations

import pytest

from tests.unit.serving.fakes import Client, Shop, make_shop


@pytest.fixture
def shop() -> Shop:
    return make_shop()


@pytest.fixture
def client(shop: Shop) -> Client:
    return shop.client
