from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from nextcart.evaluation.report import Evaluation
from nextcart.repository import DataFacts, Manifest, Repository, Timing, VersionDraft

Write = Callable[[Path], None]


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation(
        split="val_split",
        k=20,
        history_events=5,
        sessions=10,
        single_event_share=0.0,
        repeat_share=0.25,
        unknown_share=0.1,
        data_fingerprint="f" * 64,
        created_at=datetime(2026, 11, 24, tzinfo=UTC),
        cpu_seconds=0.5,
        metrics={"hybrid": {"next": {"recall": 0.5}}},
    )


@pytest.fixture
def draft(evaluation: Evaluation) -> VersionDraft:
    return VersionDraft(
        code_version="0.1.0",
        config={"training": {"seed": 42, "deterministic": True}, "note": "Größe", "none": None},
        data=DataFacts(
            fingerprint="f" * 64,
            split="train_split",
            sessions=10,
            events=50,
            items=7,
            first_ts=1_659_304_800_025,
            last_ts=1_661_723_999_984,
            session_type="int64",
            aid_type="string",
        ),
        evaluations=(evaluation,),
        timings=(Timing(stage="covisitation", wall_seconds=1.5, cpu_seconds=2.5, peak_memory_bytes=10**9),),
    )


@pytest.fixture
def models() -> Callable[[int], Write]:
    """models(seed): what writes two small models, their bytes given by the seed."""

    def seeded(seed: int) -> Write:
        def write(folder: Path) -> None:
            random = np.random.default_rng(seed)
            for model, shape in (("covisitation", (6, 4)), ("item2vec", (0, 8))):
                (folder / model).mkdir()
                np.save(folder / model / "weights.npy", random.random(shape, dtype=np.float32))
                (folder / model / "model.json").write_text(f'{{"kind": "{model}", "seed": {seed}}}\n')
            (folder / "item2vec" / "search.index").write_bytes(random.bytes(100))

        return write

    return seeded


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "var" / "models")


@pytest.fixture
def publish(repository: Repository, draft: VersionDraft, models: Callable[[int], Write]) -> Callable[[int], Manifest]:
    """publish(seed): publishes a version whose bytes are given by the seed."""
    return lambda seed: repository.publish(models(seed), draft)
