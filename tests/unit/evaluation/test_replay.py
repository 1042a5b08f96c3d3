from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from nextcart.config import EvaluationConfig, ModelsConfig
from nextcart.errors import InputError
from nextcart.evaluation import replay
from nextcart.evaluation.bootstrap import session_weights
from nextcart.evaluation.protocols.basket_completion import ASKED, complete
from nextcart.evaluation.protocols.multi_objective import draw_cuts
from nextcart.evaluation.protocols.next_period import FIGURES, PLAIN
from nextcart.evaluation.replay import evaluate
from nextcart.evaluation.report import METRICS, PROTOCOLS, Evaluation
from nextcart.evaluation.slices import ItemKinds
from nextcart.models.model import FitOptions, TrainingArrays
from nextcart.models.recommender import Recommender
from nextcart.models.vocabulary import Vocabulary
from tests import naive, naive_protocols
from tests.naive import Event, batch_of, sessions_of
from tests.shop import make_shop
from tests.unit.evaluation.conftest import MODELS

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
    for model in MODELS:
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
            figures = evaluation.metrics[model][mode]
            assert {name: figures[name] for name in wanted} == pytest.approx(wanted, abs=1e-6)


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
    assert list(evaluation.metrics) == list(MODELS)
    for model in MODELS:
        assert list(evaluation.metrics[model]) == ["next", "discover"]
        assert set(evaluation.metrics[model]["next"]) >= set(METRICS)
    assert evaluation.cpu_seconds > 0


def test_discovery_can_find_no_repeat_that_it_was_shown(recommender, held_out):
    """With the whole session as history: a repeat is banned by definition."""
    figures = run(recommender, held_out, history_events=100, modes=["discover"]).metrics
    assert all(figures[model]["discover"]["recall_repeat"] == 0 for model in MODELS)


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


def test_no_sessions_give_no_figures(recommender):
    nothing = run(recommender, batch_of([]))
    assert nothing.sessions == 0
    figures = dict(nothing.metrics["hybrid"]["next"])
    assert figures.pop("coverage") == 0
    assert set(figures.values()) == {None}
    assert set(nothing.intervals["hybrid"]["next"].values()) == {None}
    assert nothing.repeat_share == nothing.unknown_share == nothing.single_event_share == 0.0


def test_a_model_that_knows_the_future_gets_everything():
    """Every session is item 0, then item 1: after 0 comes 1, first place."""
    batch = batch_of([[Event(0, 0), Event(1, 1000)]] * 9)
    vocabulary = Vocabulary("int64", np.array([5, 6]), np.array([9, 9]))
    arrays = TrainingArrays(batch, vocabulary.counts)
    fitted = Recommender.fit(vocabulary, arrays, ModelsConfig(), FitOptions(), ["covisitation"])
    figures = run(fitted, batch, models=["covisitation"], modes=["next"]).metrics["covisitation"]["next"]
    wanted = {
        "recall": 1,
        "hit_rate": 1,
        "ndcg": 1,
        "map": 1,
        "mrr": 1,
        "recall_repeat": None,
        "recall_new": 1,
        "coverage": 1,
    }
    assert {name: figures[name] for name in wanted} == wanted


def test_a_result_survives_being_written(evaluation):
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


def measured(protocol, recommender, sessions, **options):
    config = EvaluationConfig(k=K, max_history_events=options.pop("most", 200), rounds=options.pop("rounds", 100))
    return replay.replay(protocol, recommender, sessions, config, split="test", data_fingerprint="f", **options)


def asked_one_by_one(recommender, asked, model, objective="clicks"):
    """(session, hits, places that could hit, reciprocal rank, repeats) of each question, each asked alone."""
    found = []
    for question in asked:
        answer = recommender.recommend(batch_of([question.history]), K, model=model, objective=objective)
        ranked = answer.ranked.items[0].tolist()
        hits = len(set(ranked) & set(question.targets))
        rank = naive.reciprocal_rank(ranked, question.targets, K)
        found.append((question.session, hits, min(K, len(question.targets)), rank, question.repeats[0]))
    return found


def test_next_click_is_that_of_asking_one_by_one(recommender, held_out):
    known = naive_protocols.known(sessions_of(held_out))
    asked = naive_protocols.next_clicks(known, 50, 3)
    found = measured("next_click", recommender, held_out, most=3)
    for model in MODELS:
        figures = found.evaluation.metrics[model]["next"]
        rows = asked_one_by_one(recommender, asked, model)
        assert figures["recall"] == pytest.approx(sum(row[1] for row in rows) / len(rows), abs=1e-6)
        assert figures["mrr"] == pytest.approx(sum(row[3] for row in rows) / len(rows), abs=1e-6)
        for name, wanted in (("recall_repeat", True), ("recall_new", False)):
            part = [row[1] for row in rows if row[4] is wanted]
            assert figures[name] == pytest.approx(sum(part) / len(part), abs=1e-6)
            assert found.evaluation.possible[name] == len(part)
    assert found.evaluation.sessions == len({question.session for question in asked})
    assert found.evaluation.unknown_share == pytest.approx(np.mean(held_out.items < 0), abs=1e-6)
    assert found.evaluation.history_events == 3


