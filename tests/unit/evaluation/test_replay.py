from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from nextcart.config import EvaluationConfig, ModelsConfig
from nextcart.errors import InputError
from nextcart.evaluation import replay
from nextcart.evaluation.replay import evaluate
from nextcart.evaluation.report import METRICS, Evaluation
from nextcart.models.model import FitOptions, TrainingArrays
from nextcart.models.recommender import MODEL_NAMES, Recommender
from nextcart.models.vocabulary import Vocabulary
from tests import naive
from tests.naive import Event, batch_of, sessions_of
from tests.shop import make_shop

K = 5


@pytest.fixture(scope="module")
def held_out(shop):
    """Sessions of another day of the same shop, and the odd ones: of one event, with unknown items."""
    others = sessions_of(make_shop(seed=8, sessions=60).arrays.sessions)
    known = len(shop.vocabulary)
    others = [[event._replace(item=event.item if event.item < known - 20 else -1) for event in each] for each in others]
    return batch_of([*others, [Event(3)], [Event(-1)], [Event(2), Event(-1, 5)], [Event(-1), Event(2, 5)]])


def run(recommender, sessions, **options) -> Evaluation:
    config = EvaluationConfig(k=options.pop("k", K), history_events=options.pop("history_events", 5))
    return evaluate(recommender, sessions, config, split="val_split", data_fingerprint="f" * 32, **options)


@pytest.fixture(scope="module")
def evaluation(recommender, held_out) -> Evaluation:
    return run(recommender, held_out)


def test_figures_are_those_of_asking_session_by_session(recommender: Recommender, held_out, evaluation):
    """Every session in the denominator; each asked alone; each metric summed in plain Python."""
    questions = [naive.next_event(session, 5) for session in sessions_of(held_out)]
    repeating = sum(question.repeats for question in questions)
    assert 0 < repeating < len(questions)
    for model in MODEL_NAMES:
        for mode in ("next", "discover"):
            sums, found, shown = dict.fromkeys(naive.METRICS, 0.0), {True: 0.0, False: 0.0}, set()
            for question in questions:
                answer = recommender.recommend(batch_of([question.history]), K, model=model, mode=mode)
                ranked = answer.ranked.items[0].tolist()
                shown |= set(ranked) - {-1}
                targets = [] if question.unknown else [question.target]
                for name, metric in naive.METRICS.items():
                    sums[name] += metric(ranked, targets, K) if targets else 0.0
                found[question.repeats] += question.target in ranked and not question.unknown
            wanted = {name: value / len(questions) for name, value in sums.items()}
            wanted["recall_repeat"] = found[True] / repeating
            wanted["recall_new"] = found[False] / (len(questions) - repeating)
            wanted["coverage"] = len(shown) / len(recommender.vocabulary)
            assert evaluation.metrics[model][mode] == pytest.approx(wanted, abs=1e-6)


def test_what_is_written_down_beside_the_figures(held_out, evaluation):
    questions = [naive.next_event(session, 5) for session in sessions_of(held_out)]
    n = len(questions)
    assert (evaluation.protocol, evaluation.split, evaluation.k, evaluation.history_events) == (
        "next_event",
        "val_split",
        K,
        5,
    )
    assert evaluation.sessions == n == len(held_out)
    assert evaluation.single_event_share == pytest.approx(sum(not q.history for q in questions) / n, abs=1e-6)
    assert evaluation.repeat_share == pytest.approx(sum(q.repeats for q in questions) / n, abs=1e-6)
    assert evaluation.unknown_share == pytest.approx(sum(q.unknown for q in questions) / n, abs=1e-6)
    assert evaluation.limited is False
    assert evaluation.data_fingerprint == "f" * 32
    assert abs(datetime.now(UTC) - evaluation.created_at) < timedelta(minutes=5)
    assert list(evaluation.metrics) == list(MODEL_NAMES)
    for model in MODEL_NAMES:
        assert list(evaluation.metrics[model]) == ["next", "discover"]
        assert tuple(evaluation.metrics[model]["next"]) == METRICS
    assert evaluation.cpu_seconds > 0


