"""Tracks among the cells of a slab detector: distances, rings, the nearest topo-cluster, the first interaction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmlflow.baselines.pflow.topoclusters import slab_of
from cmlflow.detectors import Slab
from cmlflow.event import Event, IntArray

Array = NDArray[np.float64]

INTERACTION_LENGTH = (37.5, 17.4)
"""Interaction length [cm] of the electromagnetic and the hadronic layers. The first follows from the mixture of lead
and argon, 1.2 to 4.5 by mass at 3.49 g/cm3; the second is that of arXiv:2003.08863, section 2."""
WIDTH = 5.25  # [cm]: 0.035, the width in ΔR of arXiv:1703.10485, section 6.4, at 150 cm


@dataclass(frozen=True)
class Matching:
    """How tracks are brought together with topo-clusters.

    Attributes
    ----------
    reach : int, default 2
        A topo-cluster without a cell in this ring around the track, or a nearer one, is not matched; a track without
        any has no cells.
    width : float [cm], default 5.25
        Of the Gaussian that weighs cells by their distance from the track in the layer of first interaction.
    """

    reach: int = 2
    width: float = WIDTH

    def __post_init__(self) -> None:
        if not (self.reach >= 0 and self.width > 0):
            raise ValueError(f"reach is {self.reach} and width {self.width:g} cm, expected 0 or above, and above 0")


def track_points(event: Event, detector: Slab) -> Array:
    """Where each track, straight on, is in the middle of each layer, shape (n_tracks, n_layers, 2) [cm].

    In the middle, as that is where the position of a cell is; nan for a track that does not fly forward.
    """
    tracks = event.tracks
    if tracks is None:
        where = event.title
        raise ValueError(f"{where}: has no tracks, expected tracks (an empty list of them is allowed)")
    entry, direction = tracks.entry.astype(np.float64), tracks.direction.astype(np.float64)
    forward = direction[:, 2] > 0
    slope = np.where(forward[:, None], direction[:, :2], np.nan) / np.where(forward, direction[:, 2], 1.0)[:, None]
    out: Array = entry[:, None, :2] + slope[:, None] * (detector.z - entry[:, 2:])[:, :, None]
    return out


def distances(event: Event) -> Array:
    """Distance [cm] of each hit from each track across the axis, in the hit's layer, shape (n_tracks, n_hits)."""
    points = track_points(event, slab_of(event))[:, event.layer - 1]
    out: Array = np.linalg.norm(points - event.position[None, :, :2], axis=2)
    return np.where(np.isfinite(out), out, np.inf)


def rings(distance: Array, layer: IntArray, detector: Slab) -> IntArray:
    """The ring around the track in which a cell's centre lies: k from k to k + 1 cell sides, in its own layer.

    "Rings of radius equal to a single cell pitch" ([1]_, section 5).

    Parameters
    ----------
    distance : ndarray of shape (..., n_hits), float [cm]
    layer : ndarray of shape (n_hits,), int64
    detector : Slab

    Returns
    -------
    ndarray of shape (..., n_hits), int64

    References
    ----------
    .. [1] F. A. Di Bello et al., Eur. Phys. J. C 81 (2021) 107.
    """
    pitch = detector.width / detector.n_cells[layer - 1]
    out: IntArray = np.floor(np.minimum(distance, 2 * detector.width) / pitch).astype(np.int64)
    return out


def matched_clusters(event: Event, labels: IntArray, distance: Array, matching: Matching = Matching()) -> IntArray:
    """The topo-cluster of each track: the closest one to the extrapolated track ([1]_, section 5).

    The text does not say how the distance of a topo-cluster is taken. Here it is the number of the nearest ring in
    which it has a cell, in any layer; of equally near ones the track has that with the most energy in this ring. (Mean
    distances fail for tracks at the rim of a large topo-cluster, as in jets.)

    Returns
    -------
    ndarray of shape (n_tracks,), int64
        -1 for none.

    References
    ----------
    .. [1] F. A. Di Bello et al., Eur. Phys. J. C 81 (2021) 107.
    """
    n = int(labels.max(initial=-1)) + 1
    out = np.full(len(distance), -1, np.int64)
    own = np.flatnonzero(labels >= 0)
    if not (n and len(out)):
        return out
    ring = rings(distance[:, own], event.layer[own], slab_of(event))
    nearest = ring.min(axis=1)
    there = np.where(ring == nearest[:, None], event.energy[own].astype(np.float64), 0.0)
    energy = there @ (labels[own][:, None] == np.arange(n))
    near = nearest <= matching.reach
    out[near] = energy[near].argmax(axis=1)
    return out


def first_interaction(energy: Array, distance: Array, layer: IntArray, detector: Slab, width: float = WIDTH) -> int:
    r"""Layer, 1..n_layers, in which the first nuclear interaction seems to be, from the cells of one topo-cluster.

    [1]_ (section 5) uses it and does not say how it is estimated; this is the way of [2]_ (section 6.4), which it
    follows. The energy density along the track is, with the volume :math:`V_j` of a cell of layer j,

    .. math::
        \rho_j = \sum_{i\in j} \frac{E_i}{V_j} \exp\left(-\frac{d_i^2}{2 w^2}\right),

    and the layer is that into which it rises most steeply with depth in interaction lengths, from 0 in front of the
    first layer. In this detector, whose first layer is thin and has the smallest cells, that is mostly the first; other
    estimators part the pions better and do not lead to better residuals (docs, "Particle flow").

    Parameters
    ----------
    energy, distance : ndarray of shape (n_cells,), float [GeV, cm]
    layer : ndarray of shape (n_cells,), int64
    detector : Slab
    width : float [cm]

    References
    ----------
    .. [1] F. A. Di Bello et al., Eur. Phys. J. C 81 (2021) 107.
    .. [2] M. Aaboud et al. (ATLAS), Jet reconstruction and performance using particle flow with the ATLAS Detector,
       Eur. Phys. J. C 77 (2017) 466.
    """
    volume = (detector.width / detector.n_cells) ** 2 * detector.thickness
    weight = np.exp(-0.5 * (distance / width) ** 2)
    density = np.bincount(layer - 1, energy * weight, detector.n_layers) / volume
    length = detector.thickness / np.repeat(INTERACTION_LENGTH, 3)
    depth = np.cumsum(length) - length / 2
    return int(np.argmax(np.diff(density, prepend=0.0) / np.diff(depth, prepend=0.0))) + 1
