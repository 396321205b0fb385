"""Nearest neighbours in double precision: candidates from the tree in single precision, then checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmlflow.graphs.tree import tree_knn

Float = NDArray[np.float64]
Int = NDArray[np.int64]

SPARE = 4  # candidates beyond those asked for
TILE_ELEMENTS = 1 << 20  # distances held at a time when all points are searched


def nearest_others(x: Float, k: int) -> tuple[Int, Float]:
    """The k nearest other points of every point, and their Euclidean distances.

    Parameters
    ----------
    x : ndarray of shape (n, D), float64
        Finite.
    k : int
        At most n - 1.

    Returns
    -------
    index : ndarray of shape (n, k), int64
        By increasing distance, equal distances by position.
    distance : ndarray of shape (n, k), float64
        From differences of coordinates: no digit is lost between near points far from the origin.

    Notes
    -----
    Rounding to single precision moves a point by at most 2^-24 of its distance from the common centre. Unless the k-th
    distance stays below that of the last candidate by this margin, a point outside the candidates could be nearer, and
    all points are searched.
    """
    n = len(x)
    if k < 1:
        return np.empty((n, 0), np.int64), np.empty((n, 0))
    centred = x - x.mean(axis=0)
    single = np.ascontiguousarray(centred, np.float32)
    found = tree_knn(single, min(k + 1 + SPARE, n))[:, 1:]
    index, distance = _ordered(x, np.arange(n), np.sort(found, axis=1), k)
    if found.shape[1] < n - 1:
        last = np.linalg.norm(single - single[found[:, -1]], axis=1).astype(np.float64)
        rounding = 2.0**-22 * np.linalg.norm(centred, axis=1).max()
        unsure = np.flatnonzero(~(distance[:, -1] < last * (1 - 1e-5) - rounding))
        for rows in np.array_split(unsure, 1 + len(unsure) * n // TILE_ELEMENTS):
            index[rows], distance[rows] = _among_all(x, rows, k)
    return index, distance


def _ordered(x: Float, rows: Int, candidates: Int, k: int) -> tuple[Int, Float]:
    """The k nearest candidates of some points; candidates are sorted by position."""
    squared = np.zeros(candidates.shape)
    for f in range(x.shape[1]):
        squared += (x[candidates, f] - x[rows, f, None]) ** 2
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(candidates, order, 1), np.sqrt(np.take_along_axis(squared, order, 1))


def _among_all(x: Float, rows: Int, k: int) -> tuple[Int, Float]:
    squared = np.zeros((len(rows), len(x)))
    for f in range(x.shape[1]):
        squared += (x[:, f] - x[rows, f, None]) ** 2
    squared[np.arange(len(rows)), rows] = np.inf
    limit = np.partition(squared, k - 1, axis=1)[:, k - 1 :][:, :1]
    index = np.empty((len(rows), k), np.int64)
    for i, row in enumerate(squared):
        near = np.flatnonzero(row <= limit[i])
        index[i] = near[np.argsort(row[near], kind="stable")[:k]]
    return index, np.sqrt(np.take_along_axis(squared, index, 1))
