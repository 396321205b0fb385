"""Greedy choice of centres by decreasing score, and the hits that each centre claims."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmlflow.readouts.base import Setting, grouped
from cmlflow.readouts.points import Labels, at_least

Float = NDArray[np.float64]


def greedy_centres(x: Float, score: Float, threshold: float, radius: float, assign_rest: bool = True) -> Labels:
    """Cluster hits around centres taken by decreasing score.

    Hits with a score above `threshold` are candidates. By decreasing score, a candidate becomes a centre if it is at
    least `radius` from all centres so far. Each centre in turn claims the hits nearer than `radius` that no earlier one
    claimed; the rest go to the nearest centre. Without a candidate the hit of the highest score is the only centre.

    Parameters
    ----------
    x : ndarray of shape (N, D), float64
    score : ndarray of shape (N,), float64
    threshold, radius : float
    assign_rest : bool
        Give unclaimed hits to their nearest centre; else they are noise, -1.

    Returns
    -------
    ndarray of shape (N,), int64
        Clusters numbered by decreasing score of their centre.

    Notes
    -----
    A candidate far from all centres is one that no centre has claimed, so the next centre is the first unclaimed hit:
    one pass per centre over the hits still unclaimed, at most O(N C D) time, O(N) memory. Equal scores are ordered
    by coordinates, so the result does not depend on the order of the hits.

    References
    ----------
    J. Kieseler, "Object condensation", Eur. Phys. J. C 80 (2020) 886, section 2.4.
    """
    return greedy_sweep(x, score, [threshold], radius, assign_rest)[0]


def greedy_sweep(
    x: Float, score: Float, thresholds: Sequence[float], radius: float, assign_rest: bool = True
) -> list[Labels]:
    """`greedy_centres` for many thresholds at the cost of the lowest one.

    The centres at a high threshold are the first centres at a lower one, so one run with snapshots gives them all.

    Returns
    -------
    list of ndarray of shape (N,), int64
        In the order of `thresholds`.
    """
    n_hits = len(x)
    if n_hits == 0:
        return [np.zeros(0, np.int64) for _ in thresholds]
    order = rank(score, x)
    x, score = x[order], score[order]
    labels = np.empty(n_hits, np.int64)
    free = np.arange(n_hits)
    nearest = np.zeros(n_hits, np.int64)
    nearest_distance = np.full(n_hits, np.inf)
    n_centres = 0
    snapshots: dict[float, Labels] = {}
    for threshold in sorted(set(thresholds), reverse=True):
        while len(free) and (n_centres == 0 or score[free[0]] > threshold):
            difference = x - x[0]
            distance = np.einsum("nd,nd->n", difference, difference)
            inside = distance < radius * radius
            inside[0] = True
            labels[free[inside]] = n_centres
            closer = distance < nearest_distance
            nearest[closer] = n_centres
            nearest_distance[closer] = distance[closer]
            x, free, nearest, nearest_distance = (kept[~inside] for kept in (x, free, nearest, nearest_distance))
            n_centres += 1
        labels[free] = nearest if assign_rest else -1
        snapshots[threshold] = np.empty(n_hits, np.int64)
        snapshots[threshold][order] = labels
    return [snapshots[threshold].copy() for threshold in thresholds]


def greedy_settings(x: Float, score: Float, settings: Sequence[Setting], chosen: Sequence[int]) -> dict[int, Labels]:
    """Labels of the `chosen` settings (threshold, radius, assign_rest) for given scores, one run per radius."""
    labels: dict[int, Labels] = {}
    for first, members in grouped([settings[position] for position in chosen], "radius", "assign_rest"):
        at_least("radius", first["radius"], 0)
        positions = [chosen[member] for member in members]
        thresholds = [settings[position]["threshold"] for position in positions]
        runs = greedy_sweep(x, score, thresholds, first["radius"], first["assign_rest"])
        labels.update(zip(positions, runs, strict=True))
    return labels


def rank(score: Float, x: Float) -> NDArray[np.intp]:
    """Positions of the hits by decreasing score; equal scores by increasing coordinates, first axis first."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    if np.any(ordered[1:] == ordered[:-1]):
        order = np.lexsort((*x.T[::-1], -score))
    return order
