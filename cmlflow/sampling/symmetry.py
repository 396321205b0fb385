"""The eight symmetries of the square cell grid, as augmentation of events from files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cmlflow.event import Event, Tracks


def grid_symmetry(event: Event, number: int) -> Event:
    """Reflect an event: bit 0 of `number` turns x into -x, bit 1 y into -y, bit 2 exchanges x and y.

    Exact for detectors whose cells lie on a square grid that is symmetric about the z axis. Particles and tracks are
    moved with the hits.

    Parameters
    ----------
    event : Event
    number : int
        0..7; 0 changes nothing.

    Raises
    ------
    ValueError
        For another number.
    """
    if not 0 <= number < 8:
        raise ValueError(f"symmetry is {number}, expected 0..7")
    p, t = event.particles, event.tracks
    return event.replace(
        position=_transform(event.position, number),
        particles=replace(p, direction=_transform(p.direction, number)),
        tracks=None if t is None else _transform_tracks(t, number),
    )


def _transform(vectors: np.ndarray, number: int) -> np.ndarray:
    signs = np.array([-1 if number & 1 else 1, -1 if number & 2 else 1, 1], np.float32)
    out = vectors * signs
    return out[..., [1, 0, 2]] if number & 4 else out


def _transform_tracks(tracks: Tracks, number: int) -> Tracks:
    direction, entry = _transform(tracks.direction, number), _transform(tracks.entry, number)
    crossing = None if tracks.crossing is None else _transform(tracks.crossing, number)
    return Tracks(tracks.momentum, direction, entry, tracks.particle, crossing)
