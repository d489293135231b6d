"""What each feature adds to a score, read off the path that a payment takes through every tree.

At a split the expected log-odds change from the node's to the child's; that change is the split feature's. Along a path
the changes add up to the leaf's value, so base + contributions = the margin. (A. Saabas, "Interpreting random forests",
2014.) All paths are laid out once, at load, as an ONNX graph with one output a feature; then a row costs microseconds,
where TreeSHAP, which also averages over the order of the splits, costs milliseconds: docs/decisions.md says how often
they agree.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from scoring.trees import Tree

OPSET, ML_OPSET, IR_VERSION = 15, 3, 8
INPUT, OUTPUT = "features", "contributions"


@dataclass
class _Graph:
    """The attributes of a TreeEnsembleRegressor, growing tree by tree; `base` is the sum of the trees' means."""

    base: float = 0.0
    nodes: list[tuple[int, int, int, str, float, int, int, int]] = field(default_factory=list)
    leaves: list[tuple[int, int, int, float]] = field(default_factory=list)


def lay_out(width: int, trees: list[Tree]) -> tuple[bytes, float]:
    """Return an ONNX model, `features` (n, width) to `contributions` (n, width) in log-odds, and the base."""
    graph = _Graph()
    for number, tree in enumerate(trees):
        _add(graph, number, tree)
    names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids",
             "missing_value_tracks_true")  # fmt: skip
    attributes: dict[str, Any] = {
        f"nodes_{name}": list(column) for name, column in zip(names, zip(*graph.nodes, strict=True), strict=True)
    }
    targets = zip(*graph.leaves, strict=True)
    attributes |= {
        f"target_{name}": list(column)
        for name, column in zip(("treeids", "nodeids", "ids", "weights"), targets, strict=True)
    }
    node = helper.make_node(
        "TreeEnsembleRegressor", [INPUT], [OUTPUT], domain="ai.onnx.ml", n_targets=width, **attributes
    )
    taken = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width])
    given = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, width])
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    made = helper.make_model(
        helper.make_graph([node], "paths", [taken], [given]), opset_imports=opsets, ir_version=IR_VERSION
    )
    return made.SerializeToString(), graph.base


def _add(graph: _Graph, number: int, tree: Tree) -> None:
    """Append one tree: leaves come after its splits, and each carries what the features of its path add."""
    splits = len(tree.feature)
    means = _expected(tree)
    graph.base += means[0] if splits else tree.leaf_value[0]
    waiting: list[tuple[int, dict[int, float]]] = [(0 if splits else ~0, {})]
    while waiting:
        node, added = waiting.pop()
        if node < 0:
            place = splits + ~node
            graph.nodes.append((number, place, 0, "LEAF", 0.0, 0, 0, 0))
            graph.leaves += [(number, place, each, push) for each, push in (added or {0: 0.0}).items()]
            continue
        feature, children = int(tree.feature[node]), (int(tree.left[node]), int(tree.right[node]))
        yes, no = (child if child >= 0 else splits + ~child for child in children)
        missing = int(tree.missing_left[node])
        graph.nodes.append((number, node, feature, "BRANCH_LEQ", float(tree.threshold[node]), yes, no, missing))
        for child in children:
            mean = means[child] if child >= 0 else float(tree.leaf_value[~child])
            waiting.append((child, added | {feature: added.get(feature, 0.0) + mean - means[node]}))


def _expected(tree: Tree) -> list[float]:
    """Return the mean leaf value of the training rows under each split; children come after their parent."""
    rows, sums = np.zeros(len(tree.feature)), np.zeros(len(tree.feature))
    for node in range(len(tree.feature) - 1, -1, -1):
        for child in (int(tree.left[node]), int(tree.right[node])):
            leaf = ~child
            rows[node] += rows[child] if child >= 0 else tree.leaf_rows[leaf]
            sums[node] += sums[child] if child >= 0 else tree.leaf_rows[leaf] * tree.leaf_value[leaf]
    return [float(each) for each in sums / np.maximum(rows, 1)]
