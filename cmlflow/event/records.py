"""The records of an event: deposits, particles, tracks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]

UNKNOWN = -1
"""Particle of a hit, deposit or track whose particle is not known."""


@dataclass(frozen=True, eq=False)
class Deposits:
    """Every particle's share of every hit, as parallel arrays.

    Attributes
    ----------
    hit : ndarray of shape (n_deposits,), int64
        Hit that received the energy, 0..n_hits-1.
    particle : ndarray of shape (n_deposits,), int64
        Particle that left it, 0..n_particles-1; -1 where the particle is not known.
    energy : ndarray of shape (n_deposits,), float32
        Deposited energy, in the unit of the hit energies.
    """

    hit: IntArray
    particle: IntArray
    energy: FloatArray

    def __len__(self) -> int:
        return len(self.hit)


@dataclass(frozen=True, eq=False)
class Particles:
    """The true particles of one event.

    Attributes
    ----------
    pdg_id : ndarray of shape (n_particles,), int64
        Particle Data Group code; 0 where unknown.
    energy : ndarray of shape (n_particles,), float32 [GeV]
        Energy of the particle; nan where unknown.
    direction : ndarray of shape (n_particles, 3), float32
        Unit vector of the momentum at the production point; nan where unknown.
    number : ndarray of shape (n_particles,), int64, optional
        Number of the particle where it comes from, such as its track in the simulation. None where it is its place.
    """

    pdg_id: IntArray
    energy: FloatArray
    direction: FloatArray
    number: IntArray | None = None

    def __len__(self) -> int:
        return len(self.pdg_id)

    @classmethod
    def unknown(cls, n_particles: int, number: IntArray | None = None) -> Particles:
        """Particles of which nothing but how many there are is known, and their numbers where they are given."""
        return cls(
            np.zeros(n_particles, np.int64),
            np.full(n_particles, np.nan, np.float32),
            np.full((n_particles, 3), np.nan, np.float32),
            number,
        )


@dataclass(frozen=True, eq=False)
class Tracks:
    """The reconstructed tracks of one event.

    Attributes
    ----------
    momentum : ndarray of shape (n_tracks,), float32 [GeV]
        Absolute momentum.
    direction : ndarray of shape (n_tracks, 3), float32
        Unit vector at the entry point.
    entry : ndarray of shape (n_tracks, 3), float32 [cm]
        Point where the track enters the calorimeter.
    particle : ndarray of shape (n_tracks,), int64
        True particle of the track; -1 where unknown.
    crossing : ndarray of shape (n_tracks, n_layers, 3), float32 [cm], optional
        Point where the track enters each layer of the detector, in the order of the layers; nan where it does not
        cross one. None where it is not known.
    """

    momentum: FloatArray
    direction: FloatArray
    entry: FloatArray
    particle: IntArray
    crossing: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.momentum)
