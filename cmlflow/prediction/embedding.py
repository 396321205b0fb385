"""The embedding of one event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cmlflow.event import FloatArray
from cmlflow.readouts import Condensation
from cmlflow.sampling import Points


@dataclass(frozen=True, eq=False)
class Embedding:
    """The embedding of one event's points: its hits, then those of its tracks.

    Attributes
    ----------
    points : Points
    z : ndarray of shape (N, D), float32
        Embedding of all points; unit vectors where `on_sphere`.
    on_sphere : bool
        Whether the embedding lives on the unit sphere.
    beta : ndarray of shape (N,), float32, or None
        Condensation strength in (0, 1), where the embedder gives one.
    origin : ndarray of shape (n_hits, 3), float32, or None
        Charged, neutral and unassigned part of every hit, where the embedder gives them.
    """

    points: Points
    z: FloatArray
    on_sphere: bool
    beta: FloatArray | None = None
    origin: FloatArray | None = None

    @property
    def hits(self) -> FloatArray:
        """Embedding of the hits, shape (n_hits, D), float32."""
        return self.z[: self.points.n_hits]

    @property
    def tracks(self) -> FloatArray:
        """Embedding of the tracks, shape (n_tracks, D), float32: mean over the points of each, on the sphere again."""
        n_hits, n_tracks = self.points.n_hits, self.points.n_tracks
        z, owner = self.z[n_hits:], self.points.track[n_hits:]
        total = np.zeros((n_tracks, z.shape[1]))
        np.add.at(total, owner, z)
        mean = (total / np.bincount(owner, minlength=n_tracks)[:, None]).astype(np.float32)
        return unit_vectors(mean) if self.on_sphere else mean

    def readout_points(self, readout: Any) -> FloatArray:
        """Input of a readout: the embedding; for OC inference with beta as the first column.

        Raises
        ------
        ValueError
            The readout needs beta, and there is none.
        """
        if not isinstance(readout, Condensation):
            return self.z
        if self.beta is None:
            raise ValueError("the readout 'condensation' needs beta, which this model's head does not give")
        return np.concatenate([self.beta[:, None], self.z], 1)


def unit_vectors(z: FloatArray) -> FloatArray:
    """The rows of `z`, shape (N, D), as unit vectors; zeros stay."""
    out: FloatArray = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    return out