def test_multi_objective_is_that_of_asking_one_by_one(recommender, held_out):
    known = naive_protocols.known(sessions_of(held_out))
    cuts = draw_cuts(np.array([len(each) for each in known], np.int64), 42).tolist()
    found = measured("multi_objective", recommender, held_out).evaluation
    for model in MODELS:
        figures, total = found.metrics[model]["next"], 0.0
        for kind, (objective, weight) in enumerate({"clicks": 0.1, "carts": 0.3, "orders": 0.6}.items()):
            asked = naive_protocols.later_labels(known, cuts, kind, 200)
            rows = asked_one_by_one(recommender, asked, model, objective)
            recall = sum(row[1] for row in rows) / sum(row[2] for row in rows)
            assert figures[f"{objective}_recall"] == pytest.approx(recall, abs=1e-6)
            total += weight * recall
        assert figures["total"] == pytest.approx(total, abs=1e-6)


def test_a_type_without_labels_has_no_recall_and_there_is_no_total(recommender):
    clicks = batch_of([[Event(0), Event(1, 1), Event(2, 2)], [Event(3), Event(4, 5)]])
    figures = measured("multi_objective", recommender, clicks).evaluation.metrics["hybrid"]["next"]
    assert figures["clicks_recall"] is not None
    assert figures["orders_recall"] is figures["carts_recall"] is figures["total"] is None


def test_recall_over_many_targets_by_hand(recommender):
    """Of 7 later orders 5 places could hold 5: hits / 5, beside one session of a single order."""
    batch = batch_of(
        [[Event(0), *(Event(row, row, 2) for row in range(50, 57))], [Event(0), Event(3, 9, 2)]],
    )
    found = measured("multi_objective", recommender, batch, models=["top_sellers"])
    assert found.evaluation.possible["orders_recall"] <= 5 + 1
    num, den = found.sums[0][:, 2], found.sums[0][:, 5]
    cuts = draw_cuts(np.array([8, 2]), 42)
    assert den.tolist() == [min(K, 8 - cuts[0]), 1]
    assert found.evaluation.metrics["top_sellers"]["next"]["orders_recall"] == pytest.approx(
        num.sum() / den.sum(), abs=1e-6
    )


def test_baskets_are_completed_by_the_lists_that_the_api_gives(recommender, held_out):
    known = naive_protocols.known(sessions_of(held_out))
    draws = np.random.default_rng(42).random(len(known)).tolist()
    asked = naive_protocols.completions(known, draws)
    assert len(asked) > 10
    found = measured("basket_completion", recommender, held_out).evaluation
    assert list(found.metrics) == list(ASKED)
    recalls = {}
    for model in ASKED:
        hits, possible, ranks = 0, 0, 0.0
        for _, given, others in asked:
            row = np.array([given], np.int32)
            if model == "bought_together":
                ranked = recommender.bought_together(row, K)
            elif model == "top_sellers":
                ranked = recommender.top_sellers(K, exclude=row)
            else:
                ranked = recommender.similar(given, K, model=model)
            items = ranked.items[0].tolist()
            assert given not in items
            hits += len(set(items) & set(others))
            possible += min(K, len(others))
            ranks += naive.reciprocal_rank(items, others, K)
        figures = found.metrics[model]["discover"]
        recalls[model] = hits / possible
        assert figures["recall"] == pytest.approx(recalls[model], abs=1e-6)
        assert figures["mrr"] == pytest.approx(ranks / len(asked), abs=1e-6)
    for model in ASKED:
        lift = found.metrics[model]["discover"]["lift"]
        assert lift == pytest.approx(recalls[model] / recalls["top_sellers"], abs=1e-5)
    assert found.sessions == len(asked)


def test_only_models_with_lists_of_complements_complete_baskets(recommender, held_out):
    with pytest.raises(InputError, match="'hybrid' completes no baskets; name some of bought_together"):
        complete(recommender, held_out.slice(0, 1), K, "hybrid")
    named = measured("basket_completion", recommender, held_out, models=["hybrid", "item2vec"]).evaluation
    assert list(named.metrics) == ["item2vec", "top_sellers"]


