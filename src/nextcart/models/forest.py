"""Boosted trees as plain arrays: trained by LightGBM, scored by a kernel of our own."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nextcart.kernels.forest import score_complete_forest, score_forest
from nextcart.models.model import frozen
from nextcart.types import Float32s, Int32s

if TYPE_CHECKING:
    import lightgbm


MAX_COMPLETE_DEPTH = 6
"""Deeper trees are walked node by node: complete ones would have more nodes than walking them takes steps."""


class CompleteTrees(NamedTuple):
    """Trees filled up to one depth, see `score_complete_forest`; below a leaf that was moved down, all rows go left."""

    features: Int32s
    thresholds: Float32s
    leaves: Float32s


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
    _complete: CompleteTrees | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_complete", _completed(self))

    @classmethod
    def from_lightgbm(cls, booster: lightgbm.Booster) -> Forest:
        """The trees of a trained model, whose features are float32 and never missing."""
        nodes: dict[str, list[Any]] = {name: [] for name in cls._names()}
        for tree in booster.dump_model()["tree_info"]:
            nodes["roots"].append(_add(tree["tree_structure"], nodes))
        kinds = {"thresholds": np.float32, "leaves": np.float32}
        return cls(**{name: frozen(np.array(values, kinds.get(name, np.int32))) for name, values in nodes.items()})

    def score(self, rows: Float32s) -> Float32s:
        """Between 0 and 1, the better the higher; rows of float32, shape (n, n_features)."""
        if self._complete is not None:
            return score_complete_forest(rows, *self._complete)
        return score_forest(rows, self.roots, self.features, self.thresholds, self.lefts, self.rights, self.leaves)

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The columns by the names under which they are saved."""
        return {f"{prefix}{name}": getattr(self, name) for name in self._names()}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], prefix: str) -> Forest:
        """The reverse of `arrays`."""
        return cls(**{name: arrays[f"{prefix}{name}"] for name in cls._names()})

    @classmethod
    def _names(cls) -> list[str]:
        """Of the arrays that are a forest."""
        return [each.name for each in fields(cls) if each.init]


def _completed(forest: Forest) -> CompleteTrees | None:
    """The trees of a forest, complete; None where they are too deep, or have no node."""
    if not len(forest.features):
        return None
    features: list[Int32s] = []
    thresholds: list[Float32s] = []
    at = forest.roots[:, np.newaxis]
    while len(features) < 2 or (at >= 0).any():
        if len(features) == MAX_COMPLETE_DEPTH:
            return None
        inner = at >= 0
        node = np.where(inner, at, 0)
        features.append(np.where(inner, forest.features[node], 0))
        thresholds.append(np.where(inner, forest.thresholds[node], np.float32(np.inf)))
        below = [np.where(inner, children[node], at) for children in (forest.lefts, forest.rights)]
        at = np.stack(below, axis=2).reshape(len(at), -1)
    return CompleteTrees(frozen(np.hstack(features)), frozen(np.hstack(thresholds)), frozen(forest.leaves[-1 - at]))


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
