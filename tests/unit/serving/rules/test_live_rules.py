import json
import logging
import os
import threading

import msgspec
import numpy as np
import pytest

from nextcart.config import TopSellersConfig
from nextcart.models.recommender import Recommender
from nextcart.models.rules import RowRules
from nextcart.models.top_sellers import TopSellers
from nextcart.models.vocabulary import Vocabulary
from nextcart.serving.rules import Boost, LiveRules, Pin, Rules, RulesConflict, RulesNotKept, RulesRefused, live
from nextcart.serving.rules.document import NO_RULES
from nextcart.serving.rules.files import KEPT, RulesFiles


def recommender_of(*ids: int | str) -> Recommender:
    """A catalogue of the given items, and top sellers that have none."""
    if isinstance(ids[0], int):
        vocabulary = Vocabulary("int64", np.array(ids, np.int64), np.ones(len(ids), np.int64))
    else:
        column = np.array([str(each).encode() for each in ids])
        matrix = column.view(np.uint8).reshape(len(ids), -1)
        vocabulary = Vocabulary("string", matrix, np.ones(len(ids), np.int64))
    scores = {name: np.zeros(len(ids)) for name in ("overall", "clicks", "carts", "orders")}
    return Recommender(vocabulary, {"top_sellers": TopSellers.from_scores(TopSellersConfig(), scores)})


@pytest.fixture
def shop() -> Recommender:
    return recommender_of(10, 20, 30, 40)


