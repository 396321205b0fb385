"""Compiled searches of the density readouts: weights within a radius, and the nearest point of higher rank.

Exact: pairs of leaves are left out only where bounds say that they hold nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.graphs.compiling import compiled
from cmlflow.readouts.leaves import Leaves

Array = NDArray[np.float64]

ROUNDING = 2e-13  # of squared distances: equal distances on a lattice stay within the radius


def local_sum(cloud: Leaves, weight: Array, radius: float, falling: bool = False) -> Array:
    """Sum of the weights of the other points within `radius` of each point.

    Parameters
    ----------
    cloud : Leaves
    weight : ndarray of shape (N,), float64
        In the order of the points given.
    radius : float
    falling : bool
        Multiply each weight by exp(-(distance / radius)^2).

    Returns
    -------
    ndarray of shape (N,), float64
    """
    largest = float((cloud.x**2).sum(axis=1).max(initial=0.0))
    limit = radius**2 + ROUNDING * (1.0 + 0.5 * largest)
    sums = _sums(cloud.x, weight[cloud.order], cloud.bounds, cloud.centre, cloud.radius, limit, radius, falling)
    out: Array = np.empty(len(weight))
    out[cloud.order] = sums
    return out


def nearest_higher(cloud: Leaves, order: NDArray[np.int64]) -> tuple[NDArray[np.int64], Array]:
    """For each point the nearest one among those of higher rank, and its distance.

    Parameters
    ----------
    cloud : Leaves
    order : ndarray of shape (N,), int64
        The points by decreasing rank.

    Returns
    -------
    position : ndarray of shape (N,), int64
        Rank of the nearest point before it, by rank; the first point names itself. At equal distances the first one.
    distance : ndarray of shape (N,), float64
        Infinite for the first point.
    """
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    own = rank[cloud.order]
    found, distance = _nearest_higher(cloud.x, own, cloud.bounds, cloud.centre, cloud.radius)
    position, away = np.empty_like(found), np.empty_like(distance)
    position[own], away[own] = found, distance
    return position, away


@compiled()
def _squared(x: Any, i: int, y: Any, j: int) -> Any:
    total = 0.0
    for d in range(x.shape[1]):
        gap = x[i, d] - y[j, d]
        total += gap * gap
    return total


@compiled()
def _sums(
    x: Any, weight: Any, bounds: Any, centre: Any, radius: Any, limit: float, length: float, falling: bool
) -> Any:
    sums = np.zeros(len(x))
    reach = np.sqrt(limit) * (1 + 1e-12)
    for a in range(len(centre)):
        for b in range(a, len(centre)):
            if a != b and np.sqrt(_squared(centre, a, centre, b)) * (1 - 1e-12) - radius[a] - radius[b] > reach:
                continue
            for i in range(bounds[a], bounds[a + 1]):
                if a != b and np.sqrt(_squared(x, i, centre, b)) * (1 - 1e-12) - radius[b] > reach:
                    continue
                for j in range(i + 1 if a == b else bounds[b], bounds[b + 1]):
                    squared = _squared(x, i, x, j)
                    if squared <= limit:
                        factor = np.exp(-squared / (length * length)) if falling else 1.0
                        sums[i] += factor * weight[j]
                        sums[j] += factor * weight[i]
    return sums


@compiled()
def _nearest_higher(x: Any, rank: Any, bounds: Any, centre: Any, radius: Any) -> tuple[Any, Any]:
    n, n_leaves = len(x), len(centre)
    found, distance = np.zeros(n, np.int64), np.full(n, np.inf)
    highest = np.empty(n_leaves, np.int64)  # smallest rank of each leaf
    for b in range(n_leaves):
        highest[b] = n
        for j in range(bounds[b], bounds[b + 1]):
            highest[b] = min(highest[b], rank[j])
    gap = np.empty(n_leaves)
    for a in range(n_leaves):
        for b in range(n_leaves):
            gap[b] = np.sqrt(_squared(centre, a, centre, b)) * (1 - 1e-12) - radius[a] - radius[b]
        gap[a] = -np.inf
        nearest = np.argsort(gap)
        for i in range(bounds[a], bounds[a + 1]):
            best, which = np.inf, rank[i]
            bound = np.inf
            for b in nearest:
                if gap[b] > bound:
                    break
                if highest[b] >= rank[i] or (
                    b != a and np.sqrt(_squared(x, i, centre, b)) * (1 - 1e-12) - radius[b] > bound
                ):
                    continue
                for j in range(bounds[b], bounds[b + 1]):
                    if rank[j] < rank[i]:
                        squared = _squared(x, i, x, j)
                        if squared < best or (squared == best and rank[j] < which):
                            best, which = squared, rank[j]
                bound = np.sqrt(best) * (1 + 1e-12)
            found[i], distance[i] = which, np.sqrt(best)
    return found, distance
