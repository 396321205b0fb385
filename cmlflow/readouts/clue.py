"""CLUE readout: energy-weighted density peaks, every other hit following its nearest higher neighbour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmlflow.readouts.base import EventReadout, Grid, Setting, grouped
from cmlflow.readouts.greedy import rank
from cmlflow.readouts.leaves import leaves
from cmlflow.readouts.points import AnyArray, Array, Labels, at_least, points, same_kind, weights

Kernel: TypeAlias = Literal["flat", "gaussian"]


@dataclass(frozen=True, eq=False)
class Links:
    """Hits of one event by decreasing density, each with its nearest higher neighbour.

    Attributes
    ----------
    order : ndarray of shape (n_hits,), int64
        Hit at each rank; arrays below are in order of rank.
    density : ndarray of shape (n_hits,), float64
    higher : ndarray of shape (n_hits,), int64
        Rank of the nearest hit of higher density; the first hit's is itself.
    distance : ndarray of shape (n_hits,), float64
        Distance to it; infinite for the first hit.
    """

    order: NDArray[np.int64]
    density: NDArray[np.float64]
    higher: NDArray[np.int64]
    distance: NDArray[np.float64]


def clue_links(
    z: AnyArray,
    energy: AnyArray | None = None,
    density_radius: float = 0.1,
    *,
    kernel: Kernel = "flat",
    normalize: bool = True,
) -> Links:
    """Local energy density of each hit and its nearest higher neighbour: the part of `clue` without thresholds.

    Parameters
    ----------
    z, energy, density_radius, kernel, normalize
        As in `clue`.

    Returns
    -------
    Links

    Notes
    -----
    Points are cut into compact leaves, and only pairs of leaves that may hold something are looked at: exact, about
    O(N log N) time for showers, O(N) memory.
    """
    from cmlflow.readouts.density_kernels import local_sum, nearest_higher  # compiled on use

    at_least("density_radius", density_radius, 0, strict=True)
    if kernel not in ("flat", "gaussian"):
        raise ValueError(f"kernel: got {kernel!r}, needs 'flat' or 'gaussian'")
    x = points(z, "z", normalize)
    weight = weights(energy, len(x), x.device).cpu().numpy()
    place = x.cpu().numpy()
    if not len(place):
        return Links(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64), np.empty(0))
    by_place = np.lexsort((-weight, *place.T[::-1]))
    weight, place = weight[by_place], place[by_place]
    cloud = leaves(place)
    flat = kernel == "flat"
    density = weight + (0.5 if flat else 1.0) * local_sum(cloud, weight, density_radius, falling=not flat)
    # sums over the same hits in another order must still tie
    mantissa, exponent = np.frexp(density)
    density = np.ldexp(np.round(mantissa * 2.0**40), exponent - 40)
    order = rank(density, np.column_stack([-weight, place])).astype(np.int64)
    higher, distance = nearest_higher(cloud, order)
    return Links(by_place[order], density[order], higher, distance)


def follow(
    links: Links, link_distance: float = 0.5, min_density: float = 0.0, outlier_distance: float | None = None
) -> Labels:
    """Cut the chains of nearest higher neighbours into clusters: the thresholds of `clue`.

    Parameters
    ----------
    links : Links
    link_distance, min_density, outlier_distance
        As in `clue`.

    Returns
    -------
    ndarray of shape (n_hits,), int64
    """
    at_least("link_distance", link_distance, 0)
    n_hits = len(links.order)
    far = links.distance > link_distance
    dense = links.density >= min_density
    seed = far & dense
    if outlier_distance is None:
        outlier = np.zeros(n_hits, bool)
        seed[:1] = True
    else:
        at_least("outlier_distance", outlier_distance, 0)
        outlier = ~dense & (links.distance > outlier_distance)
    root = np.where(seed | outlier, np.arange(n_hits), links.higher)
    while True:
        further = root[root]
        if np.array_equal(further, root):
            break
        root = further
    number = np.where(seed, np.cumsum(seed) - 1, -1)
    labels = np.empty(n_hits, np.int64)
    labels[links.order] = number[root]
    return labels


def clue(
    z: Array,
    energy: AnyArray | None = None,
    density_radius: float = 0.1,
    link_distance: float = 0.5,
    min_density: float = 0.0,
    *,
    outlier_distance: float | None = None,
    kernel: Kernel = "flat",
    normalize: bool = True,
) -> Array:
    """Cluster one event's embedding around peaks of its energy density, along chains of nearest higher neighbours.

    The density of hit i is E_i + 1/2 sum E_j over the other hits within `density_radius` (kernel "flat") or
    E_i + sum E_j exp(-(d_ij / density_radius)^2) over the same hits ("gaussian"). A hit with no denser hit within
    `link_distance` is a seed; every other hit joins the cluster of its nearest denser hit. Chains follow elongated
    groups that a ball around a centre would cut.

    Parameters
    ----------
    z : ndarray or Tensor of shape (n_hits, D)
        Embedding, scaled to unit vectors here unless `normalize` is False.
    energy : ndarray or Tensor of shape (n_hits,), optional
        Hit energies, at least 0; all 1 by default.
    density_radius, link_distance : float
    min_density : float
        Least density of a seed, in the unit of `energy`.
    outlier_distance : float, optional
        Hits below `min_density` with no denser hit within this distance are noise, -1, and so are their followers. By
        default every hit is assigned, and the densest hit is always a seed.
    kernel : {"flat", "gaussian"}
    normalize : bool

    Returns
    -------
    ndarray or Tensor of shape (n_hits,), int64
        Clusters 0..C-1 by decreasing density of their seed; -1 noise.

    Raises
    ------
    ValueError
        `z` has not two axes or is not finite, `energy` does not fit or is negative, or a setting is out of range.

    Notes
    -----
    Equal densities are ordered by energy, then by coordinates, so the result does not depend on the order of hits.

    References
    ----------
    A. Rodriguez, A. Laio, Science 344 (2014) 1492. M. Rovere et al., "CLUE: a fast parallel clustering algorithm
    for high granularity calorimeters in high-energy physics", Front. Big Data 3 (2020) 591315.

    Examples
    --------
    >>> import numpy as np
    >>> clue(np.array([[1.0, 0.0], [1.0, 0.05], [0.0, 1.0]]), np.array([1.0, 2.0, 0.5]))
    array([0, 0, 1])
    """
    links = clue_links(z, energy, density_radius, kernel=kernel, normalize=normalize)
    return same_kind(follow(links, link_distance, min_density, outlier_distance), z)


class Clue(EventReadout):
    """`clue` as a scikit-learn clusterer; hit energies are its `sample_weight`.

    Parameters
    ----------
    density_radius, link_distance, min_density, outlier_distance, kernel, normalize
        As in `clue`.
    """

    uses_energy = True

    def __init__(
        self,
        density_radius: float = 0.1,
        link_distance: float = 0.5,
        min_density: float = 0.0,
        outlier_distance: float | None = None,
        kernel: Kernel = "flat",
        normalize: bool = True,
    ) -> None:
        self.density_radius = density_radius
        self.link_distance = link_distance
        self.min_density = min_density
        self.outlier_distance = outlier_distance
        self.kernel = kernel
        self.normalize = normalize

    def fit(self, X: AnyArray, y: None = None, sample_weight: AnyArray | None = None) -> Self:
        """Cluster one event.

        Parameters
        ----------
        X : array_like of shape (n_hits, D), float
        y : None
            Ignored.
        sample_weight : array_like of shape (n_hits,), float, optional
            Hit energies; all 1 by default.
        """
        self.labels_ = self._cluster(self._event(X, reset=True), [self.get_params()], sample_weight)[0]
        return self

    def tuning_grid(self) -> Grid:
        """Logarithmic in both lengths: 8 density radii in 0.02-0.4, 14 link distances in 0.1-1.4."""
        return {
            "density_radius": np.geomspace(0.02, 0.4, 8).round(4).tolist(),
            "link_distance": np.geomspace(0.1, 1.4, 14).round(4).tolist(),
        }

    def _cluster(self, x: NDArray[np.float64], settings: Sequence[Setting], energy: AnyArray | None) -> list[Labels]:
        labels: dict[int, Labels] = {}
        for first, positions in grouped(settings, "density_radius", "kernel", "normalize"):
            links = clue_links(
                points(x, "X"),
                energy,
                first["density_radius"],
                kernel=first["kernel"],
                normalize=first["normalize"],
            )
            for position in positions:
                chosen = settings[position]
                labels[position] = follow(
                    links, chosen["link_distance"], chosen["min_density"], chosen["outlier_distance"]
                )
        return [labels[position] for position in range(len(settings))]
