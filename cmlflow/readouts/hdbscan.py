"""HDBSCAN readout, for comparison."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from joblib import Memory
from numpy.typing import NDArray
from torch import Tensor

from cmlflow.readouts.base import EventReadout, Grid, Setting
from cmlflow.readouts.distances import nearest
from cmlflow.readouts.points import AnyArray, Array, Labels, at_least, canonical_order, points, same_kind

FILLED = 0.75  # part of the hits that real clusters hold; density fluctuations of one particle hold less


def hdbscan(
    z: Array,
    min_cluster_size: int = 8,
    min_samples: int | None = None,
    cluster_selection_epsilon: float = 0.0,
    *,
    allow_single_cluster: bool | Literal["auto"] = "auto",
    assign_noise: bool = False,
    normalize: bool = True,
) -> Array:
    """Cluster one event's embedding by HDBSCAN.

    Parameters
    ----------
    z : ndarray or Tensor of shape (n_hits, D)
        Embedding, scaled to unit vectors here unless `normalize` is False.
    min_cluster_size : int
        Hits below this number are noise; at least 2.
    min_samples : int, optional
        Neighbours that define the density of a hit; `min_cluster_size` by default.
    cluster_selection_epsilon : float
        Clusters nearer than this are not split.
    allow_single_cluster : bool or "auto"
        Whether the whole event may be one cluster. ``"auto"``: all its hits are one where the package, allowed to,
        finds one, and where otherwise its clusters hold less than three quarters of the hits. An event of one particle
        would else be noise, or fall into pieces.
    assign_noise : bool
        Assign noise to the cluster of the nearest clustered hit, or all hits to one cluster if there is none.
    normalize : bool

    Returns
    -------
    ndarray or Tensor of shape (n_hits,), int64
        Clusters 0..C-1; -1 noise.

    Raises
    ------
    ValueError
        `z` has not two axes or is not finite, or a setting is out of range.

    Notes
    -----
    Equal distances are resolved by coordinates, and identical points get one label, so the result does not depend on
    the order of hits.

    References
    ----------
    L. McInnes, J. Healy, S. Astels, "hdbscan: Hierarchical density based clustering", J. Open Source Softw. 2 (2017)
    205.
    """
    setting = {
        "min_cluster_size": min_cluster_size,
        "min_samples": min_samples,
        "cluster_selection_epsilon": cluster_selection_epsilon,
        "allow_single_cluster": allow_single_cluster,
        "assign_noise": assign_noise,
    }
    return same_kind(_labels(points(z, "z", normalize).cpu(), setting), z)


def _labels(x: Tensor, setting: Setting, memory: Any = None) -> Labels:
    """Labels of one setting, whatever the order of hits; `memory` (joblib) keeps the trees of one `min_samples`."""
    order = canonical_order(x.numpy())
    labels = np.empty(len(x), np.int64)
    labels[order] = _labels_in_order(x[torch.from_numpy(order)], setting, memory)
    return labels


def _labels_in_order(x: Tensor, setting: Setting, memory: Any) -> Labels:
    """Labels of hits in the order of their coordinates; identical ones are neighbours there."""
    size, samples = setting["min_cluster_size"], setting["min_samples"]
    at_least("min_cluster_size", size, 2)
    at_least("min_samples", 1 if samples is None else samples, 1)
    at_least("cluster_selection_epsilon", setting["cluster_selection_epsilon"], 0)
    single, labels = setting["allow_single_cluster"], np.full(len(x), -1, np.int64)
    if single not in (True, False, "auto"):
        raise ValueError(f"allow_single_cluster: got {single!r}, needs True, False or 'auto'")
    if len(x) >= size:
        labels = _package(x, setting, single is True, memory)
        if single == "auto" and np.mean(labels >= 0) < FILLED and _package(x, setting, True, memory).max() == 0:
            labels = np.zeros_like(labels)
        first = np.append(True, (x[1:] != x[:-1]).any(1).numpy())  # of identical hits
        labels = _numbered(labels[np.maximum.accumulate(np.where(first, np.arange(len(x)), 0))])
    return _assign_noise(x, labels) if setting["assign_noise"] else labels


def _package(x: Tensor, setting: Setting, single: bool, memory: Any) -> Labels:
    """What the package finds."""
    import hdbscan as package

    size, samples = int(setting["min_cluster_size"]), setting["min_samples"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the package's calls of scikit-learn
        fitted = package.HDBSCAN(
            min_cluster_size=size,
            min_samples=min(int(samples or size), len(x) - 1),
            cluster_selection_epsilon=float(setting["cluster_selection_epsilon"]),
            allow_single_cluster=single,
            core_dist_n_jobs=1,
            **({} if memory is None else {"memory": memory}),
        ).fit(x.numpy())
    labels: Labels = fitted.labels_.astype(np.int64)
    return labels


def _numbered(labels: Labels) -> Labels:
    """The same clusters without gaps in their numbers."""
    out = labels.copy()
    out[labels >= 0] = np.unique(labels[labels >= 0], return_inverse=True)[1]
    return out


def _assign_noise(x: Tensor, labels: Labels) -> Labels:
    noise = labels < 0
    if noise.all():
        return np.zeros_like(labels)
    clustered = np.flatnonzero(~noise)
    to = nearest(x[torch.from_numpy(noise)], x[torch.from_numpy(clustered)])
    labels[noise] = labels[clustered[to.numpy()]]
    return labels


class Hdbscan(EventReadout):
    """`hdbscan` as a clusterer of this package: checked input, unit vectors, optional assignment of noise.

    Parameters
    ----------
    min_cluster_size, min_samples, cluster_selection_epsilon, allow_single_cluster, assign_noise, normalize
        As in `hdbscan`.
    """

    def __init__(
        self,
        min_cluster_size: int = 8,
        min_samples: int | None = None,
        cluster_selection_epsilon: float = 0.0,
        allow_single_cluster: bool | Literal["auto"] = "auto",
        assign_noise: bool = False,
        normalize: bool = True,
    ) -> None:
        self.min_cluster_size = min_cluster_size
        self.min_samples = min_samples
        self.cluster_selection_epsilon = cluster_selection_epsilon
        self.allow_single_cluster = allow_single_cluster
        self.assign_noise = assign_noise
        self.normalize = normalize

    def tuning_grid(self) -> Grid:
        """Minimal sizes in powers of about 2, selection distances from 0 to 0.4."""
        return {
            "min_cluster_size": [5, 8, 12, 20, 35, 60],
            "cluster_selection_epsilon": [0.0, 0.05, 0.1, 0.2, 0.4],
        }

    def _cluster(self, x: NDArray[np.float64], settings: Sequence[Setting], energy: AnyArray | None) -> list[Labels]:
        with TemporaryDirectory() as folder:
            memory = Memory(folder, verbose=0) if len(settings) > 1 else None
            return [_labels(points(x, "X", setting["normalize"]), setting, memory) for setting in settings]
