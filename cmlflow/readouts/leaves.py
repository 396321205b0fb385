"""One event's points cut into compact groups, so that exact bounds rule out distant groups."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAF = 64  # most points of a leaf
SLACK = 1e-12  # relative; bounds are never too tight


@dataclass(frozen=True, eq=False)
class Leaves:
    """Points in an order that keeps neighbours together, cut into leaves of at most `LEAF` points.

    Attributes
    ----------
    order : ndarray of shape (N,), int64
        Original position of each point.
    x : ndarray of shape (N, D), float64
        Points in that order, relative to the first one given.
    bounds : ndarray of shape (L + 1,), int64
        Leaf l holds points ``bounds[l]:bounds[l + 1]``.
    centre : ndarray of shape (L, D), float64
    radius : ndarray of shape (L,), float64
        Largest distance of a point of the leaf from its centre.
    """

    order: NDArray[np.int64]
    x: NDArray[np.float64]
    bounds: NDArray[np.int64]
    centre: NDArray[np.float64]
    radius: NDArray[np.float64]


def leaves(x: NDArray[np.float64]) -> Leaves:
    """Cut points of shape (N, D) at the median of the widest coordinate until no part has more than `LEAF` points."""
    parts, waiting = [], [np.arange(len(x))]
    while waiting:
        part = waiting.pop()
        if len(part) <= LEAF:
            parts.append(part)
            continue
        inside = x[part]
        column = inside[:, np.argmax(inside.var(axis=0))]
        halves = np.argpartition(column, len(part) // 2)
        waiting += [part[halves[len(part) // 2 :]], part[halves[: len(part) // 2]]]
    order = np.concatenate(parts)
    bounds = np.cumsum([0] + [len(part) for part in parts])
    ordered = np.ascontiguousarray((x - x[:1])[order])
    centre, radius = np.zeros((len(parts), x.shape[1])), np.zeros(len(parts))
    for leaf, (a, b) in enumerate(itertools.pairwise(bounds)):
        if b > a:
            centre[leaf] = ordered[a:b].mean(axis=0)
            radius[leaf] = np.sqrt(((ordered[a:b] - centre[leaf]) ** 2).sum(axis=1).max()) * (1 + SLACK)
    return Leaves(order, ordered, bounds, centre, radius)
