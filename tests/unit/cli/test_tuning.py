import pytest
from typer.testing import CliRunner

from nextcart.cli.main import app
from nextcart.cli.tuning import _row
from nextcart.events.store import Store
from nextcart.pipeline import tuning
from nextcart.pipeline.held_back import Gain
from nextcart.pipeline.tuning import TunedModel


def test_whoever_stops_a_search_is_told_that_its_trials_are_kept(monkeypatch):
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "tune", stopped)
    monkeypatch.setattr(Store, "open", lambda _: None)
    done = CliRunner().invoke(app, ["tune"])
    assert done.exit_code == 130
    assert done.stderr == "stopped; the trials that had ended are kept, and the same command goes on with them\n"


@pytest.mark.parametrize(
    ("taken", "shown"), [(0, "47"), (12, "47 (12 of earlier runs)"), (47, "47 (all of earlier runs)")]
)
def test_trials_of_earlier_runs_are_told_apart(taken, shown):
    one = TunedModel("hybrid", 47, taken, (0.1, 0.1), (0.2, 0.2), Gain(0.1, (0.05, 0.15)), {}, adopted=True)
    assert _row(one)[1] == shown
