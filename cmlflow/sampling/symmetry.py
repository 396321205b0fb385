"""The eight symmetries of the square cell grid, as augmentation of events from files."""

from __future__ import annotations

import numpy as np

from cmlflow.event import Event, Particles


def grid_symmetry(event: Event, number: int) -> Event:
    """Reflect an event: bit 0 of `number` turns x into -x, bit 1 y into -y, bit 2 exchanges x and y.

    Exact for detectors whose cells lie on a square grid that is symmetric about the z axis. Tracks are not moved:
    events with tracks raise a ValueError.
    """
    if event.tracks is not None:
        raise ValueError(f"event {event.number}: has tracks, which grid_symmetry does not transform")
    if not 0 <= number < 8:
        raise ValueError(f"symmetry is {number}, expected 0..7")
    p = event.particles
    return Event(
        _transform(event.position, number),
        event.energy,
        event.layer,
        event.particle_id,
        deposits=event.deposits if event.has_deposits else None,
        particles=Particles(p.pdg_id, p.energy, _transform(p.direction, number)),
        purity=event.purity if event.has_purity else None,
        detector=event.detector,
        number=event.number,
    )


def _transform(vectors: np.ndarray, number: int) -> np.ndarray:
    signs = np.array([-1 if number & 1 else 1, -1 if number & 2 else 1, 1], np.float32)
    out = vectors * signs
    return out[:, [1, 0, 2]] if number & 4 else out
