"""The booster as files: thresholds floored to float32, LightGBM's text form, and ONNX that agrees with it on every row.

Features are float32 and LightGBM's thresholds are double. ONNX keeps thresholds as float32 too, and a threshold that
rounds up sends the values it should split to the other side. For a float32 x and any double t, x <= t if and only if
x <= (the largest float32 not above t): so flooring changes no decision of the booster and makes ONNX exact.
"""

from typing import Any

import lightgbm as lgb
import numpy as np
import onnx
from onnx import TensorProto, helper

from errors import ModelError
from scoring.model import INPUT, MARGIN, PROBABILITIES
from scoring.trees import floor32

OPSET = 15
ML_OPSET = 3
IR_VERSION = 8

Attributes = dict[str, Any]
"""The tree ensemble's attributes: name to a list of numbers or words, an entry a node or leaf."""


def floor_thresholds(booster: lgb.Booster) -> lgb.Booster:
    """Return the same booster with every threshold the largest float32 not above it."""
    lines = (_floor_line(line) for line in booster.model_to_string(num_iteration=-1).splitlines(keepends=True))
    text = "".join(lines)
    sizes = [len(tree.encode()) for tree in _trees(text)]
    head, _, tail = text.partition("tree_sizes=")
    _, _, rest = tail.partition("\n")
    return lgb.Booster(model_str=f"{head}tree_sizes={' '.join(map(str, sizes))}\n{rest}")


def to_text(booster: lgb.Booster) -> bytes:
    """Return LightGBM's own text form, for contributions; UTF-8."""
    return booster.model_to_string(num_iteration=-1).encode()


def to_onnx(booster: lgb.Booster) -> bytes:
    """Return an ONNX model: `features` (N, n) in; `probabilities` (N, 2), column 1 is fraud, and `margin` (N, 1) out.

    All are float32; the margin is the log-odds. ModelError for what this exporter does not know (categorical splits,
    zero as missing, more than one class).
    """
    dump = booster.dump_model(num_iteration=-1)
    if dump["num_class"] != 1 or not dump["objective"].startswith("binary sigmoid:1"):
        raise ModelError(f"only a binary LightGBM model can be exported, this is {dump['objective']!r}")
    nodes: Attributes = {name: [] for name in (*NODE, *LEAF)}
    for tree in dump["tree_info"]:
        _append(nodes, tree["tree_index"], tree["tree_structure"])
    width = booster.num_feature()
    trees = helper.make_node("TreeEnsembleRegressor", [INPUT], [MARGIN], domain="ai.onnx.ml", n_targets=1, **nodes)
    one = helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0])
    graph = helper.make_graph(
        [
            trees,
            helper.make_node("Sigmoid", [MARGIN], ["score"]),
            helper.make_node("Sub", ["one", "score"], ["genuine"]),
            helper.make_node("Concat", ["genuine", "score"], [PROBABILITIES], axis=1),
        ],
        "fraud-scorer",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, width])],
        [
            helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [None, 2]),
            helper.make_tensor_value_info(MARGIN, TensorProto.FLOAT, [None, 1]),
        ],
        [one],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="fraud-lakehouse")
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


NODE = (
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_modes",
    "nodes_values",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_missing_value_tracks_true",
)
LEAF = ("target_treeids", "target_nodeids", "target_ids", "target_weights")


def _append(nodes: Attributes, tree: int, root: dict[str, Any]) -> None:
    """Append one tree; nodes are numbered in the order in which they are met."""
    waiting, number = [(0, root)], 1
    while waiting:
        here, node = waiting.pop()
        if "leaf_value" in node:
            _row(nodes, NODE, (tree, here, 0, "LEAF", 0.0, 0, 0, 0))
            _row(nodes, LEAF, (tree, here, 0, node["leaf_value"]))
            continue
        if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
            kind = f"{node['decision_type']!r} with missing {node['missing_type']!r}"
            raise ModelError(f"a split of kind {kind} cannot be exported; train without categories and zero_as_missing")
        threshold = float(node["threshold"])
        # Where no value was missing in training, LightGBM reads a missing one as 0.0.
        left = node["default_left"] if node["missing_type"] == "NaN" else threshold >= 0
        _row(nodes, NODE, (tree, here, node["split_feature"], "BRANCH_LEQ", threshold, number, number + 1, int(left)))
        waiting += [(number + 1, node["right_child"]), (number, node["left_child"])]
        number += 2


def _row(nodes: Attributes, names: tuple[str, ...], values: tuple[float | int | str, ...]) -> None:
    for name, value in zip(names, values, strict=True):
        nodes[name].append(value)


def _floor_line(line: str) -> str:
    if not line.startswith("threshold="):
        return line
    values = np.array(line.removeprefix("threshold=").split(), np.float64)
    return "threshold=" + " ".join(repr(float(value)) for value in floor32(values)) + "\n"


def _trees(text: str) -> list[str]:
    """Return each tree's text as LightGBM counts it: from its `Tree=` to the next one or to the end of trees."""
    body = text[text.index("\nTree=") + 1 : text.index("\nend of trees") + 1]
    return ["Tree=" + part for part in body.split("Tree=")[1:]]
