"""Which cells of a slab detector are read out: significant ones and their neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmlflow.detectors import Slab

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Selection:
    """Thresholds of the selection, in units of a cell's noise.

    Attributes
    ----------
    seed : float, default 5
        Cells at or above this start a group.
    grow : float, default 2
        Members of a group at or above this bring in their neighbours.
    edge : float, default 2
        Neighbours at or above this are kept; below `grow` they bring in no others.
    """

    seed: float = 5.0
    grow: float = 2.0
    edge: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.edge <= self.grow <= self.seed:
            raise ValueError(
                f"selection: edge {self.edge:g}, grow {self.grow:g}, seed {self.seed:g}, expected "
                "0 < edge <= grow <= seed, in units of the noise"
            )


def select_cells(energy: NDArray[np.float64], detector: Slab, selection: Selection) -> Mask:
    """Mask of the cells that are kept: seeds and the cells reached from them.

    Neighbours of a cell are the 24 cells around it in its layer, up to two away, and those of the layers in front and
    behind that it overlaps. Groups grow from seeds: neighbours of members with at least `grow` times the noise join,
    until none is left. Neighbours with at least `edge` times the noise are kept.

    Parameters
    ----------
    energy : ndarray of shape (n_cells,), float64 [GeV]
        Measured energy of every cell of the detector, in the order of `Slab.offset`; may be negative.
    detector : Slab
        With noise.
    selection : Selection

    Returns
    -------
    ndarray of shape (n_cells,), bool

    References
    ----------
    F. A. Di Bello et al., Towards a Computer Vision Particle Flow, Eur. Phys. J. C 81 (2021) 107, section 5.
    G. Aad et al. (ATLAS), Topological cell clustering in the ATLAS calorimeters, Eur. Phys. J. C 77 (2017) 490.
    """
    significance = energy / np.repeat(detector.noise, detector.n_cells**2)
    member = significance >= selection.seed
    front = member
    while front.any():
        reached = _split_and_join(front & (significance >= selection.grow), detector)
        front = reached & ~member & (significance >= selection.edge)
        member = member | front
    return member


def _split_and_join(cells: Mask, detector: Slab) -> Mask:
    """The cells and all their neighbours."""
    edges = detector.offset
    layers = [cells[a:b].reshape(n, n) for a, b, n in zip(edges[:-1], edges[1:], detector.n_cells, strict=True)]
    wide = [_dilate(c) for c in layers]
    for here, there in zip(range(len(layers) - 1), range(1, len(layers)), strict=True):
        wide[there] = wide[there] | _overlap(layers[here], len(layers[there]))
        wide[here] = wide[here] | _overlap(layers[there], len(layers[here]))
    return np.concatenate([w.reshape(-1) for w in wide])


def _dilate(cells: Mask) -> Mask:
    """Cells of a layer (n, n) that are at most two away in x and in y from one that is set."""
    for _ in range(2):
        out = np.pad(cells, 2)
        n = len(cells)
        row = out[:, 0:n] | out[:, 1 : n + 1] | out[:, 2 : n + 2] | out[:, 3 : n + 3] | out[:, 4 : n + 4]
        cells = row[2 : n + 2].T  # first along y, then, turned, along x
    return cells


def _overlap(cells: Mask, n: int) -> Mask:
    """Cells of a layer with n along a side that overlap one that is set in a layer (m, m) of the same width."""
    m = len(cells)
    if m <= n:
        return np.repeat(np.repeat(cells, n // m, axis=0), n // m, axis=1)
    out: Mask = np.logical_or.reduce(cells.reshape(n, m // n, n, m // n), axis=(1, 3))
    return out