def put(folder, document: dict | bytes) -> None:
    """Write the file as a person does: in place."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    (folder / "rules.json").write_bytes(data)


def history(folder) -> dict[str, int]:
    """The names in the history and how many items each blocks."""
    return {
        file.name: len(json.loads(file.read_text())["block"]) for file in sorted((folder / "rules-history").iterdir())
    }


def test_without_a_file_there_are_no_rules(tmp_path, shop):
    rules = LiveRules(tmp_path / "state")
    assert rules.document == Rules(0)
    assert rules.current(shop) is None
    assert rules.refused is None
    assert rules.poll() is False


def test_rules_are_rows_of_each_catalogue(tmp_path, shop):
    rules = LiveRules(tmp_path)
    rules.replace(Rules(0, [20, 99], [Pin(30, 2), Pin(77, 1), Pin(40, 10**12)], [Boost(40, 2.0), Boost(10, 0.5)]), 0)
    rows = rules.current(shop)
    assert isinstance(rows, RowRules)
    assert rows.version == 1
    assert rows.blocked is not None
    assert rows.blocked.mask.tolist() == [0, 1, 0, 0]
    assert (rows.pins.tolist(), rows.positions.tolist()) == ([2, 3], [2, 5])
    assert (rows.boosted.tolist(), rows.factors.tolist()) == ([0, 3], [0.5, 2.0])
    assert rules.current(shop) is rows
    newer = rules.current(recommender_of(99, 20))
    assert newer is not None
    assert newer.blocked is not None
    assert newer.blocked.mask.tolist() == [1, 1]


def test_a_replaced_document_is_on_disk_with_its_predecessor(tmp_path):
    rules = LiveRules(tmp_path)
    assert rules.replace(Rules(41, [1]), 0) == Rules(1, [1])
    assert rules.replace(Rules(0, [1, 2]), 1) == Rules(2, [1, 2])
    assert msgspec.json.decode((tmp_path / "rules.json").read_bytes(), type=Rules) == rules.document == Rules(2, [1, 2])
    assert history(tmp_path) == {"rules-000001.json": 1, "rules-000002.json": 2}


def test_another_worker_takes_what_one_replaces(tmp_path, shop):
    one, other = LiveRules(tmp_path), LiveRules(tmp_path)
    other.prepare(shop)
    one.replace(Rules(0, [10]), 0)
    assert other.poll() is True
    assert other.document == one.document
    assert other.poll() is False
    with pytest.raises(RulesConflict, match="version 1 now, not 0"):
        other.replace(Rules(0, [20]), 0)
    assert one.document == other.document == Rules(1, [10])


def test_a_worker_that_has_not_polled_still_meets_the_conflict(tmp_path):
    one, late = LiveRules(tmp_path), LiveRules(tmp_path)
    one.replace(Rules(0, [10]), 0)
    with pytest.raises(RulesConflict):
        late.replace(Rules(0, [20]), 0)
    assert late.change(lambda held: msgspec.structs.replace(held, block=[*held.block, 20])) == Rules(2, [10, 20])


def test_changes_of_many_workers_are_all_kept(tmp_path):
    workers = [LiveRules(tmp_path) for _ in range(4)]

    def work(worker: LiveRules, first: int) -> None:
        for aid in range(first, first + 8):
            worker.change(lambda held, aid=aid: msgspec.structs.replace(held, block=[*held.block, aid]))

    threads = [threading.Thread(target=work, args=(worker, 100 * i)) for i, worker in enumerate(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    final = LiveRules(tmp_path).document
    assert final.version == 32
    assert sorted(final.block) == sorted(100 * i + j for i in range(4) for j in range(8))


def test_a_hand_edited_file_is_taken(tmp_path, shop, caplog):
    rules = LiveRules(tmp_path)
    put(tmp_path, {"version": 3, "block": [10]})
    assert rules.poll() is True
    assert rules.document == Rules(3, [10])
    with caplog.at_level(logging.WARNING):
        put(tmp_path, {"version": 4, "block": [10, 20]})
        assert rules.poll() is True
        assert not caplog.records
        put(tmp_path, {"version": 4, "block": [10, 30]})
        assert rules.poll() is True
    assert "changed by hand without a higher version (4 after 4)" in caplog.text
    rows = rules.current(shop)
    assert rows is not None
    assert rows.blocked is not None
    assert rows.blocked.mask.tolist() == [1, 0, 1, 0]
    assert history(tmp_path) == {"rules-000003.json": 1, "rules-000004-2.json": 2, "rules-000004.json": 2}


def test_an_edit_of_the_same_moment_and_size_is_seen(tmp_path):
    rules = LiveRules(tmp_path)
    put(tmp_path, {"version": 1, "block": [10]})
    facts = (tmp_path / "rules.json").stat()
    assert rules.poll() is True
    put(tmp_path, {"version": 1, "block": [20]})
    os.utime(tmp_path / "rules.json", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert rules.poll() is True
    assert rules.document.block == [20]


def test_an_old_file_is_not_read_again(tmp_path, monkeypatch):
    put(tmp_path, {"version": 1})
    os.utime(tmp_path / "rules.json", (1_000_000_000, 1_000_000_000))
    rules = LiveRules(tmp_path)
    monkeypatch.setattr(RulesFiles, "read", lambda self: pytest.fail("read again"))
    assert rules.poll() is False


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b'{"version": 2, "block": [1', "not JSON"),
        (b"", "not JSON"),
        (b'{"version": 2, "blocks": []}', "unknown field 'blocks'"),
        (b'{"version": 2, "pin": [{"aid": 10, "position": 1}, {"aid": 20, "position": 1}]}', "pin[1].position"),
        (b'{"version": 2, "block": ["shoe"]}', "block[0]: must be an integer"),
    ],
)
def test_a_broken_file_is_refused_and_the_old_rules_go_on(tmp_path, shop, caplog, broken, reason):
    rules = LiveRules(tmp_path)
    rules.prepare(shop)
    rules.replace(Rules(0, [10]), 0)
    put(tmp_path, broken)
    assert rules.poll() is False
    assert rules.poll() is False
    assert rules.document == Rules(1, [10])
    assert rules.current(shop) is not None
    assert rules.refused is not None
    assert str(tmp_path / "rules.json") in rules.refused
    assert reason in rules.refused
    assert rules.refused.endswith("the rules of version 1 go on")
    assert caplog.text.count("rules refused") == 1
    put(tmp_path, {"version": 2, "block": []})
    assert rules.poll() is True
    assert rules.refused is None
    assert rules.current(shop) is None


def test_a_broken_file_is_mended_by_replacing_it(tmp_path):
    rules = LiveRules(tmp_path)
    rules.replace(Rules(0, [10]), 0)
    put(tmp_path, b"{")
    rules.poll()
    assert rules.replace(Rules(0, [20]), 1) == Rules(2, [20])
    assert rules.refused is None


def test_a_worker_that_starts_with_a_broken_file_takes_the_newest_good_one(tmp_path, caplog):
    rules = LiveRules(tmp_path)
    rules.replace(Rules(0, [10]), 0)
    rules.replace(Rules(0, [10, 20]), 1)
    put(tmp_path, b"{")
    started = LiveRules(tmp_path)
    assert started.document == Rules(2, [10, 20])
    assert started.refused is not None
    assert "rules-000002.json" in caplog.text


def test_rules_put_back_by_hand_are_the_newest_again(tmp_path):
    rules = LiveRules(tmp_path)
    rules.replace(Rules(0, [10]), 0)
    first = (tmp_path / "rules.json").read_bytes()
    os.utime(tmp_path / "rules-history" / "rules-000001.json", (1_000_000_000, 1_000_000_000))
    rules.replace(Rules(0, [10, 20]), 1)
    os.utime(tmp_path / "rules-history" / "rules-000002.json", (1_000_000_001, 1_000_000_001))
    put(tmp_path, first)
    assert rules.poll() is True
    put(tmp_path, b"{")
    assert LiveRules(tmp_path).document == Rules(1, [10])


def test_a_file_that_is_taken_away_takes_its_rules_with_it(tmp_path, shop):
    rules = LiveRules(tmp_path)
    rules.replace(Rules(0, [10]), 0)
    (tmp_path / "rules.json").unlink()
    assert rules.poll() is True
    assert rules.current(shop) is None
    assert rules.poll() is False


def test_what_is_refused_changes_nothing(tmp_path, shop):
    rules = LiveRules(tmp_path)
    rules.prepare(shop)
    rules.replace(Rules(0, [10]), 0)
    before = (tmp_path / "rules.json").read_bytes()
    with pytest.raises(RulesRefused, match=r"block\[0\]: must be an integer"):
        rules.replace(Rules(0, ["shoe"]), 1)
    assert (tmp_path / "rules.json").read_bytes() == before
    assert rules.document == Rules(1, [10])


def test_rules_of_another_kind_of_ids_are_said_when_the_shop_is_known(tmp_path):
    put(tmp_path, {"version": 1, "block": [10, "shoe"]})
    rules = LiveRules(tmp_path)
    assert rules.refused is None
    shoes = recommender_of("shoe", "hat")
    rules.prepare(shoes)
    assert rules.refused is not None
    assert "block[0]: must be a string" in rules.refused
    rows = rules.current(shoes)
    assert rows is not None
    assert rows.blocked is not None
    assert rows.blocked.mask.tolist() == [1, 0]


def test_rows_are_ready_before_rules_come_into_force(tmp_path, shop, monkeypatch):
    rules = LiveRules(tmp_path)
    rules.prepare(shop)
    rules.replace(Rules(0, [10]), 0)
    monkeypatch.setattr(live, "row_rules", lambda *_: pytest.fail("translated while a request waits"))
    assert rules.current(shop) is not None


def test_a_released_version_is_not_held(tmp_path):
    rules = LiveRules(tmp_path)
    rules.replace(Rules(0, [10]), 0)
    released = recommender_of(10, 20)
    rules.prepare(released)
    del released
    assert not rules._in_force.rows
    assert len(rules._served) == 0


def test_a_disk_that_takes_nothing_is_said_and_the_old_rules_go_on(tmp_path, monkeypatch):
    rules = LiveRules(tmp_path)
    rules.replace(Rules(0, [10]), 0)

    def full(self, rules):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RulesFiles, "write", full)
    with pytest.raises(RulesNotKept, match=r"No space left on device.*make room"):
        rules.replace(Rules(0, [20]), 1)
    assert rules.document == Rules(1, [10])


def test_a_folder_that_may_not_be_read_is_said_and_stops_nothing(tmp_path, monkeypatch):
    rules = LiveRules(tmp_path)
    rules.replace(Rules(0, [10]), 0)

    def refuse(files):
        raise PermissionError(13, "Permission denied", str(files.file))

    with monkeypatch.context() as patch:
        patch.setattr(RulesFiles, "signature", refuse)
        for worker in (rules, LiveRules(tmp_path)):
            assert worker.poll() is False
            assert "Permission denied" in worker.refused
    assert rules.document == Rules(1, [10])
    rules.poll()
    assert rules.refused is None


def test_a_file_in_the_place_of_the_folder_holds_no_rules(tmp_path):
    (tmp_path / "state").touch()
    rules = LiveRules(tmp_path / "state")
    assert (rules.document, rules.refused) == (NO_RULES, None)
    with pytest.raises(RulesNotKept):
        rules.replace(Rules(0, [10]), 0)


def test_a_history_that_cannot_be_written_stops_no_change(tmp_path, caplog):
    (tmp_path / "rules-history").write_text("in the way")
    rules = LiveRules(tmp_path)
    assert rules.replace(Rules(0, [10]), 0) == Rules(1, [10])
    assert "not in the history" in caplog.text


def test_the_history_keeps_the_newest(tmp_path):
    files = RulesFiles(tmp_path)
    with files.held():
        for version in range(KEPT + 5):
            files.keep(version, b'{"version": %d, "block": []}' % version)
            os.utime(tmp_path / "rules-history" / f"rules-{version:06}.json", ns=(version, version))
    names = [file.name for file in files.kept()]
    assert len(names) == KEPT
    assert (names[0], names[-1]) == ("rules-000005.json", f"rules-{KEPT + 4:06}.json")
