"""What each feature adds to a score, read off the path that a payment takes through every tree.

At a split the expected log-odds change from the node's to the child's; that change is the split feature's. Along a path
the changes add up to the leaf's value, so base + contributions = the margin, exactly. (A. Saabas, "Interpreting random
forests", 2014.) All paths are laid out once, at load; then a row costs one look-up a tree, where TreeSHAP, which also
averages over the order of the splits, costs milliseconds: see docs/decisions.md for how often they agree.
"""

from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Paths:
    """Every leaf's contributions: `table` has one row a leaf, `starts` says at which row each tree begins."""

    booster: lightgbm.Booster
    table: NDArray[np.float64]
    starts: NDArray[np.int64]
    base: float

    def contributions(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return what each feature adds to the log-odds, shape (n, features + 1); the last column is the base."""
        leaves = np.asarray(self.booster.predict(rows, pred_leaf=True, num_threads=1), dtype=np.int64)
        found = np.empty((len(rows), self.table.shape[1] + 1))
        for row, reached in zip(found, leaves.reshape(len(rows), -1) + self.starts, strict=True):
            row[:-1] = self.table[reached].sum(axis=0)
        found[:, -1] = self.base
        return found


def lay_out(booster: lightgbm.Booster) -> Paths:
    """Walk every path of every tree once."""
    width = booster.num_feature()
    tables, starts, base, start = [], [], 0.0, 0
    for tree in booster.dump_model()["tree_info"]:
        table = np.zeros((tree["num_leaves"], width))
        _, expected = _expected(tree["tree_structure"])
        _walk(tree["tree_structure"], expected, np.zeros(width), table)
        tables.append(table)
        starts.append(start)
        base += expected
        start += len(table)
    return Paths(booster, np.concatenate(tables), np.array(starts, dtype=np.int64), base)


def _expected(node: dict[str, Any]) -> tuple[float, float]:
    """Return (rows, mean leaf value) under `node` in training, and note the mean in each node."""
    if "leaf_value" in node:
        count, mean = float(node.get("leaf_count", 1)), float(node["leaf_value"])
    else:
        (left, left_mean), (right, right_mean) = _expected(node["left_child"]), _expected(node["right_child"])
        count = left + right
        mean = (left * left_mean + right * right_mean) / count if count else 0.0
    node["mean"] = mean
    return count, mean


def _walk(node: dict[str, Any], mean: float, sofar: NDArray[np.float64], table: NDArray[np.float64]) -> None:
    if "leaf_value" in node:
        table[node.get("leaf_index", 0)] = sofar
        return
    for child in (node["left_child"], node["right_child"]):
        then = sofar.copy()
        then[node["split_feature"]] += child["mean"] - mean
        _walk(child, child["mean"], then, table)