def test_the_next_period_is_held_against_each_decay(recommender, shop, held_out):
    end = int(shop.arrays.sessions.ts.max())
    later = held_out.__class__(held_out.offsets, held_out.items, held_out.ts + 2 * naive.DAY_MS, held_out.types)
    found = measured("next_period", recommender, later, arrays=shop.arrays).evaluation
    assert list(found.metrics)[-1] == PLAIN
    assert found.best in found.metrics
    within = (later.ts > end) & (later.ts <= end + 7 * naive.DAY_MS) & (later.types == 0)
    assert found.possible["clicks@20/week"] == within.sum() > 0
    as_configured = found.metrics["decay 0.1"]["next"]
    top = recommender.top_sellers(20, objective="clicks").items[0]
    assert as_configured["clicks@20/week"] == pytest.approx(np.isin(later.items[within], top).mean(), abs=1e-6)
    assert set(as_configured) >= set(FIGURES)
    with pytest.raises(InputError, match="train again"):
        measured("next_period", recommender, later)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_neither_batches_nor_threads_change_anything(protocol, recommender, shop, held_out, monkeypatch):
    whole = measured(protocol, recommender, held_out, arrays=shop.arrays)
    monkeypatch.setattr(replay, "BATCH_SESSIONS", 7)
    monkeypatch.setattr("nextcart.evaluation.protocols.next_click.BATCH_QUESTIONS", 5)
    again = measured(protocol, recommender, held_out, arrays=shop.arrays, threads=3)
    np.testing.assert_array_equal(again.sums, whole.sums)
    for model, modes in whole.evaluation.metrics.items():
        for mode, figures in modes.items():
            assert again.evaluation.metrics[model][mode] == pytest.approx(figures, abs=2e-6)
            spans = again.evaluation.intervals[model][mode]
            for name, span in whole.evaluation.intervals[model][mode].items():
                assert spans[name] == (span if span is None else pytest.approx(span, abs=1e-5))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_kept_sums_give_the_figures_and_their_intervals(protocol, recommender, shop, held_out):
    found = measured(protocol, recommender, held_out, arrays=shop.arrays)
    evaluation, kept = found.evaluation, found.evaluation.kept
    width = len(kept.figures)
    assert found.sums.shape == (len(kept.asked), len(held_out), 2 * width)
    assert found.sums.dtype == np.float32
    weights = session_weights(0, len(held_out), evaluation.rounds, evaluation.seed)
    for (model, mode), sums in zip(kept.asked, found.sums, strict=True):
        for column, name in enumerate(kept.figures):
            num, den = sums[:, column], sums[:, width + column]
            if not den.sum():
                assert evaluation.metrics[model][mode][name] is None
                continue
            assert evaluation.metrics[model][mode][name] == pytest.approx(num.sum() / den.sum(), abs=1e-5)
            drawn = (num @ weights)[den @ weights > 0] / (den @ weights)[den @ weights > 0]
            assert evaluation.intervals[model][mode][name] == pytest.approx(
                tuple(np.percentile(drawn, (2.5, 97.5))), abs=1e-5
            )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_protocol_survives_being_written(protocol, recommender, shop, held_out):
    evaluation = measured(protocol, recommender, held_out, arrays=shop.arrays).evaluation
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation
    nothing = measured(protocol, recommender, batch_of([]), arrays=shop.arrays).evaluation
    assert nothing.sessions == 0
    assert Evaluation.model_validate_json(nothing.model_dump_json()) == nothing


def test_slices_part_the_targets(recommender, shop, held_out):
    kinds = ItemKinds.of(shop.arrays.counts, np.arange(len(shop.arrays.counts)) % 3 == 0)
    found = measured("next_click", recommender, held_out, kinds=kinds).evaluation
    possible = found.possible
    whole = possible["recall"]
    for parts in (("repeat", "new"), ("head", "middle", "tail"), ("young", "old")):
        assert sum(possible[f"recall_{part}"] for part in parts) == whole
    assert sum(possible[f"recall_after_{part}"] for part in ("1", "2_4", "5_9", "10")) == whole
    figures = found.metrics["hybrid"]["next"]
    hits = sum(figures[f"recall_{part}"] * possible[f"recall_{part}"] for part in ("head", "middle", "tail"))
    assert hits == pytest.approx(figures["recall"] * whole, abs=1e-3)


def test_no_rounds_give_no_intervals(recommender, held_out):
    found = measured("next_click", recommender, held_out, rounds=0).evaluation
    assert set(found.intervals["hybrid"]["next"].values()) == {None}
    assert found.metrics["hybrid"]["next"]["recall"] is not None


def test_figures_by_training_keep_no_sums(evaluation):
    assert evaluation.kept is None
    assert evaluation.intervals["hybrid"]["next"]["recall"] is not None
