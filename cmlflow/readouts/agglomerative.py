"""Agglomerative readout: Ward linkage cut at a height."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmlflow.readouts.base import EventReadout, Grid, Setting, grouped
from cmlflow.readouts.points import AnyArray, Array, Labels, at_least, canonical_order, points, same_kind


def ward_linkage(z: AnyArray, normalize: bool = True) -> NDArray[np.float64]:
    """The full tree of Ward merges of one event, in scipy's linkage format.

    Parameters
    ----------
    z : ndarray or Tensor of shape (n_hits, D)
    normalize : bool
        Scale the rows of `z` to length 1 first.

    Returns
    -------
    ndarray of shape (max(n_hits - 1, 0), 4), float64
        Two merged clusters, height sqrt(2ab/(a+b)) times the distance of their centroids (a, b hits), size.

    Notes
    -----
    O(N^2 D) time at most, O(N D) memory. Equal heights, as cells on a lattice have them, are resolved by coordinates,
    so the merges do not depend on the order of hits.

    References
    ----------
    J. H. Ward, J. Am. Stat. Assoc. 58 (1963) 236.
    """
    x = points(z, "z", normalize).cpu().numpy()
    if len(x) < 2:
        return np.zeros((0, 4))
    from cmlflow.readouts.linkage import ward_tree

    order = canonical_order(x)
    tree = ward_tree(np.ascontiguousarray(x[order]))
    merged = tree[:, :2].astype(np.int64)
    hits = merged < len(x)
    merged[hits] = order[merged[hits]]
    tree[:, :2] = np.sort(merged, axis=1)
    return tree


def cut(tree: NDArray[np.float64], n_hits: int, height: float) -> Labels:
    """Clusters left when only merges below `height` are made, numbered by their first hit."""
    from scipy.cluster.hierarchy import fcluster

    at_least("height", height, 0)
    if n_hits < 2:
        return np.zeros(n_hits, np.int64)
    found = fcluster(tree, np.nextafter(height, -np.inf), criterion="distance")
    _, first, inverse = np.unique(found, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    labels: Labels = number[inverse]
    return labels


def ward(z: Array, height: float = 8.0, *, normalize: bool = True) -> Array:
    """Cluster one event's embedding by Ward linkage, merging below `height`.

    Equal to scikit-learn's ``AgglomerativeClustering(n_clusters=None, distance_threshold=height, linkage="ward")``,
    without its N x N matrix.

    Parameters
    ----------
    z : ndarray or Tensor of shape (n_hits, D)
        Embedding, scaled to unit vectors here unless `normalize` is False.
    height : float
        Merges at or above this height are not made. Heights grow with the number of hits: two clusters of n hits
        whose centroids are d apart merge at d sqrt(n).
    normalize : bool

    Returns
    -------
    ndarray or Tensor of shape (n_hits,), int64
        Clusters 0..C-1, numbered by their first hit.

    Raises
    ------
    ValueError
        `z` has not two axes or is not finite, or `height` is negative.

    References
    ----------
    J. H. Ward, J. Am. Stat. Assoc. 58 (1963) 236.

    Examples
    --------
    >>> import numpy as np
    >>> ward(np.array([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]]), height=0.5)
    array([0, 0, 1])
    """
    at_least("height", height, 0)
    return same_kind(cut(ward_linkage(z, normalize), len(z), height), z)


class Ward(EventReadout):
    """`ward` as a scikit-learn clusterer; the default is the paper's for electromagnetic showers.

    Parameters
    ----------
    height, normalize
        As in `ward`.
    """

    def __init__(self, height: float = 8.0, normalize: bool = True) -> None:
        self.height = height
        self.normalize = normalize

    def tuning_grid(self) -> Grid:
        """25 heights from 1 to 30, equally spaced in their logarithm."""
        return {"height": np.geomspace(1.0, 30.0, 25).round(3).tolist()}

    def _cluster(self, x: NDArray[np.float64], settings: Sequence[Setting], energy: AnyArray | None) -> list[Labels]:
        labels: dict[int, Labels] = {}
        for first, positions in grouped(settings, "normalize"):
            tree = ward_linkage(points(x, "X"), first["normalize"])
            labels.update({position: cut(tree, len(x), settings[position]["height"]) for position in positions})
        return [labels[position] for position in range(len(settings))]
