"""Where the energy of a hit comes from: particles with a track, particles without one, nobody."""

from __future__ import annotations

import numpy as np

from cmlflow.event import Event, FloatArray


def origins(event: Event) -> FloatArray:
    """Part of each hit's deposited energy that is charged, neutral and nobody's.

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
    charged = np.zeros(event.n_particles + 1, np.bool_)  # the last one stands for -1
    if event.tracks is not None:
        charged[event.tracks.particle[event.tracks.particle >= 0]] = True
    kind = np.where(d.particle < 0, 2, np.where(charged[d.particle], 0, 1))
    out = np.bincount(3 * d.hit + kind, event.fractions, 3 * event.n_hits)
    return out.reshape(-1, 3).astype(np.float32)
