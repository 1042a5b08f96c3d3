"""What every model keeps to, whatever it computes: one suite of checks for all of them.

A check takes a `Subject` and an empty folder. `CHECKS` lists them all.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from nextcart.config import ModelsConfig
from nextcart.models.model import FitOptions, Query
from nextcart.models.recommender import FALLBACKS, Answer, Recommender
from nextcart.types import TYPE_NAMES, ItemLists, Source
from tests.naive import backfilled, sessions_of
from tests.shop import Shop, lists_of

DETERMINISTIC = FitOptions(seed=11, threads=2, deterministic=True)


@dataclass(frozen=True)
class Subject:
    """A fitted model, named as its recommender names it, and the shop that it was fitted on."""

    name: str
    config: ModelsConfig
    shop: Shop
    recommender: Recommender

    @classmethod
    def fit(cls, name: str, config: ModelsConfig, shop: Shop, options: FitOptions = DETERMINISTIC) -> Subject:
        """Fit the model, and no more than it needs."""
        return cls(name, config, shop, Recommender.fit(shop.vocabulary, shop.arrays, config, options, [name]))

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return len(self.shop.vocabulary)

    def refit(self, **options: Any) -> Recommender:
        """Fit it again with other options."""
        return Subject.fit(self.name, self.config, self.shop, replace(DETERMINISTIC, **options)).recommender

    def ask(self, k: int = 10, **options: Any) -> Answer:
        """Ask it all of the shop's questions."""
        return self.recommender.recommend(self.shop.asking, k, model=self.name, **options)

    def own(self, k: int = 10, banned: ItemLists | None = None, allowed: ItemLists | None = None, **options: Any):
        """What the model itself answers, with nothing filled in."""
        return self.recommender.models[self.name].recommend(Query(self.shop.asking, k, banned, allowed, **options))

    def lists(self, *, every: int, start: int = 0) -> ItemLists:
        """A list of rows for each question, none of them alike."""
        n = len(self.shop.asking)
        return lists_of(*(list(range((start + i) % every, self.n_items, every)) for i in range(n)))

    def questions(self) -> Iterator[dict[str, Any]]:
        """Options of `ask` that lead down every path."""
        exclude, allow = self.lists(every=3), self.lists(every=2, start=1)
        for mode, excluded, allowed in product(("next", "discover"), (None, exclude), (None, allow)):
            yield {"mode": mode, "exclude": excluded, "allow": allowed}
        for objective in TYPE_NAMES:
            yield {"objective": objective}


def same(a: Answer, b: Answer) -> bool:
    """Whether two answers are equal to the last bit."""
    pairs = [(getattr(a.ranked, name), getattr(b.ranked, name)) for name in ("items", "scores", "sources")]
    return all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
        for x, y in [*pairs, (a.fallback, b.fallback)]
    )


