"""The space, the journal and the sampler of a tuning."""

from __future__ import annotations

import tomllib

import pytest

from nextcart.config import CovisitationConfig, ModelsConfig, SessionNeighboursConfig, Settings
from nextcart.pipeline.search_space import SPACES, Choice, Number, as_toml, space_of, values_in, with_values
from nextcart.pipeline.trials import Journal, Trial, propose

CONFIG = ModelsConfig()
SPACE = space_of("session_neighbours", CONFIG)


def trials(count: int) -> list[Trial]:
    made: list[Trial] = []
    for number in range(count):
        values = propose(SPACE, made, 1) if number else values_in(SPACE, CONFIG)
        nearness = 1 / (1 + abs(float(values["session_neighbours.item_decay"]) - 5))
        made.append(Trial(number, values, nearness, nearness, 0.1))
    return made


@pytest.mark.parametrize("model", SPACES)
def test_the_own_values_change_nothing(model: str) -> None:
    values = values_in(space_of(model, CONFIG), CONFIG)
    assert len(values) == len(SPACES[model])
    assert with_values(CONFIG, values) == CONFIG


@pytest.mark.parametrize("model", SPACES)
def test_both_bounds_of_every_setting_are_valid_and_come_back_from_the_file(model: str) -> None:
    for end in (0, 1):
        values = {
            each.path: each.values[-end] if isinstance(each, Choice) else (each.low, each.high)[end]
            for each in space_of(model, CONFIG)
        }
        changed = with_values(CONFIG, values)
        assert changed != CONFIG
        assert Settings.model_validate(tomllib.loads(as_toml(values))).models == changed


def test_values_outside_the_bounds_widen_them() -> None:
    config = ModelsConfig(session_neighbours=SessionNeighboursConfig(position_decay=123.456, neighbours=7))
    found = {each.path: each for each in space_of("session_neighbours", config)}
    assert found["session_neighbours.position_decay"] == Number("session_neighbours.position_decay", 0.3, 123.456)
    assert found["session_neighbours.neighbours"] == Number("session_neighbours.neighbours", 7, 2000)


def test_zero_has_no_order_of_magnitude() -> None:
    config = ModelsConfig(covisitation=CovisitationConfig(decay_per_hour=0.0))
    (found,) = (each for each in space_of("covisitation", config) if each.path.endswith("decay_per_hour"))
    assert found == Number("covisitation.decay_per_hour", 0.0, 2.0, log=False)


def test_a_matrix_that_is_left_out_is_not_tried() -> None:
    config = ModelsConfig(covisitation=CovisitationConfig(matrices={}))
    assert not [each for each in space_of("ranker", config) if each.path.startswith("covisitation")]


def test_proposals_depend_on_the_trials_and_the_seed_alone() -> None:
    found = trials(12)
    assert found == trials(12)
    assert propose(SPACE, found, 1) == propose(SPACE, found, 1)
    assert propose(SPACE, found, 1) != propose(SPACE, found, 2)


def test_a_journal_is_read_as_it_was_written(tmp_path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    for trial in trials(3):
        journal.add(trial)
    assert Journal(tmp_path / "a.jsonl").trials == journal.trials == trials(3)
    assert journal.known(journal.trials[1].values) == journal.trials[1]
    assert journal.known({}) is None


@pytest.mark.parametrize("torn", [b'{"number":2,"val', b'{"number":7}\n', b"\xff\n"])
def test_a_line_that_is_not_whole_is_forgotten_and_written_anew(tmp_path, torn: bytes) -> None:
    file = tmp_path / "a.jsonl"
    journal = Journal(file)
    for trial in trials(2):
        journal.add(trial)
    whole = file.read_bytes()
    file.write_bytes(whole + torn)
    again = Journal(file)
    assert again.trials == trials(2)
    assert file.read_bytes() == whole
    again.add(trials(3)[2])
    assert Journal(file).trials == trials(3)


def test_of_equal_trials_the_earliest_is_the_best(tmp_path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    for number, recall in enumerate([0.1, 0.3, 0.3]):
        journal.add(Trial(number, {}, recall, 0.1, 0.0))
    assert journal.best().number == 1
