"""Density readout: greedy centres by the density of the embedding around each hit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from cmlflow.readouts.base import EventReadout, Grid, Setting, grouped
from cmlflow.readouts.greedy import greedy_centres, greedy_settings
from cmlflow.readouts.points import AnyArray, Array, Labels, at_least, points, same_kind


def density_scores(z: Array, k: int = 24, temperature: float = 0.1, normalize: bool = True) -> Array:
    """Density score of each hit, exp(-d_k / temperature), in (0, 1].

    Parameters
    ----------
    z : ndarray or Tensor of shape (n_hits, D)
    k : int
        d_k is the distance to the k-th nearest other hit (the farthest if there are fewer).
    temperature : float
    normalize : bool
        Scale the rows of `z` to length 1 first.

    Returns
    -------
    ndarray or Tensor of shape (n_hits,), float64

    Raises
    ------
    ValueError
        `z` has not two axes or is not finite; `k` below 1; `temperature` not positive.

    References
    ----------
    "Contrastive Metric Learning for Point Cloud Segmentation in Highly Granular Detectors", arXiv:2603.23356,
    section on inference.
    """
    at_least("k", k, 1)
    at_least("temperature", temperature, 0, strict=True)
    from cmlflow.graphs.double import nearest_others  # numba is slow to import

    x = points(z, "z", normalize).cpu().numpy()
    k = min(int(k), len(x) - 1)
    score = np.exp(-nearest_others(x, k)[1][:, -1] / temperature) if k > 0 else np.ones(len(x))
    return score if isinstance(z, np.ndarray) else torch.from_numpy(score).to(z.device)


def density(
    z: Array,
    k: int = 24,
    temperature: float = 0.1,
    threshold: float = 0.4,
    radius: float = 0.45,
    *,
    normalize: bool = True,
    assign_rest: bool = True,
) -> Array:
    """Cluster one event's embedding around its densest hits.

    The score of a hit is exp(-d_k / temperature), with d_k the distance to its k-th nearest other hit. In order of
    decreasing score, a hit with a score above `threshold` becomes a centre if it is at least `radius` from all earlier
    ones. Each centre claims the hits nearer than `radius`; the rest go to the nearest centre.

    Parameters
    ----------
    z : ndarray or Tensor of shape (n_hits, D)
        Embedding, scaled to unit vectors here unless `normalize` is False.
    k : int
    temperature, threshold, radius : float
    normalize : bool
    assign_rest : bool
        False leaves hits outside all radii as noise, -1.

    Returns
    -------
    ndarray or Tensor of shape (n_hits,), int64
        Clusters 0..C-1 by decreasing score of their centre.

    Raises
    ------
    ValueError
        `z` has not two axes or is not finite, or a setting is out of range.

    References
    ----------
    "Contrastive Metric Learning for Point Cloud Segmentation in Highly Granular Detectors", arXiv:2603.23356,
    section on inference.

    Examples
    --------
    >>> import numpy as np
    >>> density(np.array([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.02, 1.0]]), k=1)
    array([0, 0, 1, 1])
    """
    at_least("radius", radius, 0)
    x = points(z, "z", normalize)
    score = density_scores(x, k, temperature, normalize=False)
    labels = greedy_centres(x.cpu().numpy(), score.cpu().numpy(), threshold, radius, assign_rest)
    return same_kind(labels, z)


class Density(EventReadout):
    """`density` as a scikit-learn clusterer; the defaults are the paper's for electromagnetic showers.

    Parameters
    ----------
    k, temperature, threshold, radius, normalize, assign_rest
        As in `density`.
    """

    def __init__(
        self,
        k: int = 24,
        temperature: float = 0.1,
        threshold: float = 0.4,
        radius: float = 0.45,
        normalize: bool = True,
        assign_rest: bool = True,
    ) -> None:
        self.k = k
        self.temperature = temperature
        self.threshold = threshold
        self.radius = radius
        self.normalize = normalize
        self.assign_rest = assign_rest

    def tuning_grid(self) -> Grid:
        """Linear in threshold and radius: 0.05-0.95 by 0.05, 0.1-0.9 by 0.05."""
        return {
            "threshold": np.linspace(0.05, 0.95, 19).round(3).tolist(),
            "radius": np.linspace(0.1, 0.9, 17).round(3).tolist(),
        }

    def _cluster(self, x: NDArray[np.float64], settings: Sequence[Setting], energy: AnyArray | None) -> list[Labels]:
        labels: dict[int, Labels] = {}
        for first, scored in grouped(settings, "k", "temperature", "normalize"):
            unit = points(x, "X", first["normalize"])
            score = density_scores(unit, first["k"], first["temperature"], normalize=False)
            labels.update(greedy_settings(unit.numpy(), score.numpy(), settings, scored))
        return [labels[position] for position in range(len(settings))]
