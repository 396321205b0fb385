"""Inference of object condensation: greedy centres by the condensation strength beta."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmlflow.readouts.base import EventReadout, Grid, Setting
from cmlflow.readouts.greedy import greedy_centres, greedy_settings
from cmlflow.readouts.points import AnyArray, Array, Labels, at_least, per_hit, points, same_kind


def condensation(
    x: Array,
    beta: Array,
    threshold: float = 0.1,
    radius: float = 0.25,
    *,
    assign_rest: bool = True,
) -> Array:
    """Cluster one event's condensation coordinates around its hits of highest beta.

    In order of decreasing beta, a hit with beta above `threshold` becomes a centre if it is at least `radius` from all
    earlier ones. Each centre in turn claims the unclaimed hits nearer than `radius`; the rest go to the nearest centre.
    Without a hit above `threshold`, the one of largest beta is the only centre.

    Parameters
    ----------
    x : ndarray or Tensor of shape (n_hits, D)
        Raw coordinates of the condensation head.
    beta : ndarray or Tensor of shape (n_hits,)
    threshold, radius : float
    assign_rest : bool
        False leaves hits outside all radii as noise, -1.

    Returns
    -------
    ndarray or Tensor of shape (n_hits,), int64
        Clusters 0..C-1 by decreasing beta of their centre.

    Raises
    ------
    ValueError
        Shapes do not match, a value is not finite, or `radius` is negative.

    References
    ----------
    J. Kieseler, "Object condensation: one-stage grid-free multi-object reconstruction in physics detectors, graph,
    and image data", Eur. Phys. J. C 80 (2020) 886, section 2.4.

    Examples
    --------
    >>> import numpy as np
    >>> condensation(np.array([[0.0], [0.1], [1.0]]), np.array([0.9, 0.2, 0.5]), threshold=0.3, radius=0.5)
    array([0, 0, 1])
    """
    at_least("radius", radius, 0)
    coordinates = points(x, "x")
    score = per_hit(beta, len(coordinates), "beta")
    labels = greedy_centres(coordinates.cpu().numpy(), score.cpu().numpy(), threshold, radius, assign_rest)
    return same_kind(labels, x)


class Condensation(EventReadout):
    """`condensation` as a scikit-learn clusterer on rows [beta, coordinates].

    The defaults are the paper's for electromagnetic showers.

    Parameters
    ----------
    threshold, radius, assign_rest
        As in `condensation`.
    """

    def __init__(self, threshold: float = 0.1, radius: float = 0.25, assign_rest: bool = True) -> None:
        self.threshold = threshold
        self.radius = radius
        self.assign_rest = assign_rest

    def tuning_grid(self) -> Grid:
        """Linear in threshold (0.05-0.9) and radius (0.1-1.2); the repulsion of the loss ends at distance 1."""
        return {
            "threshold": np.linspace(0.05, 0.9, 18).round(3).tolist(),
            "radius": np.linspace(0.1, 1.2, 23).round(3).tolist(),
        }

    def _cluster(self, x: NDArray[np.float64], settings: Sequence[Setting], energy: AnyArray | None) -> list[Labels]:
        if x.shape[1] < 2:
            raise ValueError(f"X: got {x.shape[1]} feature(s), a minimum of 2 is required: [beta, coordinates]")
        rows = points(x, "X").numpy()
        labels = greedy_settings(np.ascontiguousarray(rows[:, 1:]), rows[:, 0], settings, range(len(settings)))
        return [labels[position] for position in range(len(settings))]
