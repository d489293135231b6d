"""What each feature adds to a score: exact Shapley values of the trees, looked up instead of computed for each row.

A leaf gives its value if the row satisfies what the path asks of every feature on it. With a feature unknown, the share
of training rows that go on along the path stands for it; so each leaf is a game of a product form, whose Shapley values
depend only on which of its features are satisfied. These are tabulated at load; a row costs comparisons and lookups,
a sixth of TreeSHAP's time (S. Lundberg et al., "Consistent individualized feature attribution for tree
ensembles", 2018; the tables: J. Yang, "Fast TreeSHAP", 2021). The sum over orderings is the integral of the game's
multilinear extension along the diagonal (G. Owen, 1972), which Gauss-Legendre quadrature gives exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from errors import ModelError
from scoring.trees import Tree

Floats = NDArray[np.float64]
LARGEST = 1 << 25
"""Entries of all tables, 256 MiB. A path of k features takes k * 2 ** k."""
CHUNK = 1 << 16
AT_ONCE = 16
"""Rows; what they need between two steps stays in the processor's cache."""
LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf's value and, for each feature on its path, what the path asks: lower < value <= upper, or missing.

    `share`: of the training rows at the feature's splits, the product of the shares that go on along the path.
    """

    value: float
    features: list[int]
    lower: list[float]
    upper: list[float]
    missing: list[bool]
    share: list[float]


class Explainer:
    """The trees of one model, ready to explain rows. `base`: the mean log-odds of the training rows."""

    def __init__(self, width: int, trees: Sequence[Tree]) -> None:
        """Tabulate; ModelError when the trees are too deep for tables."""
        found = [leaf for tree in trees for leaf in leaves(tree)]
        if (entries := sum(len(leaf.features) << len(leaf.features) for leaf in found)) > LARGEST:
            raise ModelError(
                f"the trees are too deep to explain: {entries:,} table entries, at most {LARGEST:,}; "
                "train with a smaller max_depth"
            )
        self._width = width
        self.base = float(sum(leaf.value * np.prod(leaf.share) for leaf in found))
        found = sorted((leaf for leaf in found if leaf.features), key=lambda leaf: len(leaf.features))
        sizes = np.array([len(leaf.features) for leaf in found], dtype=np.int64)
        # A term is a feature on the path of a leaf. Terms stand leaf by leaf, a leaf's terms are its pattern's bits.
        self._feature = np.array([each for leaf in found for each in leaf.features], dtype=np.int64)
        self._lower = np.array([[each] for leaf in found for each in leaf.lower], dtype=np.float32)
        self._upper = np.array([[each] for leaf in found for each in leaf.upper], dtype=np.float32)
        self._missing = np.array([[each] for leaf in found for each in leaf.missing], dtype=np.bool_)
        self._bit = np.array([[1 << bit] for size in sizes for bit in range(size)], dtype=np.uint32)
        self._first = np.array([0, *accumulate(sizes.tolist())][:-1], dtype=np.int64)
        self._table = np.concatenate([np.zeros(0), *_tables(found)])
        # The same terms feature by feature, for the sums: each one's leaf, and where its part of the table begins.
        begins = np.array([0, *accumulate(np.repeat(1 << sizes, sizes).tolist())][:-1], dtype=np.int64)
        order = np.argsort(self._feature, kind="stable")
        self._leaf = np.repeat(np.arange(len(found)), sizes)[order]
        self._begin = begins[order][:, None]
        self._present, self._group = np.unique(self._feature[order], return_index=True)

    def contributions(self, rows: NDArray[np.float32]) -> Floats:
        """Return what each feature adds to the log-odds, shape (n, features), from rows of that shape.

        With `base` a row's contributions sum to its margin.
        """
        found = np.zeros((len(rows), self._width))
        for begin in range(0, len(rows) if len(self._feature) else 0, AT_ONCE):
            few = slice(begin, begin + AT_ONCE)
            found[few, self._present] = self._explain(np.ascontiguousarray(rows[few].T)).T
        return found

    def _explain(self, columns: NDArray[np.float32]) -> Floats:
        values = columns.take(self._feature, axis=0)
        # A bound that is not there is NaN below and infinity above, and then these hold.
        satisfied = ~(values <= self._lower) & (values <= self._upper)
        if (nan := np.isnan(columns)).any():
            satisfied |= nan.take(self._feature, axis=0) & self._missing
        pattern = np.add.reduceat(satisfied * self._bit, self._first, axis=0, dtype=np.uint32)
        pushes = self._table.take(pattern.take(self._leaf, axis=0) + self._begin)
        summed: Floats = np.add.reduceat(pushes, self._group, axis=0)
        return summed


def leaves(tree: Tree) -> list[Leaf]:
    """Return the leaves of a tree."""
    if not len(tree.feature):
        return [Leaf(float(tree.leaf_value[0]), [], [], [], [], [])]
    rows = _rows(tree)
    found: list[Leaf] = []
    waiting: list[tuple[int, dict[int, tuple[float, float, bool, float]]]] = [(0, {})]
    while waiting:
        node, path = waiting.pop()
        if node < 0:
            asked = [list(each) for each in zip(*path.values(), strict=True)]
            found.append(Leaf(float(tree.leaf_value[~node]), list(path), *asked))
            continue
        feature, threshold, left = int(tree.feature[node]), float(tree.threshold[node]), bool(tree.missing_left[node])
        lower, upper, missing, share = path.get(feature, (np.nan, np.inf, True, 1.0))
        for child, at_most in ((int(tree.left[node]), True), (int(tree.right[node]), False)):
            part = share * max(_at(rows, tree, child) / max(rows[node], 1.0), LEAST)
            bounds = (lower, min(upper, threshold)) if at_most else (np.fmax(lower, threshold), upper)
            waiting.append((child, path | {feature: (*bounds, missing and left is at_most, part)}))
    return found


def _rows(tree: Tree) -> list[float]:
    """Return the training rows under each split; children come after their parent."""
    rows = [0.0] * len(tree.feature)
    for node in range(len(rows) - 1, -1, -1):
        rows[node] = sum(_at(rows, tree, int(child)) for child in (tree.left[node], tree.right[node]))
    return rows


def _at(rows: Sequence[float], tree: Tree, child: int) -> float:
    return rows[child] if child >= 0 else float(tree.leaf_rows[~child])


def _tables(found: Sequence[Leaf]) -> list[Floats]:
    """Return, leaf by leaf and term by term, the Shapley value for each pattern of satisfied terms."""
    parts: list[Floats] = []
    begin = 0
    while begin < len(found):
        terms = len(found[begin].features)
        end = begin
        while end < len(found) and len(found[end].features) == terms and (end - begin) << terms < CHUNK:
            end += 1
        chunk = found[begin:end]
        share = np.array([leaf.share for leaf in chunk])[:, :, None]
        value = np.array([leaf.value for leaf in chunk])[:, None, None]
        satisfied = (np.arange(1 << terms) >> np.arange(terms)[:, None]) & 1
        total = np.zeros((len(chunk), terms, 1 << terms))
        points, weights = np.polynomial.legendre.leggauss(terms // 2 + 1)
        for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
            likely = satisfied * point + share * (1 - point)
            total += weight * np.prod(likely, axis=1, keepdims=True) / likely
        parts.append((value * (satisfied - share) * total).ravel())
        begin = end
    return parts
