import msgspec
import pytest

from nextcart.serving.rules.document import MAX_IDS, NO_RULES, Boost, Pin, Rules, RulesRefused, check, parse

WHOLE = b'{"version": 7, "block": [1, 2], "pin": [{"aid": 3, "position": 1}], "boost": [{"aid": 4, "factor": 0.5}]}'


def test_a_document_is_read_whole():
    assert parse(WHOLE) == Rules(7, [1, 2], [Pin(3, 1)], [Boost(4, 0.5)])
    assert parse(b'{"version": 0}') == NO_RULES
    assert parse(msgspec.json.encode(parse(WHOLE))) == parse(WHOLE)


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        (b"", "", "not JSON in UTF-8"),
        (b'{"version": 7', "", "not JSON in UTF-8"),
        (b'{"version": 1, "block": ["\xff"]}', "", "not JSON in UTF-8"),
        (b"[]", "", "expected 'object'"),
        (b"{}", "", "missing required field 'version'"),
        (b'{"version": -1}', "version", ">= 0"),
        (b'{"version": 1, "blocked": []}', "", "unknown field 'blocked'"),
        (b'{"version": 1, "block": [1, null]}', "block[1]", "got 'null'"),
        (b'{"version": 1, "block": [1.5]}', "block[0]", "got 'float'"),
        (b'{"version": 1, "pin": [{"aid": 1, "position": 0}]}', "pin[0].position", ">= 1"),
        (b'{"version": 1, "pin": [{"aid": 1}]}', "pin[0]", "missing required field 'position'"),
        (b'{"version": 1, "boost": [{"aid": 1, "factor": 0}]}', "boost[0].factor", ">= 1e-06"),
        (b'{"version": 1, "boost": [{"aid": 1, "factor": -2.5}]}', "boost[0].factor", ">= 1e-06"),
        (b'{"version": 1, "boost": [{"aid": 1, "factor": 1e300}]}', "boost[0].factor", "<= 1000000.0"),
        (b'{"version": 1, "boost": [{"aid": 1, "factor": 1e999}]}', "boost[0].factor", "out of range"),
        (b'{"version": 1, "boost": [{"aid": 1, "factor": NaN}]}', "", "not JSON in UTF-8"),
        (b'{"version": 1, "boost": [{"aid": true, "factor": 1}]}', "boost[0].aid", "got 'bool'"),
    ],
)
def test_what_the_types_refuse_is_named(text, field, reason):
    with pytest.raises(RulesRefused, match="it") as caught:
        parse(text)
    assert caught.value.field == field
    assert reason in caught.value.reason
    assert str(caught.value) == (f"{field}: {caught.value.reason}" if field else caught.value.reason)


@pytest.mark.parametrize(
    ("rules", "id_type", "field", "reason"),
    [
        (Rules(-1), None, "version", "counts from 0"),
        (Rules(1, pin=[Pin(1, 0)]), None, "pin[0].position", "first position is 1"),
        (Rules(1, pin=[Pin(1, 2), Pin(5, 3), Pin(7, 2)]), None, "pin[2].position", r"2 is taken by pin\[0\]"),
        (Rules(1, pin=[Pin(1, 2), Pin(1, 3)]), None, "pin[1].aid", r"pin\[0\]"),
        (Rules(1, boost=[Boost(1, 2.0), Boost(1, 3.0)]), None, "boost[1].aid", r"boost\[0\]"),
        (Rules(1, boost=[Boost(1, float("inf"))]), None, "boost[0].factor", "from 1e-06 to 1000000.0"),
        (Rules(1, boost=[Boost(1, float("nan"))]), None, "boost[0].factor", "from 1e-06 to 1000000.0"),
        (Rules(1, boost=[Boost(1, 0.0)]), None, "boost[0].factor", "from 1e-06 to 1000000.0"),
        (Rules(1, [4, "shoe"]), "int64", "block[1]", "must be an integer"),
        (Rules(1, ["shoe", 4]), "string", "block[1]", "must be a string"),
        (Rules(1, pin=[Pin("shoe", 1)]), "int64", "pin[0].aid", "must be an integer"),
        (Rules(1, boost=[Boost(1, 2.0)]), "string", "boost[0].aid", "must be a string"),
        (Rules(1, list(range(MAX_IDS)), [Pin(1, 1)]), None, "", "1000001 items in all; at most 1000000"),
    ],
)
def test_what_the_types_do_not_say_is_checked(rules, id_type, field, reason):
    with pytest.raises(RulesRefused, match=reason) as caught:
        check(rules, id_type)
    assert caught.value.field == field


@pytest.mark.parametrize("id_type", ["int64", None])
def test_good_rules_pass(id_type):
    check(parse(WHOLE), id_type)
    check(Rules(1, [1, 1, 1]), id_type)
    check(Rules(1, list(range(MAX_IDS))), id_type)
    check(Rules(1, [10**30]), id_type)
