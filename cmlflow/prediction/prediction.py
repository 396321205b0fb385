"""The prediction for one event."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Event, FloatArray, IntArray
from cmlflow.metrics.matching import sum_by
from cmlflow.metrics.resolution import hit_weights


@dataclass(frozen=True, eq=False)
class Prediction:
    """Clusters and embeddings of one event.

    Attributes
    ----------
    labels : ndarray of shape (n_hits,), int64
        Cluster of every hit, 0..C-1, -1 for noise.
    z_hits : ndarray of shape (n_hits, D), float32
        Embedding of the hits.
    track_labels : ndarray of shape (n_tracks,), int64
        Cluster of every track in the same numbering; clusters without hits follow those with hits.
    z_tracks : ndarray of shape (n_tracks, D), float32
        Embedding of the tracks.
    origin : ndarray of shape (n_hits, 3), float32, or None
        Charged, neutral and unassigned part of every hit, where the model predicts them.
    soft_shares : ndarray of shape (C, n_hits), float32, or None
        Share of every cluster in every hit, where hits are shared; None where each belongs wholly to its cluster.
    """

    labels: IntArray
    z_hits: FloatArray
    track_labels: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    z_tracks: FloatArray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    origin: FloatArray | None = None
    soft_shares: FloatArray | None = None

    @property
    def n_clusters(self) -> int:
        """Number of clusters that hold hits."""
        return int(self.labels.max(initial=-1)) + 1

    @property
    def shares(self) -> FloatArray:
        """Share of every cluster in every hit, shape (C, n_hits), float32; the sum over clusters is at most 1."""
        if self.soft_shares is not None:
            return self.soft_shares
        whole: FloatArray = (np.arange(self.n_clusters)[:, None] == self.labels).astype(np.float32)
        return whole

    def energies(self, event: Event, layer_weights: ArrayLike | None = None) -> NDArray[np.float64]:
        """Energy of every cluster: its shares of the hits times their `hit_weights`, in the unit of these; (C,)."""
        weighted = event.energy * hit_weights(event, layer_weights)
        if self.soft_shares is None:
            return sum_by(self.labels[self.labels >= 0], weighted[self.labels >= 0], self.n_clusters)
        energies: NDArray[np.float64] = self.soft_shares @ weighted
        return energies
