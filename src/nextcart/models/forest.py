"""Boosted trees as plain arrays: trained by LightGBM, scored by a kernel of our own."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nextcart.kernels.forest import score_forest
from nextcart.models.model import frozen
from nextcart.types import Float32s, Int32s

if TYPE_CHECKING:
    import lightgbm


@dataclass(frozen=True, slots=True)
class Forest:
    """A sum of trees; a child or root below 0 is the leaf ``-1 - child``.

    Attributes:
        roots: int32, shape (n_trees,).
        features: int32, shape (n_nodes,), the column that a node looks at.
        thresholds: float32, shape (n_nodes,), at most this goes left.
        lefts: int32, shape (n_nodes,).
        rights: int32, shape (n_nodes,).
        leaves: float32, shape (n_leaves,).
    """

    roots: Int32s
    features: Int32s
    thresholds: Float32s
    lefts: Int32s
    rights: Int32s
    leaves: Float32s

    @classmethod
    def from_lightgbm(cls, booster: lightgbm.Booster) -> Forest:
        """The trees of a trained model, whose features are float32 and never missing."""
        nodes: dict[str, list[Any]] = {field.name: [] for field in fields(cls)}
        for tree in booster.dump_model()["tree_info"]:
            nodes["roots"].append(_add(tree["tree_structure"], nodes))
        kinds = {"thresholds": np.float32, "leaves": np.float32}
        return cls(**{name: frozen(np.array(values, kinds.get(name, np.int32))) for name, values in nodes.items()})

    def score(self, rows: Float32s) -> Float32s:
        """Between 0 and 1, the better the higher; rows of float32, shape (n, n_features)."""
        return score_forest(rows, self.roots, self.features, self.thresholds, self.lefts, self.rights, self.leaves)

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The columns by the names under which they are saved."""
        return {f"{prefix}{field.name}": getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], prefix: str) -> Forest:
        """The reverse of `arrays`."""
        return cls(**{field.name: arrays[f"{prefix}{field.name}"] for field in fields(cls)})


def _add(node: dict[str, Any], nodes: dict[str, list[Any]]) -> int:
    """Append a node and all below it; its number, or that of the leaf."""
    if "leaf_value" in node:
        nodes["leaves"].append(node["leaf_value"])
        return -len(nodes["leaves"])
    number = len(nodes["features"])
    nodes["features"].append(node["split_feature"])
    nodes["thresholds"].append(_float32_at_most(node["threshold"]))
    for name in ("lefts", "rights"):
        nodes[name].append(0)
    nodes["lefts"][number] = _add(node["left_child"], nodes)
    nodes["rights"][number] = _add(node["right_child"], nodes)
    return number


def _float32_at_most(value: float) -> np.float32:
    """The largest float32 that is not above the value: a float32 compares with both alike."""
    near = np.float32(value)
    # Held against a float32 itself, numpy rounds the value to one first.
    return near if float(near) <= value else np.nextafter(near, np.float32(-np.inf))