def bytes_of(folder: Path, without: str = "") -> dict[str, bytes]:
    """Every file below a folder."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in files
        if not without or without not in file.relative_to(folder).parts
    }


def saved(recommender: Recommender, folder: Path) -> Path:
    folder.mkdir()
    recommender.save(folder)
    return folder


def listed(lists: ItemLists, i: int) -> list[int]:
    return lists.items[lists.offsets[i] : lists.offsets[i + 1]].tolist()


def held(row: np.ndarray) -> list[int]:
    """The items of a list without its padding."""
    return row[row >= 0].tolist()


# What is saved.


def check_a_loaded_model_answers_as_the_saved_one(subject: Subject, folder: Path) -> None:
    loaded = Recommender.load(saved(subject.recommender, folder / "v"))
    assert list(loaded.models) == list(subject.recommender.models)
    assert loaded.default_model == subject.recommender.default_model
    again = replace(subject, recommender=loaded)
    for question in subject.questions():
        assert same(subject.ask(**question), again.ask(**question))
    assert bytes_of(saved(loaded, folder / "again")) == bytes_of(folder / "v")


def check_loaded_arrays_are_mapped_and_cannot_be_written(subject: Subject, folder: Path) -> None:
    loaded = Recommender.load(saved(subject.recommender, folder / "v"))
    for part in (loaded.vocabulary, *loaded.models.values()):
        for name, array in part.arrays().items():
            assert not array.flags.writeable, name
            assert type(array) is np.ndarray, name
            base = array
            while isinstance(base, np.ndarray) and base.base is not None:
                base = base.base
            assert isinstance(base, mmap.mmap) or not array.size, name


def check_fitted_arrays_cannot_be_written(subject: Subject, folder: Path) -> None:
    for part in (subject.recommender.vocabulary, *subject.recommender.models.values()):
        assert not any(array.flags.writeable for array in part.arrays().values())


def check_a_folder_holds_arrays_and_json_alone(subject: Subject, folder: Path) -> None:
    files = sorted(file for file in saved(subject.recommender, folder / "v").rglob("*") if file.is_file())
    assert {file.suffix for file in files} == {".npy", ".json"}
    for file in files:
        if file.suffix == ".npy":
            assert not np.load(file, allow_pickle=False).dtype.hasobject
        else:
            assert file.name == "model.json"


def check_one_seed_gives_the_same_bytes(subject: Subject, folder: Path) -> None:
    first, again = saved(subject.refit(), folder / "first"), saved(subject.refit(), folder / "again")
    assert bytes_of(first) == bytes_of(again)


def check_threads_change_no_byte_but_those_of_item2vec(subject: Subject, folder: Path) -> None:
    one = saved(subject.refit(threads=1, deterministic=False), folder / "one")
    three = saved(subject.refit(threads=3, deterministic=False), folder / "three")
    assert bytes_of(one, without="item2vec") == bytes_of(three, without="item2vec")
    assert bytes_of(one).keys() == bytes_of(three).keys()


def check_deterministic_training_has_no_use_for_threads(subject: Subject, folder: Path) -> None:
    one, three = (saved(subject.refit(threads=threads), folder / str(threads)) for threads in (1, 3))
    assert bytes_of(one) == bytes_of(three)


# What is answered.


def check_shapes_and_padding(subject: Subject, folder: Path) -> None:
    for k in (1, 2, 20, subject.n_items + 5):
        ranked = subject.ask(k).ranked
        assert ranked.items.shape == ranked.scores.shape == ranked.sources.shape == (len(subject.shop.asking), k)
        assert (ranked.items.dtype, ranked.scores.dtype, ranked.sources.dtype) == (np.int32, np.float32, np.uint8)
        padding = ranked.items < 0
        assert (np.diff(padding.astype(int), axis=1) >= 0).all()
        assert (ranked.items[padding] == -1).all()
        assert (ranked.scores[padding] == 0).all()
        assert (ranked.sources[padding] == 0).all()
        assert np.isfinite(ranked.scores).all()
        assert ranked.items.max() < subject.n_items


def check_a_list_is_full_and_a_longer_one_is_the_catalogue(subject: Subject, folder: Path) -> None:
    assert (subject.ask(20).ranked.items >= 0).all()
    for row in subject.ask(subject.n_items + 5).ranked.items:
        assert sorted(held(row)) == list(range(subject.n_items))


def check_a_shorter_list_is_the_start_of_a_longer_one(subject: Subject, folder: Path) -> None:
    """Not for the hybrid: how many candidates it asks for grows with k."""
    if subject.name == "hybrid":
        return
    longer = subject.ask(30).ranked
    for k in (1, 7):
        shorter = subject.ask(k).ranked
        assert shorter.items.tolist() == longer.items[:, :k].tolist()
        assert shorter.scores.tolist() == longer.scores[:, :k].tolist()


def check_scores_fall_and_no_item_comes_twice(subject: Subject, folder: Path) -> None:
    for question in subject.questions():
        ranked = subject.ask(25, **question).ranked
        for items, scores in zip(ranked.items, ranked.scores, strict=True):
            rows = held(items)
            assert len(set(rows)) == len(rows)
            assert (np.diff(scores[: len(rows)]) <= 0).all()


def check_ties_go_to_the_smaller_row(subject: Subject, folder: Path) -> None:
    for k in (2, 5, 40):
        ranked = subject.own(k, subject.lists(every=5))
        for items, scores in zip(ranked.items, ranked.scores, strict=True):
            pairs = [(-float(score), int(item)) for item, score in zip(items, scores, strict=True) if item >= 0]
            assert pairs == sorted(pairs)


def check_a_batch_answers_as_its_sessions_alone(subject: Subject, folder: Path) -> None:
    asking = subject.shop.asking
    for question in subject.questions():
        together = subject.ask(10, **question)
        for i in range(len(asking)):
            alone = dict(question)
            for name in ("exclude", "allow"):
                if question.get(name) is not None:
                    alone[name] = lists_of(listed(question[name], i))
            answer = subject.recommender.recommend(asking.slice(i, i + 1), 10, model=subject.name, **alone)
            part = Answer(
                type(together.ranked)(
                    *(getattr(together.ranked, f)[i : i + 1] for f in ("items", "scores", "sources"))
                ),
                together.fallback[i : i + 1],
            )
            assert same(answer, part)


def check_an_empty_batch_has_an_empty_answer(subject: Subject, folder: Path) -> None:
    nothing = subject.shop.asking.slice(0, 0)
    for mode in ("next", "discover"):
        answer = subject.recommender.recommend(nothing, 5, model=subject.name, mode=mode)
        assert answer.ranked.items.shape == (0, 5)
        assert len(answer.fallback) == 0


def check_banned_items_never_come(subject: Subject, folder: Path) -> None:
    exclude = subject.lists(every=2)
    for mode in ("next", "discover"):
        for i, row in enumerate(subject.ask(subject.n_items, mode=mode, exclude=exclude).ranked.items):
            assert not set(held(row)) & set(listed(exclude, i))


def check_discovery_never_returns_items_of_the_session(subject: Subject, folder: Path) -> None:
    sessions = sessions_of(subject.shop.asking)
    for exclude in (None, subject.lists(every=7)):
        answer = subject.ask(subject.n_items, mode="discover", exclude=exclude)
        for i, (row, session) in enumerate(zip(answer.ranked.items, sessions, strict=True)):
            out = {event.item for event in session} | set(listed(exclude, i) if exclude else [])
            assert set(held(row)) == set(range(subject.n_items)) - out


def check_only_allowed_items_come(subject: Subject, folder: Path) -> None:
    allow, exclude = subject.lists(every=4), subject.lists(every=8)
    for i, row in enumerate(subject.ask(subject.n_items, allow=allow).ranked.items):
        assert set(held(row)) == set(listed(allow, i))
    for i, row in enumerate(subject.ask(subject.n_items, allow=allow, exclude=exclude).ranked.items):
        assert set(held(row)) == set(listed(allow, i)) - set(listed(exclude, i))
    none = lists_of(*([] for _ in range(len(subject.shop.asking))))
    assert (subject.ask(3, allow=none).ranked.items == -1).all()


def check_lists_that_name_an_item_twice_change_nothing(subject: Subject, folder: Path) -> None:
    once, n = subject.lists(every=4), len(subject.shop.asking)
    twice = lists_of(*(sorted(listed(once, i) * 2) for i in range(n)))
    assert same(subject.ask(allow=once), subject.ask(allow=twice))
    assert same(subject.ask(exclude=once), subject.ask(exclude=twice))


def check_sources_name_the_models_that_brought_an_item(subject: Subject, folder: Path) -> None:
    of_hybrid = ("covisitation", "item2vec", "top_sellers")
    joined = {"hybrid": of_hybrid, "ranker": (*of_hybrid, "log_bilinear", "session_neighbours", "history")}
    members = joined.get(subject.name, (subject.name,))
    possible = sum(Source[name.upper()] for name in members)
    for question in subject.questions():
        ranked, own = subject.ask(10, **question).ranked, subject.own(10, None, question.get("allow"))
        assert ((ranked.sources != 0) == (ranked.items >= 0)).all()
        assert not (ranked.sources & ~np.uint8(possible | Source.TOP_SELLERS)).any()
        assert not (own.sources & ~np.uint8(possible)).any()
        if subject.name not in joined:
            assert np.isin(ranked.sources, [0, possible, Source.TOP_SELLERS]).all()


def check_short_lists_are_filled_with_top_sellers(subject: Subject, folder: Path) -> None:
    for objective, k in product(TYPE_NAMES, (60, subject.n_items - 5)):
        answer, own = subject.ask(k, objective=objective).ranked, subject.own(k, objective=objective)
        fill = held(subject.recommender.top_sellers(subject.n_items, objective=objective).items[0])
        for i, row in enumerate(answer.items):
            mine = [] if subject.name == "top_sellers" else held(own.items[i])
            assert row.tolist() == backfilled(mine, fill, k)
            assert answer.sources[i, len(mine) :].tolist() == [Source.TOP_SELLERS] * (k - len(mine))
            if mine:
                assert (answer.scores[i, len(mine) :] == min(0.0, own.scores[i, len(mine) - 1])).all()


def check_the_fallback_says_why_a_list_is_top_sellers_only(subject: Subject, folder: Path) -> None:
    answer, own = subject.ask(10), subject.own(10)
    reasons = [FALLBACKS[number] for number in answer.fallback]
    for i, session in enumerate(sessions_of(subject.shop.asking)):
        brought = set(own.sources[i].tolist()) - {0, int(Source.TOP_SELLERS)}
        if not session:
            wanted = "empty_session"
        elif all(event.item < 0 for event in session):
            wanted = "unknown_items"
        else:
            wanted = None if brought or subject.name == "top_sellers" else "no_candidates"
        assert reasons[i] == wanted
        if wanted:
            assert set(answer.ranked.sources[i].tolist()) == {int(Source.TOP_SELLERS)}
    assert {"empty_session", "unknown_items", None} <= set(reasons)


def check_asking_changes_nothing(subject: Subject, folder: Path) -> None:
    asking, exclude, allow = subject.shop.asking, subject.lists(every=3), subject.lists(every=2)
    columns = [asking.offsets, asking.items, asking.ts, asking.types]
    columns += [exclude.offsets, exclude.items, allow.offsets, allow.items]
    columns += [a for part in subject.recommender.models.values() for a in part.arrays().values()]
    before = [array.tobytes() for array in columns]
    first = subject.ask(30, mode="discover", exclude=exclude, allow=allow)
    assert [array.tobytes() for array in columns] == before
    assert same(first, subject.ask(30, mode="discover", exclude=exclude, allow=allow))


def check_sharing_changes_no_answer(subject: Subject, folder: Path) -> None:
    """Whoever of the models and modes comes first, and with whatever k and lists."""
    recommender, asking = subject.recommender, subject.shop.asking
    lists = {"exclude": subject.lists(every=3), "allow": subject.lists(every=2)}
    questions = [
        {"model": model, "mode": mode, "k": k, **{name: lists[name] for name in limited}}
        for model in recommender.models
        for mode in ("next", "discover")
        for k in (3, 10)
        for limited in ((), ("exclude",), ("allow",), ("exclude", "allow"))
    ]
    alone = [recommender.recommend(asking, **question) for question in questions]
    for width, order in ((3, 1), (3, -1), (10, 1), (10, -1)):
        shared = recommender.share(asking, width)
        for question, answer in list(zip(questions, alone, strict=True))[::order]:
            assert same(recommender.recommend(asking, **question, shared=shared), answer)


def check_many_threads_get_the_answers_of_one(subject: Subject, folder: Path) -> None:
    questions = list(subject.questions())
    wanted = [subject.ask(15, **question) for question in questions]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: subject.ask(15, **questions[i % len(questions)]), range(8 * len(questions))))
    assert all(same(answer, wanted[i % len(questions)]) for i, answer in enumerate(answers))


CHECKS: list[Callable[[Subject, Path], None]] = [
    check for name, check in sorted(globals().items()) if name.startswith("check_")
]
