"""From energies of cells to GeV, and to kinds and four-momenta of candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.association.features import line_distances
from cmlflow.event import Event, IntArray, vertex_of
from cmlflow.particles import MASS, NEUTRON, PHOTON, PION

Array = NDArray[np.float64]


@dataclass(frozen=True)
class EnergyScale:
    r"""From energies in groups of layers to the energy of a neutral candidate, and which kind it is.

    The energy of a kind is :math:`E = S e^{a + b \ln S}`, :math:`S = \sum_g w_g E_g`, with the energies :math:`E_g` in
    the groups of layers, where :math:`\ln S` is kept in the range of the fit. The probability of being photon-like is
    that of a logistic fit on the candidate's shape; the energy is the mean of the two weighted with it.

    Attributes
    ----------
    edges : tuple of int
        Groups of layers, as in `cmlflow.association.features.layer_groups`.
    photon, hadron : tuple of float
        Weights of the groups [GeV per unit of the hit energies].
    photon_curve, hadron_curve : (float, float, float, float)
        a, b, and the range of ln S.
    shape : tuple of float
        Weights of the logistic fit, the constant first; photon-like is positive.
    centre, scale : tuple of float
        Subtracted from, and dividing, each feature of the shape.
    """

    edges: tuple[int, ...]
    photon: tuple[float, ...]
    hadron: tuple[float, ...]
    photon_curve: tuple[float, float, float, float]
    hadron_curve: tuple[float, float, float, float]
    shape: tuple[float, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]

    def energies(self, groups: Array) -> tuple[Array, Array]:
        """Energies [GeV] as photon-like and as neutral hadron, from `groups` (C, G); both of shape (C,)."""
        return _apply(groups, self.photon, self.photon_curve), _apply(groups, self.hadron, self.hadron_curve)

    def photon_probability(self, shapes: Array) -> Array:
        """Probability of being photon-like from the features of `shower_shapes`, shape (C,)."""
        x = (shapes - np.array(self.centre)) / np.array(self.scale)
        out: Array = 1 / (1 + np.exp(-np.clip(self.shape[0] + x @ np.array(self.shape[1:]), -50, 50)))
        return out

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists only, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> EnergyScale:
        """From what `to_dict` gave, also after a round trip through JSON."""
        return cls(**{name: tuple(value) for name, value in state.items()})


def group_energies(event: Event, share: ArrayLike, edges: tuple[int, ...]) -> Array:
    """Energy of each candidate in each group of layers, shape (C, G), from shares of shape (C, n_hits)."""
    part = np.asarray(share, np.float64) * event.energy
    group = np.searchsorted(np.array(edges, np.int64), event.layer, side="right")
    return np.stack([part[:, group == g].sum(axis=1) for g in range(len(edges) + 1)], axis=1)


def barycentres(event: Event, share: ArrayLike) -> Array:
    """Energy-weighted mean position of each candidate [cm], shape (C, 3); nan without energy."""
    part = np.asarray(share, np.float64) * event.energy
    total = part.sum(axis=1, keepdims=True)
    out: Array = np.divide(part @ event.position, total, out=np.full((len(part), 3), np.nan), where=total > 0)
    return out


def shower_shapes(
    event: Event, share: ArrayLike, edges: tuple[int, ...], vertex: str | ArrayLike = (0.0, 0.0, 0.0)
) -> Array:
    """Longitudinal and lateral shape of each candidate.

    Parameters
    ----------
    event : Event
    share : array_like of shape (C, n_hits), float
    edges : tuple of int
        Groups of layers.
    vertex : array_like of shape (3,) or "tracks"
        As in `cmlflow.event.vertex_of`.

    Returns
    -------
    ndarray of shape (C, G + 3), float64
        Fraction of the energy in each group of layers but the first; logarithm of the energy; mean distance from the
        vertex and spread of it along the axis [100 cm]; root mean square distance from the axis [10 cm].
    """
    part = np.asarray(share, np.float64) * event.energy
    groups = group_energies(event, share, edges)
    total = part.sum(axis=1)
    weight = np.divide(part, total[:, None], out=np.zeros_like(part), where=total[:, None] > 0)
    start = vertex_of(event, vertex)
    middle = np.where(total[:, None] > 0, barycentres(event, share), start + np.array([0.0, 0.0, 1.0]))
    direction = middle - start
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-12)
    lateral, along = line_distances(event.position.astype(np.float64), np.repeat(start[None], len(part), 0), direction)
    mean = (weight * along).sum(axis=1)
    spread = np.sqrt(np.maximum((weight * along**2).sum(axis=1) - mean**2, 0))
    width = np.sqrt((weight * lateral**2).sum(axis=1))
    fraction = groups[:, 1:] / np.maximum(total[:, None], 1e-12)
    return np.column_stack([fraction, np.log(total + 0.01), mean / 100, spread / 100, width / 10])


def four_momenta(
    event: Event,
    share: ArrayLike,
    track: IntArray,
    scale: EnergyScale,
    *,
    vertex: str | ArrayLike = (0.0, 0.0, 0.0),
) -> tuple[IntArray, Array]:
    """Kind and four-momentum of every candidate.

    Charged: the momentum and direction of the track, with the mass of a charged pion. Neutral: massless, the
    calibrated energy of its cells, flying from the vertex to their energy-weighted mean position.

    Parameters
    ----------
    event : Event
    share : array_like of shape (C, n_hits), float
    track : ndarray of shape (C,), int64
        -1 for neutral candidates.
    scale : EnergyScale
    vertex : array_like of shape (3,) [cm] or "tracks"
        Where neutral particles come from: a point, or where the event's tracks come from; see
        `cmlflow.event.vertex_of`.

    Returns
    -------
    pdg_id : ndarray of shape (C,), int64
        211, 22 or 2112.
    momentum : ndarray of shape (C, 4), float64 [GeV]
        px, py, pz, E; 0 for a neutral candidate without energy.
    """
    part, track = np.asarray(share, np.float64), np.asarray(track, np.int64)
    pdg_id = np.full(len(track), PION, np.int64)
    out = np.zeros((len(track), 4))
    own = track >= 0
    if own.any():
        assert event.tracks is not None
        p = event.tracks.momentum[track[own]].astype(np.float64)
        out[own, :3] = p[:, None] * event.tracks.direction[track[own]]
        out[own, 3] = np.sqrt(p**2 + MASS[PION] ** 2)
    if not own.all():
        rows = part[~own]
        probability = scale.photon_probability(shower_shapes(event, rows, scale.edges, vertex))
        as_photon, as_hadron = scale.energies(group_energies(event, rows, scale.edges))
        energy = probability * as_photon + (1 - probability) * as_hadron
        direction = np.nan_to_num(barycentres(event, rows) - vertex_of(event, vertex))
        direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-12)
        pdg_id[~own] = np.where(probability >= 0.5, PHOTON, NEUTRON)
        out[~own] = energy[:, None] * np.column_stack([direction, np.ones(len(rows))])
    return pdg_id, out


def _apply(groups: Array, weights: tuple[float, ...], curve: tuple[float, float, float, float]) -> Array:
    s = groups @ np.array(weights)
    a, b, low, high = curve
    out: Array = s * np.exp(a + b * np.clip(np.log(np.maximum(s, 1e-12)), low, high))
    return out
