"""Every setting, with its default: ``nextcart.toml``, overridden by ``NEXTCART__SECTION__KEY`` in the environment.

One frozen class a section; a model's class is also what its ``fit`` takes. A key that no class knows is an error.
"""

from nextcart.config.base import Positive, PositiveReal, Section
from nextcart.config.models import (
    DEFAULT_MATRICES,
    BoughtTogetherConfig,
    CovisitationConfig,
    HybridConfig,
    Item2vecConfig,
    LogBilinearConfig,
    MatrixConfig,
    ModelsConfig,
    NeighboursQueryConfig,
    RankerConfig,
    SessionNeighboursConfig,
    TopSellersConfig,
    TypeWeights,
)
from nextcart.config.serving import (
    AccessConfig,
    EventLogConfig,
    LogsConfig,
    ServingConfig,
    SessionsConfig,
    SwapConfig,
)
from nextcart.config.settings import (
    DEFAULT_FILE,
    ENV_PREFIX,
    EvaluationConfig,
    IngestConfig,
    Settings,
    SparkConfig,
    SplitConfig,
    TrainingConfig,
    load_settings,
)

__all__ = [
    "DEFAULT_FILE",
    "DEFAULT_MATRICES",
    "ENV_PREFIX",
    "AccessConfig",
    "BoughtTogetherConfig",
    "CovisitationConfig",
    "EvaluationConfig",
    "EventLogConfig",
    "HybridConfig",
    "IngestConfig",
    "Item2vecConfig",
    "LogBilinearConfig",
    "LogsConfig",
    "MatrixConfig",
    "ModelsConfig",
    "NeighboursQueryConfig",
    "Positive",
    "PositiveReal",
    "RankerConfig",
    "Section",
    "ServingConfig",
    "SessionNeighboursConfig",
    "SessionsConfig",
    "Settings",
    "SparkConfig",
    "SplitConfig",
    "SwapConfig",
    "TopSellersConfig",
    "TrainingConfig",
    "TypeWeights",
    "load_settings",
]
