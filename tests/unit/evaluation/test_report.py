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


def test_an_evaluation_of_before_there_were_protocols_still_loads():
    text = """{"protocol": "next_event", "split": "val_split", "k": 20, "history_events": 5, "sessions": 200,
        "single_event_share": 0.0, "repeat_share": 0.345, "unknown_share": 0.0, "limited": false,
        "data_fingerprint": "f", "created_at": "2026-11-24T02:15:00Z", "cpu_seconds": 0.2,
        "metrics": {"hybrid": {"next": {"recall": 0.525, "recall_new": 0.44}}}}"""
    old = Evaluation.model_validate_json(text)
    assert (old.intervals, old.possible, old.kept, old.rounds) == ({}, {}, None, 0)
    assert old.metrics["hybrid"]["next"]["recall"] == 0.525
