"""From clusters and tracks to candidates: one for every track, and one for every cluster without a track."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import FloatArray, IntArray

Array = NDArray[np.float64]

NOBODY = -1


@dataclass(frozen=True, eq=False)
class Ownership:
    """Owner of every hit, before shares are softened.

    Candidates 0..T-1 are those of the tracks 0..T-1, in order, including tracks without hits. The clusters without a
    track follow, by increasing label.

    Attributes
    ----------
    owner : ndarray of shape (n_hits,), int64
        Candidate of each hit; -1 for noise.
    track : ndarray of shape (C,), int64
        Track of each candidate; -1 for neutral ones.
    """

    owner: IntArray
    track: IntArray

    def __len__(self) -> int:
        return len(self.track)

    @property
    def n_tracks(self) -> int:
        """Number of candidates with a track; they come first."""
        return int(np.count_nonzero(self.track >= 0))

    @property
    def share(self) -> FloatArray:
        """The owners as shares of 0 and 1, shape (C, n_hits), float32."""
        out: FloatArray = (np.arange(len(self))[:, None] == self.owner).astype(np.float32)
        return out


def assign_tracks(
    labels: ArrayLike,
    track_labels: ArrayLike,
    z: ArrayLike,
    z_tracks: ArrayLike,
    energy: ArrayLike | None = None,
    *,
    rounds: int = 0,
    pull: float = 0.5,
) -> Ownership:
    """Candidates of one event from its clusters and tracks.

    A cluster with one track belongs to it. The hits of a cluster with several tracks go to the nearest of them in the
    embedding. A cluster without a track is a neutral candidate. A track in no cluster has no hits. Noise stays
    unassigned.

    With ``rounds`` above 0 the nearest hits move a track's place: after each round it is replaced by ``pull`` times the
    energy-weighted mean of its hits plus ``1 - pull`` times its embedding, and hits are assigned again.

    Parameters
    ----------
    labels : array_like of shape (n_hits,), int
        Cluster of each hit, -1 noise.
    track_labels : array_like of shape (n_tracks,), int
        Cluster of each track in the same numbering, -1 none. May name clusters without hits.
    z : array_like of shape (n_hits, D), float
    z_tracks : array_like of shape (n_tracks, D), float
    energy : array_like of shape (n_hits,), float, optional
        Weights of the means; 1 by default.
    rounds : int, default 0
    pull : float, default 0.5
        In [0, 1].

    Returns
    -------
    Ownership

    Raises
    ------
    ValueError
        Lengths do not fit, an embedding is not finite, or a parameter is out of range.
    """
    cluster, of_track = _labels(labels, "labels"), _labels(track_labels, "track_labels")
    points, anchors = _points(z, len(cluster), "z"), _points(z_tracks, len(of_track), "z_tracks")
    if len(points) and len(anchors) and points.shape[1] != anchors.shape[1]:
        raise ValueError(f"z has {points.shape[1]} dimensions, but z_tracks {anchors.shape[1]}")
    if rounds < 0 or not 0 <= pull <= 1:
        raise ValueError(f"rounds is {rounds} and pull {pull}, expected rounds of 0 or more and pull in 0..1")
    weight = np.ones(len(cluster)) if energy is None else np.asarray(energy, np.float64)
    if weight.shape != cluster.shape:
        raise ValueError(f"energy has shape {weight.shape}, expected ({len(cluster)},)")

    n_tracks = len(of_track)
    neutral = np.setdiff1d(cluster[cluster >= 0], of_track)
    owner = np.full(len(cluster), NOBODY, np.int64)
    place = np.searchsorted(neutral, cluster)
    free = np.isin(cluster, neutral)
    owner[free] = n_tracks + place[free]
    taken = np.flatnonzero((cluster >= 0) & ~free)
    if len(taken):
        allowed = of_track[:, None] == cluster[taken]
        centre = anchors
        for turn in range(rounds + 1):
            distance = np.where(allowed, squared_distances(centre, points[taken]), np.inf)
            owner[taken] = distance.argmin(axis=0)
            if turn < rounds:
                mean, total = weighted_means(owner[taken], points[taken], weight[taken], n_tracks)
                centre = np.where(total[:, None] > 0, pull * mean + (1 - pull) * anchors, anchors)
    track = np.concatenate([np.arange(n_tracks), np.full(len(neutral), NOBODY)]).astype(np.int64)
    return Ownership(owner, track)


def squared_distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances of the rows of `a` (A, D) to those of `b` (B, D), shape (A, B)."""
    out: Array = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    return out


def weighted_means(owner: IntArray, points: Array, weight: Array, n: int) -> tuple[Array, Array]:
    """Weighted mean of the points of each of n owners, shape (n, D), and their total weight; 0 where there is none."""
    known = owner >= 0
    who, p, w = owner[known], points[known], weight[known]
    total = np.bincount(who, w, n).astype(np.float64)
    sums = np.zeros((n, points.shape[1]))
    np.add.at(sums, who, p * w[:, None])
    return np.divide(sums, total[:, None], out=np.zeros_like(sums), where=total[:, None] > 0), total


def _labels(value: ArrayLike, name: str) -> IntArray:
    array = np.asarray(value)
    array = array.astype(np.int64) if array.size == 0 else array
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"{name} has shape {array.shape} and type {array.dtype}, expected integers of shape (n,)")
    if (array < NOBODY).any():
        i = int(np.flatnonzero(array < NOBODY)[0])
        raise ValueError(f"{name} of entry {i} is {array[i]}, expected -1 or above")
    return array.astype(np.int64)


def _points(value: ArrayLike, n: int, name: str) -> Array:
    array = np.asarray(value, np.float64)
    if n == 0 and array.size == 0:
        return array.reshape(0, array.shape[1] if array.ndim == 2 else 0)
    if array.ndim != 2 or len(array) != n:
        raise ValueError(f"{name} has shape {array.shape}, expected ({n}, D): one row for each label")
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise ValueError(f"{name} of entry {int(np.flatnonzero(bad)[0])} is not finite")
    return array
