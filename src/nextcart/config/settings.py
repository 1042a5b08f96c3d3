"""All settings of a run: ``nextcart.toml``, overridden by ``NEXTCART__SECTION__KEY`` in the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from nextcart.config.base import NotNegative, Positive, PositiveReal, Section, Share
from nextcart.config.models import ModelsConfig
from nextcart.config.serving import (
    AccessConfig,
    EventLogConfig,
    LogsConfig,
    ServingConfig,
    SessionsConfig,
    SwapConfig,
)
from nextcart.errors import ConfigError

ENV_PREFIX = "NEXTCART__"
DEFAULT_FILE = Path("nextcart.toml")


class IngestConfig(Section):
    """How raw files become events."""

    max_reject_share: Share = 0.01
    """More rejected records than this share fail the run."""
    min_events: Positive = 2
    """Sessions with fewer events are counted as short; they stay in the store."""
    max_future_days: NotNegative = 1.0
    """An event later than this many days from now is rejected."""
    memory_limit_mib: Positive = 2560
    """What DuckDB may hold before it spills to disk."""
    threads: Positive = 2
    """Threads of DuckDB."""


class SplitConfig(Section):
    """How the store's training events are split into a training and a validation part."""

    method: Literal["percentile", "days"] = "percentile"
    """``percentile``: whole sessions by end time; ``days``: OTTO's rule, validation sessions start in the last days."""
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Quantile of session end times, for ``percentile``."""
    days: PositiveReal = 7.0
    """Days before the newest event, for ``days``."""


class TrainingConfig(Section):
    """The circumstances of a training run; none of them belongs to a model's definition."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """Seed of everything random."""
    threads: Positive = 2
    """Threads that fit a model."""
    deterministic: bool = False
    """One thread for the ranker's trees too: the same events, settings and seed give the same bytes on any machine."""
    evaluated_sessions: Positive = 100_000
    """A training replays at most so many validation sessions, evenly spaced; ``nextcart evaluate`` replays all."""


class EvaluationConfig(Section):
    """How versions are measured: what the protocols ask, and how sure their figures are."""

    k: Annotated[int, Field(gt=0, le=1000)] = 20
    """Cut-off of recall, hit rate, NDCG, MAP, MRR and coverage."""
    history_events: Positive = 5
    """next_event: events before the target that the models are shown."""
    max_history_events: Positive = 200
    """next_click and multi_objective: the most events before the question that the models are shown."""
    last_positions: Positive = 50
    """next_click: so many of a session's last clicks are asked for."""
    decays_per_day: tuple[NotNegative, ...] = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    """next_period: the decays of top sellers that are tried, beside plain counts."""
    young_item_days: PositiveReal = 7.0
    """An item is young where its first event lies in so many last days of training."""
    rounds: Annotated[int, Field(ge=0, le=100_000)] = 1000
    """Resamples of the sessions that make the 95 % intervals; 0: no intervals."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """Seed of the resamples, of multi_objective's cuts and of basket_completion's given items."""


class SparkConfig(Section):
    """Where and how ``--engine spark`` counts."""

    master: str = "local[2]"
    """Spark's master: ``local[2]`` is two threads of this machine; ``spark://host:7077``, ``yarn`` or ``k8s://…``."""
    memory_mib: Positive = 4096
    """Memory of Spark's driver, which on a local master is all of Spark."""
    store_uri: str | None = None
    """How Spark's workers name the store's folder, such as ``s3a://shop/store``; None: by its path."""
    scratch_uri: str | None = None
    """A folder that Spark's workers write and this machine reads, for answers; None: the system's temporary folder."""
    conf: dict[Annotated[str, Field(pattern=r"^spark\.")], str] = Field({})
    """Any other settings of Spark, by their own names."""


class _NextcartEnv(EnvSettingsSource):
    """The environment source, but strict: a NEXTCART__ variable that names no setting is an error, and named."""

    def __call__(self) -> dict[str, object]:
        sections = {name.upper() for name in self.settings_cls.model_fields}
        for key in os.environ:
            if key.upper().startswith(ENV_PREFIX):
                section = key.upper()[len(ENV_PREFIX) :].split("__")[0]
                if section not in sections:
                    raise ConfigError(f"environment variable {key}: no section '{section.lower()}'; {_sections_hint()}")
        try:
            return super().__call__()
        except SettingsError as error:
            raise ConfigError(str(error.__cause__ or error)) from None

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """The value of a variable that stands for a list or a table."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError as error:
            ending = field_name.upper()
            named = (key for key in os.environ if key.upper().startswith(ENV_PREFIX) and key.upper().endswith(ending))
            raise ValueError(
                f'environment variable {next(named, ending)}: no JSON ({error}); write a list as \'["a", "b"]\', a '
                "table as '{\"a\": 1}'"
            ) from None


class Settings(BaseSettings):
    """All settings of a run, frozen. Use `load_settings`; the constructor is for tests and programs."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        use_attribute_docstrings=True,
    )

    ingest: IngestConfig = IngestConfig()
    split: SplitConfig = SplitConfig()
    models: ModelsConfig = ModelsConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    spark: SparkConfig = SparkConfig()
    serving: ServingConfig = ServingConfig()
    sessions: SessionsConfig = SessionsConfig()
    event_log: EventLogConfig = EventLogConfig()
    swap: SwapConfig = SwapConfig()
    access: AccessConfig = AccessConfig()
    logs: LogsConfig = LogsConfig()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the file."""
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, _NextcartEnv(settings_cls), TomlConfigSettingsSource(settings_cls)


def load_settings(path: Path | None = None) -> Settings:
    """Read the settings from `path`, else from ``nextcart.toml`` where there is one, and the environment.

    Raises:
        ConfigError: the file is missing or no TOML, or a key is unknown or out of range.
    """
    file = path or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    if path is not None and not path.is_file():
        raise ConfigError(f"{path}: no such file; name an existing one with --config")

    class FileSettings(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    try:
        settings = FileSettings()
    except ValidationError as error:
        raise ConfigError(_first_line(error, file)) from None
    except (ValueError, OSError) as error:
        raise ConfigError(f"{_where(file)}: {error}; see docs/reference/configuration.md") from None
    return Settings.model_construct(**{name: getattr(settings, name) for name in Settings.model_fields})


def _first_line(error: ValidationError, file: Path | None) -> str:
    """One line for the first problem of a validation: where, what, and what would be right."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    where = _where(file)
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key '{key}'; {_sections_hint()}"
    return f"{where}: {key}: {problem['msg']} (got {problem.get('input')!r}); see docs/reference/configuration.md"


def _where(file: Path | None) -> str:
    return f"{file} or {ENV_PREFIX}*" if file else f"{ENV_PREFIX}*"


def _sections_hint() -> str:
    return f"sections are {', '.join(Settings.model_fields)}; docs/reference/configuration.md lists every key"
