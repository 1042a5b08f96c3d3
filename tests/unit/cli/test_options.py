import pytest

from nextcart.cli.options import comma_list, mapping, one_of, valid
from nextcart.config import SplitConfig
from nextcart.errors import InputError


def test_a_comma_list():
    assert comma_list(None) is None
    assert comma_list("a, b,,c") == ["a", "b", "c"]


def test_a_mapping():
    assert mapping(None, "--types") == {}
    assert mapping("view = clicks,buy=orders", "--types") == {"view": "clicks", "buy": "orders"}


@pytest.mark.parametrize("text", ["view", "=clicks", "view=", " = "])
def test_half_a_pair_is_refused(text):
    with pytest.raises(InputError, match=r"--types: '.*' is no pair; write them as --types left=right,left=right"):
        mapping(text, "--types")


def test_one_name_with_two_meanings_is_refused():
    with pytest.raises(InputError, match="--types: 'view' stands twice; leave one of 'view=clicks' and 'view=carts'"):
        mapping("view=clicks,view=carts", "--types")


def test_one_of():
    assert one_of("next", ("next", "discover"), "--mode") == "next"
    with pytest.raises(InputError, match="--mode: 'nxt' is none of next, discover"):
        one_of("nxt", ("next", "discover"), "--mode")


def test_options_that_make_a_config():
    assert valid(SplitConfig, {"method": "days", "days": 3}) == SplitConfig(method="days", days=3)
    with pytest.raises(InputError, match=r"^--quantile: Input should be less than 1 \(got 2\)$"):
        valid(SplitConfig, {"quantile": 2})
