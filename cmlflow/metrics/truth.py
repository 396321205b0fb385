"""Candidates of perfect pattern recognition, and which true particles it could have seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.detectors import DETECTORS, Slab
from cmlflow.event import Event, particle_shares, tracked_particles, vertex_of
from cmlflow.metrics.matching import sum_by
from cmlflow.metrics.resolution import hit_weights
from cmlflow.particles import MASS, PION, neutral_classes

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


Calibration = Callable[[Event, Array, Ints], ArrayLike]
"""Takes an event, shares (C, n_hits) and classes (C,), and returns energies (C,) [GeV]."""


class TrueCandidates(NamedTuple):
    """Particle-flow candidates of perfect pattern recognition, in the form that candidates have.

    Attributes
    ----------
    share : ndarray of shape (C, n_hits), float64
        Part of each hit's deposited energy that is from the candidate's particle.
    pdg_id : ndarray of shape (C,), int64
        211 or -211 charged, 22 photon-like, 2112 neutral hadron.
    momentum : ndarray of shape (C, 4), float64 [GeV]
        px, py, pz, E.
    track : ndarray of shape (C,), int64
        Number of the track, -1 for neutral ones.
    """

    share: Array
    pdg_id: Ints
    momentum: Array
    track: Ints


def true_candidates(
    event: Event, calibrate: Calibration | None = None, *, vertex: ArrayLike | None = None
) -> TrueCandidates:
    """A charged candidate for every track, with its particle's true cells, and a neutral one for every other particle.

    Charged candidates have the momentum of the track, the direction of the track and the mass of a pion, as the tracks
    of any system have. Neutral ones have no mass, the calibrated energy of their true deposits in the hits, and
    fly from the vertex to the barycentre of these. Particles without a track and without deposits have no candidate.

    Parameters
    ----------
    event : Event
        With tracks and truth.
    calibrate : callable, optional
        How another system turns cells into energies, so that the two differ only by pattern recognition. By default the
        sum of shares times hit energies times the layer weights of the detector. vertex : array_like of shape (3,),
        optional [cm] As in `vertex_of`.
    """
    if event.tracks is None:
        raise ValueError(f"{event.title}: has no tracks, expected tracks (an empty list of them is allowed)")
    own, tracks = particle_shares(event), event.tracks
    alone = has_energy(event) & ~tracked_particles(event)
    neutral = np.flatnonzero(alone)

    # A row more, for tracks whose particle is not known: no cells, a positive pion.
    own = np.concatenate([own, np.zeros((1, event.n_hits))])
    code = np.append(event.particles.pdg_id, PION)
    share = own[np.concatenate([tracks.particle, neutral])]
    pdg_id = np.concatenate([np.where(code[tracks.particle] < 0, -PION, PION), neutral_classes(code[neutral])])

    p = tracks.momentum.astype(np.float64)[:, None] * tracks.direction.astype(np.float64)
    momentum = np.zeros((len(share), 4))
    momentum[: len(tracks)] = np.column_stack([p, np.sqrt((p**2).sum(axis=1) + MASS[PION] ** 2)])
    measured = share * (event.energy.astype(np.float64) * hit_weights(event))
    energy = measured.sum(axis=1) if calibrate is None else np.asarray(calibrate(event, share, pdg_id), np.float64)
    centre = measured @ event.position.astype(np.float64) / np.where(measured.sum(1) > 0, measured.sum(1), 1)[:, None]
    way = centre - vertex_of(event, vertex)
    way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-12)
    rest = slice(len(tracks), None)
    momentum[rest] = np.column_stack([way, np.ones(len(way))])[rest] * energy[rest, None]
    track = np.concatenate([np.arange(len(tracks)), np.full(len(neutral), -1)])
    return TrueCandidates(share, pdg_id, momentum, track.astype(np.int64))


def true_momenta(event: Event) -> Array:
    """Four-momenta (P, 4) [GeV] of the true particles: px, py, pz, E.

    Masses are those of `cmlflow.particles.MASS`; particles of other kinds have none.
    """
    energy, direction = event.particles.energy.astype(np.float64), event.particles.direction.astype(np.float64)
    mass = np.array([MASS.get(abs(int(code)), 0.0) for code in event.particles.pdg_id])
    p = np.sqrt(np.maximum(energy**2 - mass**2, 0.0))
    return np.column_stack([direction * p[:, None], energy])


def entering(event: Event, vertex: ArrayLike | None = None) -> NDArray[np.bool_]:
    """Which true particles meet the front face of the detector, shape (P,), flying straight from the vertex.

    All where the event's detector is none of the slab detectors, whose face is not known.

    Parameters
    ----------
    event : Event
    vertex : array_like of shape (3,), optional [cm]
        As in `vertex_of`.
    """
    slab = DETECTORS.get(event.detector or "")
    if not isinstance(slab, Slab):
        return np.ones(event.n_particles, np.bool_)
    start = vertex_of(event, vertex)
    d = event.particles.direction.astype(np.float64)
    forward = d[:, 2] > 0
    slope = d[:, :2] / np.where(forward, d[:, 2], 1.0)[:, None]
    point = start[:2] + slope * (slab.front[0] - start[2])
    out: NDArray[np.bool_] = forward & (np.abs(point) < slab.width / 2).all(axis=1)
    return out


def has_energy(event: Event) -> NDArray[np.bool_]:
    """Which particles left something in the hits, shape (P,)."""
    d = event.deposits
    known = d.particle >= 0
    left = sum_by(d.particle[known], event.fractions[known] * event.energy[d.hit[known]], event.n_particles)
    return left > 0
