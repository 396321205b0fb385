"""Axes of showers: lines from the origin along which a particle came in, the seeds of its shower.

A charged pion is a thin track before it becomes a shower, and an electron has a dense core; either lies within a cell
or two of the line from the origin along which the particle flew. For the line through every hit, `AxisFinder` counts
what lies around it, ring by ring and depth by depth, and a small network says from that whether it is the axis of a
shower. It takes the place of the condensation strength of object condensation, with the slopes as coordinates, so that
OC inference finds the showers. For particles from the origin and layers across the z axis, on one side of the origin.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cmlflow.graphs.compiling import compiled
from cmlflow.nets.backbones.scaling import REFERENCE_Z, slopes
from cmlflow.nets.heads.offset import SLOPE_UNIT
from cmlflow.nets.scorer import Standardise, mlp

Array = np.ndarray[Any, Any]

RINGS = (0.8, 1.6, 3.0, 6.0)  # outer radii around a line [cm], projected to z = 350 cm
DEPTHS = np.array([0.08, 0.16, 0.3, 0.42, 0.58, 0.72, 1.0])  # ends of ranges of layers, narrow where tracks are
N_DEPTHS = len(DEPTHS)
N_COUNTED = 2  # inner rings in which layers with hits are counted
N_FEATURES = (len(RINGS) + N_COUNTED) * N_DEPTHS


def projected(x: Tensor) -> Array:
    """x and y of points (N, F), projected along lines to the origin to z = 350 cm: shape (N, 2) [cm], float64."""
    return np.ascontiguousarray((slopes(x.cpu().double()) * REFERENCE_Z).numpy())


class AxisFinder(Standardise):
    """Slopes of every hit as coordinates, and how likely the line from the origin through it is the axis of a shower.

    Stands where others have a network: ``finder(x, ptr=None) -> {"coordinates", "beta"}``.

    Parameters
    ----------
    width : int, default=64
        Of the hidden layers.

    Attributes
    ----------
    ends : Tensor of shape (7,)
        Last layer of every range of depth, from the training sample.
    """

    ends: Tensor

    def __init__(self, width: int = 64) -> None:
        super().__init__(N_FEATURES)
        self.register_buffer("ends", torch.arange(N_DEPTHS, dtype=torch.float32))
        self.score = mlp(N_FEATURES, width, width // 2, 1)

    def forward(self, x: Tensor, ptr: Tensor | None = None) -> dict[str, Tensor]:
        """Points of shape (N, 5), events limited by `ptr`, to ``coordinates`` (N, 2) and ``beta`` (N,) in (0, 1)."""
        bounds = [0, len(x)] if ptr is None else ptr.tolist()
        features = [self.features(x[a:b]) for a, b in itertools.pairwise(bounds)]
        beta = torch.sigmoid(self.logits(torch.cat([torch.zeros(0, N_FEATURES), *features]).to(x.device)))
        return {"coordinates": slopes(x) / SLOPE_UNIT, "beta": beta}

    def logits(self, features: Tensor) -> Tensor:
        """Features of lines (N, 42) to scores (N,)."""
        out: Tensor = self.score(self.scaled(features))
        return out[:, 0]

    def depths(self, x: Tensor) -> Array:
        """Range of depth, 0..6, of each of the points (N, 5)."""
        return np.minimum(np.searchsorted(self.ends.cpu().numpy(), x[:, 4].cpu().numpy()), N_DEPTHS - 1)

    def features(self, x: Tensor, at: Array | None = None) -> Tensor:
        """What lies around lines from the origin in one event.

        Parameters
        ----------
        x : Tensor of shape (N, 5)
            x, y, z [cm], energy, layer.
        at : ndarray of shape (M, 2) [cm], optional
            Where the lines pass at z = 350 cm; by default those through the hits.

        Returns
        -------
        Tensor of shape (M, 42), float32
            log(1 + energy) by ring and depth, then the number of layers with a hit within the first, and the second
            radius, by depth.
        """
        p = projected(x)
        layers, layer = np.unique(x[:, 4].cpu().numpy(), return_inverse=True)
        order = np.lexsort((x[:, 3].cpu().numpy(), layer, p[:, 1], p[:, 0]))  # sums do not depend on the order of hits
        energy, count = _around(
            p[order], x[:, 3].double().cpu().numpy()[order], layer[order], self.depths(x)[order], len(layers),
            p if at is None else np.ascontiguousarray(at, np.float64), np.square(RINGS),
        )  # fmt: skip
        columns = np.concatenate([np.log1p(energy), count], 1)
        return torch.from_numpy(columns.reshape(len(columns), N_FEATURES).astype(np.float32))


@compiled()
def _around(
    p: Array, energy: Array, layer: Array, depth: Array, n_layers: int, at: Array, squared: Array
) -> tuple[Array, Array]:
    """Energy by ring and depth, and layers with hits by inner radius and depth, around every line.

    Hits `p` rise in x, so only those within the outer radius in x are looked at.
    """
    n_rings = len(squared)
    total = np.zeros((len(at), n_rings, N_DEPTHS))
    count = np.zeros((len(at), N_COUNTED, N_DEPTHS))
    seen = np.full((N_COUNTED, n_layers), -1)  # the last line that counted the layer
    reach = np.sqrt(squared[-1])
    first = np.searchsorted(p[:, 0], at[:, 0] - reach)
    for i in range(len(at)):
        j = first[i]
        while j < len(p) and p[j, 0] <= at[i, 0] + reach:
            away = (p[j, 0] - at[i, 0]) ** 2 + (p[j, 1] - at[i, 1]) ** 2
            ring = 0
            while ring < n_rings and away > squared[ring]:
                ring += 1
            if ring < n_rings:
                total[i, ring, depth[j]] += energy[j]
            for r in range(ring, N_COUNTED):
                if seen[r, layer[j]] != i:
                    seen[r, layer[j]] = i
                    count[i, r, depth[j]] += 1
            j += 1
    return total, count
