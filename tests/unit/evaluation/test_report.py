from datetime import UTC, datetime

from nextcart.evaluation.report import Evaluation


def test_an_evaluation_that_told_the_time_of_each_model_still_loads():
    facts = {
        "split": "test",
        "k": 20,
        "history_events": 5,
        "sessions": 7,
        "single_event_share": 0.0,
        "repeat_share": 0.5,
        "unknown_share": 0.0,
        "data_fingerprint": "f",
        "created_at": datetime(2026, 11, 24, tzinfo=UTC),
        "metrics": {"hybrid": {"next": {"recall": 0.5, "recall_repeat": None}}},
    }
    old = Evaluation.model_validate(facts | {"cpu_seconds": {"hybrid": {"next": 0.5, "discover": 0.25}}})
    assert old.cpu_seconds == 0.75
    assert Evaluation.model_validate(facts | {"cpu_seconds": 0.75}) == old
