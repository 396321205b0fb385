"""Exact k nearest neighbours on a CPU: leaves of a k-d tree, bounds in the leading coordinates, compiled on first use.

A network's features of a shower have 64 coordinates, but nearly all of their variance lies in a few directions. The
points are rotated so that these directions come first. Leaves of 32 neighbouring points then lie in small boxes: most
boxes are farther away than the k-th neighbour found so far, and the first 8 coordinates rule out most points of the
others. The few that are left are measured in full, as sums of squared differences of the original coordinates, so the
rotation costs no precision and nothing is approximated. Points that fill all 64 dimensions evenly gain nothing.

References
----------
Friedman, Bentley and Finkel, An Algorithm for Finding Best Matches in Logarithmic Expected Time, ACM TOMS 3 (1977).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from cmlflow.graphs.compiling import compiled

F4 = np.float32
Float = np.ndarray[Any, np.dtype[np.float32]]
Int = np.ndarray[Any, np.dtype[np.int64]]

LEAF = 32  # points of a leaf: two vector registers of one coordinate
LEADING = 8  # coordinates that bounds are made of
WORTH_TURNING = 800  # fewer points are not rotated: their coordinates of largest variance are used
FAST = {"nsz", "arcp", "contract", "reassoc"}
LAST, FIRST = np.iinfo(np.int64).max, np.iinfo(np.int64).min


def tree_knn(x: Float, k: int) -> Int:
    """The k nearest neighbours of every point, the point itself first, equal distances by position.

    Parameters
    ----------
    x : ndarray of shape (n, F), float32
        C-contiguous.
    k : int
        At most n.

    Returns
    -------
    ndarray of shape (n, k), int64
        By increasing distance. Points with a nan have themselves for neighbours.
    """
    leading, margin = _leading(x)
    out = np.empty((len(x), k), np.int64)
    _search(x, leading, tree_order(leading), F4(margin), leading.shape[1] == x.shape[1], out)
    return out


def _leading(x: Float) -> tuple[Float, float]:
    """The rotated coordinates of largest variance, and the largest error of a distance from their rounding."""
    n, width = x.shape
    if width <= LEADING:
        return x, 0.0
    if not np.isfinite(x).all():
        return np.ascontiguousarray(x[:, :LEADING]), 0.0
    if n < WORTH_TURNING:
        widest = np.argsort(-x.var(axis=0), kind="stable")[:LEADING]
        return np.ascontiguousarray(x[:, widest]), 0.0
    centred = x.astype(np.float64)
    centred -= centred.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    turned = (centred @ axes[:, : -LEADING - 1 : -1]).astype(np.float32)
    return turned, 1e-6 * float(np.abs(turned).max())


@compiled()
def tree_order(y: Float) -> Int:
    """Positions of the points, leaf after leaf: cut in two along the widest side until a part has `LEAF` points.

    All leaves but the last are full: leaf b holds the points at ``order[LEAF * b : LEAF * (b + 1)]``.
    """
    n, width = y.shape
    order = np.arange(n)
    key = np.empty(n, np.float32)
    waiting = [(0, n)]
    while len(waiting) > 0:
        start, stop = waiting.pop()
        if stop - start <= LEAF:
            continue
        extent, widest = F4(-1), 0
        for f in range(width):
            low = high = y[order[start], f]
            for i in range(start + 1, stop):
                low, high = min(low, y[order[i], f]), max(high, y[order[i], f])
            if high - low > extent:
                extent, widest = high - low, f
        for i in range(start, stop):
            key[i] = y[order[i], widest]
        middle = start + (stop - start + 2 * LEAF - 1) // (2 * LEAF) * LEAF
        _split(key, order, start, stop, middle)
        waiting.append((start, middle))
        waiting.append((middle, stop))
    return order


@njit  # type: ignore[untyped-decorator]
def _split(key: Float, order: Int, start: int, stop: int, middle: int) -> None:
    """Put the smaller keys before `middle`, the larger ones from there on (Hoare's selection)."""
    left, right = start, stop - 1
    while left < right:
        pivot = key[middle]
        i, j = left, right
        while i <= j:
            while key[i] < pivot:
                i += 1
            while pivot < key[j]:
                j -= 1
            if i <= j:
                key[i], key[j] = key[j], key[i]
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if j < middle:
            left = i
        if middle < i:
            right = j


@compiled(fastmath=FAST)
def _search(x: Float, y: Float, order: Int, margin: F4, complete: bool, out: Int) -> None:
    """Fill `out` for the points of leaf after leaf: first from the leaf itself, then from others by increasing bound.

    `y` holds all coordinates if `complete`, else some of them, whose distances exceed the full ones by at most
    `margin`.
    """
    n, k = out.shape
    points, leaf, low, high = _leaves(x, y, order)
    n_leaves = len(leaf)
    best = np.empty((LEAF, k + 1), np.int64)  # keys by decreasing distance, so that the farthest comes first
    limit = np.empty(LEAF, np.float32)  # squared distance in y beyond which nothing can be among the best
    squared = np.empty(LEAF, np.float32)
    bound = np.empty(n_leaves, np.float32)
    chosen = np.empty(n_leaves, np.int64)
    for a in range(n_leaves):
        first, n_own = a * LEAF, min(LEAF, n - a * LEAF)
        best[:, :k] = LAST
        best[:, k] = FIRST
        limit[:] = np.inf
        _box_to_boxes(low, high, a, bound)
        chosen[0] = a
        n_chosen, at = 1, 0
        while at < n_chosen:
            b = chosen[at]
            at += 1
            if bound[b] > _largest(limit, n_own):
                break
            _points_to_box(leaf[a], low, high, b, squared)
            near = squared <= limit
            for q in range(n_own):
                if near[q]:
                    limit[q] = _look(points, leaf, order, margin, complete, a, q, b, best[q], limit[q], squared)
            if a == b:  # the others, now that there is a limit
                n_chosen, at = 0, 0
                farthest = _largest(limit, n_own)
                for c in range(n_leaves):
                    if bound[c] <= farthest and c != a:
                        chosen[n_chosen] = c
                        n_chosen += 1
                others = chosen[:n_chosen].copy()
                chosen[:n_chosen] = others[np.argsort(bound[others])]
        for q in range(n_own):
            row = order[first + q]
            for j in range(k):
                key = best[q, k - 1 - j]
                out[row, j] = row if j == 0 or key == LAST else key & 0xFFFFFFFF


@njit(fastmath=FAST)  # type: ignore[untyped-decorator]
def _look(
    points: Float, leaf: Float, order: Int, margin: F4, complete: bool, a: int, q: int, b: int, best: Int, limit: F4,
    squared: Float,
) -> F4:  # fmt: skip
    """Insert near points of leaf b into the `best` of point q of leaf a; returns the new limit."""
    k = len(best) - 1
    i = a * LEAF + q
    squared[:] = 0
    for f in range(leaf.shape[1]):
        own = leaf[a, f, q]
        for p in range(LEAF):
            difference = leaf[b, f, p] - own
            squared[p] += difference * difference
    for p in range(min(LEAF, len(order) - b * LEAF)):
        if squared[p] <= limit:
            j = b * LEAF + p
            key = _key(squared[p] if complete else _squared_distance(points[i], points[j]), order[j])
            if i == j:
                key = np.int64(-1)  # before all others
            if key < best[0]:
                for r in range(k):
                    best[r] = min(best[r], max(best[r + 1], key))
                if best[0] != LAST:
                    limit = _distance(best[0]) if complete else _limit(_distance(best[0]), margin)
    return limit


@njit(fastmath=FAST)  # type: ignore[untyped-decorator]
def _limit(squared: F4, margin: F4) -> F4:
    """Squared distance with room for the rounding of both distances."""
    distance = np.sqrt(squared) * F4(1.000005) + margin
    return F4(distance * distance)


@njit  # type: ignore[untyped-decorator]
def _key(squared: F4, position: int) -> int:
    """Squared distance and position as one integer that is ordered by the first, then by the second."""
    return int((np.int64(F4(squared).view(np.int32)) << 32) | position)


@njit  # type: ignore[untyped-decorator]
def _distance(key: int) -> F4:
    """The squared distance of a key; zero for the point itself."""
    squared: F4 = np.int32(key >> 32).view(np.float32)
    return F4(0) if key < 0 else squared


@njit(fastmath=FAST)  # type: ignore[untyped-decorator]
def _squared_distance(a: Float, b: Float) -> F4:
    total = F4(0)
    for f in range(len(a)):
        difference = a[f] - b[f]
        total += difference * difference
    return total


@njit  # type: ignore[untyped-decorator]
def _leaves(x: Float, y: Float, order: Int) -> tuple[Float, Float, Float, Float]:
    """Points (n, F) in tree order, leading coordinates (leaves, W, LEAF), and the sides of the boxes (W, leaves)."""
    n, width = y.shape
    n_leaves = (n + LEAF - 1) // LEAF
    points = np.empty_like(x)
    leaf = np.zeros((n_leaves, width, LEAF), np.float32)
    low = np.full((width, n_leaves), F4(np.inf))
    high = np.full((width, n_leaves), F4(-np.inf))
    for i in range(n):
        points[i] = x[order[i]]
        b = i // LEAF
        for f in range(width):
            value = y[order[i], f]
            leaf[b, f, i % LEAF] = value
            low[f, b], high[f, b] = min(low[f, b], value), max(high[f, b], value)
    return points, leaf, low, high


@njit(fastmath=FAST)  # type: ignore[untyped-decorator]
def _box_to_boxes(low: Float, high: Float, a: int, out: Float) -> None:
    """Squared distance of box a to every box."""
    out[:] = 0
    for f in range(len(low)):
        own_low, own_high = low[f, a], high[f, a]
        for b in range(len(out)):
            gap = max(max(low[f, b] - own_high, own_low - high[f, b]), F4(0))
            out[b] += gap * gap


@njit(fastmath=FAST)  # type: ignore[untyped-decorator]
def _points_to_box(leaf: Float, low: Float, high: Float, b: int, out: Float) -> None:
    """Squared distance of the points of a leaf to box b."""
    out[:] = 0
    for f in range(len(leaf)):
        box_low, box_high = low[f, b], high[f, b]
        for p in range(LEAF):
            gap = max(max(box_low - leaf[f, p], leaf[f, p] - box_high), F4(0))
            out[p] += gap * gap


@njit  # type: ignore[untyped-decorator]
def _largest(limit: Float, count: int) -> F4:
    out: F4 = limit[0]
    for i in range(1, count):
        out = max(out, limit[i])
    return out