def test_discovery_can_find_no_repeat_that_it_was_shown(recommender, held_out):
    """With the whole session as history: a repeat is banned by definition."""
    figures = run(recommender, held_out, history_events=100, modes=["discover"]).metrics
    assert all(figures[model]["discover"]["recall_repeat"] == 0 for model in MODEL_NAMES)


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_batches_change_no_figure(recommender, held_out, evaluation, monkeypatch, batch):
    monkeypatch.setattr(replay, "BATCH_SESSIONS", batch)
    again = run(recommender, held_out).metrics
    for model, modes in evaluation.metrics.items():
        for mode, figures in modes.items():
            assert again[model][mode] == pytest.approx(figures, abs=2e-6)


def test_a_limit_takes_so_many_sessions_and_says_so(recommender, held_out, evaluation):
    limited = run(recommender, held_out, limit=10)
    assert (limited.sessions, limited.limited) == (10, True)
    reached = run(recommender, held_out, limit=len(held_out))
    assert (reached.sessions, reached.limited) == (len(held_out), False)
    assert reached.metrics == evaluation.metrics


def test_models_and_modes_may_be_named(recommender, held_out, evaluation):
    some = run(recommender, held_out, models=["covisitation", "top_sellers"], modes=["next"])
    assert list(some.metrics) == ["covisitation", "top_sellers"]
    assert some.metrics["covisitation"] == {"next": evaluation.metrics["covisitation"]["next"]}


def test_a_name_given_twice_counts_once(recommender, held_out, evaluation):
    twice = run(recommender, held_out, models=["hybrid", "hybrid"], modes=["next", "next"])
    assert twice.metrics == {"hybrid": {"next": evaluation.metrics["hybrid"]["next"]}}


def test_a_model_that_is_not_there_is_an_error(recommender, held_out):
    with pytest.raises(InputError, match="'ranker'"):
        run(recommender, held_out, models=["ranker"])


def test_progress_counts_sessions(recommender, held_out, monkeypatch):
    monkeypatch.setattr(replay, "BATCH_SESSIONS", 16)
    told = []
    run(recommender, held_out, models=["top_sellers", "hybrid"], progress=lambda *step: told.append(step))
    total = len(held_out)
    assert told == [("evaluating", min(done, total), total) for done in range(16, total + 16, 16)]


def test_no_sessions_give_zeros_and_no_recall_of_either_kind(recommender):
    nothing = run(recommender, batch_of([]))
    assert nothing.sessions == 0
    figures = dict(nothing.metrics["hybrid"]["next"])
    assert (figures.pop("recall_repeat"), figures.pop("recall_new")) == (None, None)
    assert set(figures.values()) == {0.0}
    assert nothing.repeat_share == nothing.unknown_share == nothing.single_event_share == 0.0


def test_a_model_that_knows_the_future_gets_everything():
    """Every session is item 0, then item 1: after 0 comes 1, first place."""
    batch = batch_of([[Event(0, 0), Event(1, 1000)]] * 9)
    vocabulary = Vocabulary("int64", np.array([5, 6]), np.array([9, 9]))
    arrays = TrainingArrays(batch, vocabulary.counts)
    fitted = Recommender.fit(vocabulary, arrays, ModelsConfig(), FitOptions(), ["covisitation"])
    figures = run(fitted, batch, models=["covisitation"], modes=["next"]).metrics["covisitation"]["next"]
    assert figures == {
        "recall": 1,
        "hit_rate": 1,
        "ndcg": 1,
        "map": 1,
        "mrr": 1,
        "recall_repeat": None,
        "recall_new": 1,
        "coverage": 1,
    }


def test_a_result_survives_being_written(evaluation):
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation
