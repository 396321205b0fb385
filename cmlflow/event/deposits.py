"""Whose the energy of the hits is: shares by particle; charged, neutral and unassigned parts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmlflow.event.event import Event
from cmlflow.event.records import FloatArray


def particle_shares(event: Event) -> NDArray[np.float64]:
    """Share of every particle in the deposited energy of every hit.

    Returns
    -------
    ndarray of shape (n_particles, n_hits), float64
        Columns sum to 1, or to less where deposits are of unknown particles.
    """
    d = event.deposits
    out = np.zeros((event.n_particles, event.n_hits))
    known = d.particle >= 0
    np.add.at(out, (d.particle[known], d.hit[known]), event.fractions[known])
    return out


def tracked_particles(event: Event) -> NDArray[np.bool_]:
    """Which particles have a track, shape (n_particles,)."""
    out = np.zeros(event.n_particles, np.bool_)
    if event.tracks is not None:
        out[event.tracks.particle[event.tracks.particle >= 0]] = True
    return out


def origins(event: Event) -> FloatArray:
    """Part of each hit's deposited energy that is charged, neutral and unassigned.

    Parameters
    ----------
    event : Event
        Without tracks (None) everything known is neutral.

    Returns
    -------
    ndarray of shape (n_hits, 3), float32
        Of particles with a track, of particles without one, of unknown particles (-1) such as noise; rows sum to 1, or
        to 0 for hits without deposits.
    """
    d = event.deposits
    charged = np.append(tracked_particles(event), False)  # the last one stands for -1
    kind = np.where(d.particle < 0, 2, np.where(charged[d.particle], 0, 1))
    out = np.bincount(3 * d.hit + kind, event.fractions, 3 * event.n_hits)
    return out.reshape(-1, 3).astype(np.float32)
