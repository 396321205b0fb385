"""Where the particles of an event come from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.detectors import DETECTORS, Slab
from cmlflow.event.event import Event


def vertex_of(event: Event, vertex: str | ArrayLike | None = None) -> NDArray[np.float64]:
    """Where the particles of an event come from, shape (3,) [cm].

    Parameters
    ----------
    event : Event
    vertex : array_like of shape (3,) or "tracks", optional
        The point itself; or, for events that start somewhere in the plane z = 0, the mean over tracks of where their
        straight lines cross it, weighted with momentum: the origin where there are none. By default ``"tracks"`` in
        the slab detectors, which have no magnetic field, and the origin elsewhere.

    Raises
    ------
    ValueError
        For another word or shape.
    """
    if vertex is None:
        vertex = "tracks" if isinstance(DETECTORS.get(event.detector or ""), Slab) else np.zeros(3)
    if isinstance(vertex, str):
        if vertex != "tracks":
            raise ValueError(f"vertex is {vertex!r}, expected x, y, z [cm] or 'tracks'")
        t = event.tracks
        ahead = np.zeros(0, np.bool_) if t is None else np.abs(t.direction[:, 2]) > 1e-3
        if t is None or not ahead.any():
            return np.zeros(3)
        entry, direction = t.entry[ahead].astype(np.float64), t.direction[ahead].astype(np.float64)
        crossing = entry - direction * (entry[:, 2:] / direction[:, 2:])
        return np.average(crossing, axis=0, weights=np.maximum(t.momentum[ahead], 1e-6))
    point = np.asarray(vertex, np.float64)
    if point.shape != (3,):
        raise ValueError(f"vertex has shape {point.shape}, expected x, y, z [cm] or 'tracks'")
    return point
