"""Ward's tree of merges by chains of nearest neighbours, compiled on first use.

A chain starts at any cluster and moves on to its nearest one until two clusters are nearest to each other. These two
are merged in the final tree whatever happens elsewhere, and the chain continues from the cluster before them. Only
centroids and sizes are kept, no matrix of distances. Clusters are held in the leaves of a k-d tree; a leaf is skipped
if its box is too far for a merge below the smallest height found. A merged cluster stays in one of the two leaves, so
boxes grow and leaves empty; the tree is rebuilt whenever half of the clusters are gone.

References
----------
F. Murtagh, "A survey of recent advances in hierarchical clustering algorithms", Comput. J. 26 (1983) 354.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cmlflow.graphs.compiling import compiled
from cmlflow.graphs.tree import LEAF, tree_order

Float = NDArray[np.float64]
Int = NDArray[np.int64]
FAST = {"nsz", "nnan", "arcp", "contract", "reassoc"}
ROUNDING = 1 - 1e-12


def ward_tree(x: Float) -> Float:
    """All merges of Ward's method by increasing height.

    Parameters
    ----------
    x : ndarray of shape (n, D), float64
        Finite; at least one point.

    Returns
    -------
    ndarray of shape (n - 1, 4), float64
        In scipy's linkage format: two merged clusters, height, points. At most O(n^2 D) time, O(n D) memory.
    """
    first, second, height = _merges(x)
    order = np.argsort(height, kind="stable")
    tree: Float = _in_order(first[order], second[order], height[order])
    return tree


@compiled()
def _merges(x: Float) -> tuple[Int, Int, Float]:
    """One point of either cluster and the height of every merge, in the order in which the chain finds them."""
    n = len(x)
    first, second, height = np.empty(n - 1, np.int64), np.empty(n - 1, np.int64), np.empty(n - 1)
    chain, link = np.empty(n, np.int64), np.empty(n)  # points; half the squared height to the one before
    length = 0
    place = np.empty(n, np.int64)  # leaf and slot, as one number, of the cluster that a point stands for
    centroid, size, point = x, np.ones(n), np.arange(n)
    leaf, sizes, points, low, high, fewest = _planted(centroid, size, point, place)
    bound, half = np.empty(len(leaf)), np.empty(LEAF)
    planted = left = n
    while left > 1:
        if 2 * left < planted:
            centroid, size, point = _harvested(leaf, sizes, points, left)
            leaf, sizes, points, low, high, fewest = _planted(centroid, size, point, place)
            bound, planted = np.empty(len(leaf)), left
        if length == 0:
            chain[0], link[0], length = _any(sizes, points), np.inf, 1
        while True:  # a step must be shorter than the one before by more than rounding, so that the chain ends
            own = place[chain[length - 1]]
            at, least = _nearest(leaf, sizes, low, high, fewest, own, link[length - 1] * ROUNDING, bound, half)
            if at < 0:
                break
            chain[length], link[length] = points[at // LEAF, at % LEAF], least
            length += 1
        merge = n - left
        first[merge], second[merge] = chain[length - 1], chain[length - 2]
        height[merge] = np.sqrt(2 * link[length - 1])
        length -= 2
        _merge(leaf, sizes, low, high, fewest, own, place[second[merge]])
        left -= 1
    return first, second, height


@njit  # type: ignore[untyped-decorator]
def _planted(centroid: Float, size: Float, point: Int, place: Int) -> tuple[Float, Float, Int, Float, Float, Float]:
    """Clusters in leaves: centroids (L, D, LEAF), sizes and points (L, LEAF), boxes (D, L), least sizes (L,)."""
    n, width = centroid.shape
    n_leaves = (n + LEAF - 1) // LEAF
    order = tree_order(centroid.astype(np.float32))
    leaf, sizes = np.zeros((n_leaves, width, LEAF)), np.zeros((n_leaves, LEAF))
    points = np.zeros((n_leaves, LEAF), np.int64)
    low, high = np.full((width, n_leaves), np.inf), np.full((width, n_leaves), -np.inf)
    fewest = np.full(n_leaves, np.inf)
    for i in range(n):
        c, b, s = order[i], i // LEAF, i % LEAF
        for f in range(width):
            value = centroid[c, f]
            leaf[b, f, s] = value
            low[f, b], high[f, b] = min(low[f, b], value), max(high[f, b], value)
        sizes[b, s], points[b, s], place[point[c]] = size[c], point[c], i
        fewest[b] = min(fewest[b], size[c])
    return leaf, sizes, points, low, high, fewest


@njit  # type: ignore[untyped-decorator]
def _harvested(leaf: Float, sizes: Float, points: Int, left: int) -> tuple[Float, Float, Int]:
    """Centroids (left, D), sizes and points of the clusters that are left."""
    centroid, size, point = np.empty((left, leaf.shape[1])), np.empty(left), np.empty(left, np.int64)
    i = 0
    for b in range(len(leaf)):
        for s in range(LEAF):
            if sizes[b, s] > 0:
                centroid[i], size[i], point[i] = leaf[b, :, s], sizes[b, s], points[b, s]
                i += 1
    return centroid, size, point


@njit  # type: ignore[untyped-decorator]
def _any(sizes: Float, points: Int) -> int:
    """A point of any cluster."""
    for b in range(len(sizes)):
        for s in range(LEAF):
            if sizes[b, s] > 0:
                return int(points[b, s])
    return -1


@njit  # type: ignore[untyped-decorator]
def _merge(leaf: Float, sizes: Float, low: Float, high: Float, fewest: Float, own: int, other: int) -> None:
    """Replace the first of two clusters by their union."""
    b, s, c, t = own // LEAF, own % LEAF, other // LEAF, other % LEAF
    total = sizes[b, s] + sizes[c, t]
    for f in range(leaf.shape[1]):
        value = (sizes[b, s] * leaf[b, f, s] + sizes[c, t] * leaf[c, f, t]) / total
        leaf[b, f, s] = value
        low[f, b], high[f, b] = min(low[f, b], value), max(high[f, b], value)
    sizes[b, s], sizes[c, t] = total, 0
    for d in (b, c):
        fewest[d] = np.inf
        for u in range(LEAF):
            if sizes[d, u] > 0:
                fewest[d] = min(fewest[d], sizes[d, u])


@njit(fastmath=FAST)  # type: ignore[untyped-decorator]
def _nearest(
    leaf: Float, sizes: Float, low: Float, high: Float, fewest: Float, own: int, below: float,
    bound: Float, half: Float,
) -> tuple[int, float]:  # fmt: skip
    """Place of the cluster with which `own` merges first, and half the squared height; -1 if none is `below`."""
    mine, slot = own // LEAF, own % LEAF
    size = sizes[mine, slot]
    bound[:] = 0
    for f in range(len(low)):
        value = leaf[mine, f, slot]
        for b in range(len(bound)):
            gap = max(max(low[f, b] - value, value - high[f, b]), 0.0)
            bound[b] += gap * gap
    nearest, closest = mine, np.inf
    for b in range(len(bound)):
        # An empty leaf has an infinite box or size; the product with a zero gap must not decide
        bound[b] = bound[b] * (size * fewest[b] / (size + fewest[b])) if fewest[b] < np.inf else np.inf
    for b in range(len(bound)):
        if b != mine and bound[b] < closest:
            nearest, closest = b, bound[b]
    best = -1
    for turn in range(len(bound) + 2):
        b = mine if turn == 0 else nearest if turn == 1 else turn - 2
        if bound[b] * ROUNDING >= below or (turn > 0 and b == mine) or (turn > 1 and b == nearest):
            continue
        half[:] = 0
        for f in range(leaf.shape[1]):
            value = leaf[mine, f, slot]
            for s in range(LEAF):
                difference = leaf[b, f, s] - value
                half[s] += difference * difference
        for s in range(LEAF):
            half[s] *= sizes[b, s] * size / (sizes[b, s] + size)
        for s in range(LEAF):
            if half[s] < below and sizes[b, s] > 0 and not (s == slot and b == mine):
                best, below = b * LEAF + s, half[s]
    return best, below


@compiled()
def _in_order(first: Int, second: Int, height: Float) -> Float:
    """Linkage format of merges by increasing height, each given by one point of either cluster."""
    n = len(height) + 1
    tree = np.empty((n - 1, 4))
    above = np.arange(n)  # towards the point that stands for the cluster
    name, size = np.arange(n), np.ones(n)
    for merge in range(n - 1):
        a, b = _root(above, first[merge]), _root(above, second[merge])
        tree[merge, 0], tree[merge, 1] = min(name[a], name[b]), max(name[a], name[b])
        size[a] += size[b]
        tree[merge, 2], tree[merge, 3] = height[merge], size[a]
        above[b] = a
        name[a] = n + merge
    return tree


@njit  # type: ignore[untyped-decorator]
def _root(above: Int, i: int) -> int:
    while above[i] != i:
        above[i] = above[above[i]]
        i = above[i]
    return i
