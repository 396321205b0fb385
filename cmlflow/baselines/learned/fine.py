"""Coarse cells and the fine cells within them: geometry, truth, and `FineCells`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmlflow.detectors import Slab, slab_detector
from cmlflow.event import Event, FloatArray, IntArray
from cmlflow.event.deposits import origins

Array = NDArray[np.float64]
NEUTRAL = 1


@dataclass(frozen=True, eq=False)
class FineCells:
    """Neutral energy in the fine cells of one event.

    Attributes
    ----------
    position : ndarray of shape (n, 3), float32 [cm]
    energy : ndarray of shape (n,), float32 [GeV]
    parent : ndarray of shape (n,), int64
        Hit of the coarse event that each is part of.
    """

    position: FloatArray
    energy: FloatArray
    parent: IntArray

    def __len__(self) -> int:
        return len(self.energy)


@dataclass(frozen=True, eq=False)
class Children:
    """The fine cells in the hits of a coarse event, one hit after the other.

    Attributes
    ----------
    parent : ndarray of shape (n,), int64
    cell : ndarray of shape (n,), int64
        Number of the fine cell, in the order of `cmlflow.detectors.Slab.offset`.
    position : ndarray of shape (n, 3), float32 [cm]
    """

    parent: IntArray
    cell: IntArray
    position: FloatArray

    def __len__(self) -> int:
        return len(self.parent)


def factors(coarse: Slab, fine: Slab) -> IntArray:
    """Fine cells along a side of a coarse one, shape (n_layers,).

    Raises
    ------
    ValueError
        Names the layer in which coarse cells are no whole number of fine ones.
    """
    bad = np.flatnonzero(fine.n_cells % coarse.n_cells)
    if bad.size:
        i = int(bad[0])
        raise ValueError(
            f"layer {i + 1}: {coarse.n_cells[i]} cells along a side in {coarse.name} and {fine.n_cells[i]} in "
            f"{fine.name}, expected a whole number of fine cells in a coarse one"
        )
    out: IntArray = fine.n_cells // coarse.n_cells
    return out


def children_of(event: Event, fine: Slab) -> Children:
    """The fine cells in the hits of a coarse event.

    Parameters
    ----------
    event : Event
        Of a slab detector.
    fine : Slab
    """
    coarse = slab_detector(str(event.detector))
    up = factors(coarse, fine)
    which = event.layer - 1
    side = coarse.width / coarse.n_cells[which]
    ix, iy = (np.floor((event.position[:, i] + coarse.width / 2) / side).astype(np.int64) for i in (0, 1))
    number = up[which] ** 2
    parent = np.repeat(np.arange(event.n_hits), number)
    place = np.arange(len(parent)) - np.repeat(np.cumsum(number) - number, number)
    dx, dy = np.divmod(place, np.maximum(up[which][parent], 1))
    x, y = (i[parent] * up[which][parent] + d for i, d in ((ix, dx), (iy, dy)))
    layer = which[parent]
    cell = fine.offset[layer] + x * fine.n_cells[layer] + y
    return Children(parent, cell, fine.position(layer + 1, x, y))


def neutral_in_cells(event: Event) -> Array:
    """Neutral energy in every cell of the event's slab detector, shape (n_cells,), float64 [GeV]."""
    slab = slab_detector(str(event.detector))
    which = event.layer - 1
    side = slab.width / slab.n_cells[which]
    ix, iy = (np.floor((event.position[:, i] + slab.width / 2) / side).astype(np.int64) for i in (0, 1))
    cell = slab.offset[which] + ix * slab.n_cells[which] + iy
    energy = origins(event)[:, NEUTRAL].astype(np.float64) * event.energy
    return np.bincount(cell, energy, int(slab.offset[-1])).astype(np.float64)


def true_fractions(event: Event, fine: Event, children: Children) -> FloatArray:
    """Neutral energy in each fine cell over the measured energy of its coarse cell, shape (n,), float32.

    Parameters
    ----------
    event, fine : Event
        The same event in both detectors.
    children : Children
        Of `event`.

    Returns
    -------
    ndarray
        Sums over a coarse cell are at most 1: where noise made it measure less than its neutral energy, all of it is
        neutral.
    """
    energy = neutral_in_cells(fine)[children.cell]
    total = np.bincount(children.parent, energy, event.n_hits)
    whole = np.maximum(np.maximum(event.energy.astype(np.float64), total), 1e-9)
    out: FloatArray = (energy / whole[children.parent]).astype(np.float32)
    return out
