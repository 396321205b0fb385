"""Focus samples as points of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cmlflow.baselines.learned.clouds import Cloud
from cmlflow.event import Event
from cmlflow.event.deposits import origins
from cmlflow.metrics.association import track_shares
from cmlflow.sampling.focus import CELL, FOCUS, FocusSample

FEATURES = 9
LEAST_ENERGY = 1e-3
SLAB_SCALES = (200.0, 15.0, 60.0, 10.0, 6.0)
"""Centre of z, scales of x and y, of z, of the distance to the track [cm], and of the layer."""


def focus_clouds(
    event: Event, samples: Sequence[FocusSample], scales: Sequence[float] = SLAB_SCALES, truth: bool = True
) -> Iterator[Cloud]:
    """Focus samples as points of a network, nine features each.

    x and y from where the focus track enters, z, and the distance to the focus track, scaled; half the logarithm of the
    energy or momentum [GeV]; kind as three numbers (cell, focus track, other track); layer.

    Parameters
    ----------
    event : Event
    samples : sequence of FocusSample
        Of this event.
    scales : sequence of 5 float
        As in `PointNetConfig`.
    truth : bool, default=True
        Also the true parts of the focus track, other tracks, neutral particles and none.
    """
    assert event.tracks is not None
    centre, across, along, near, depth = scales
    if truth:
        of, own = origins(event).astype(np.float64), track_shares(event)
    for s in samples:
        x = np.zeros((len(s), FEATURES), np.float32)
        x[:, :2] = (s.position[:, :2] - event.tracks.entry[s.track, :2]) / across
        x[:, 2] = (s.position[:, 2] - centre) / along
        x[:, 3] = s.distance / near
        x[:, 4] = 0.5 * np.log(np.maximum(s.energy, LEAST_ENERGY))
        x[np.arange(len(s)), 5 + np.select([s.kind == CELL, s.kind == FOCUS], [0, 1], 2)] = 1
        x[:, 8] = s.layer / depth
        cell = s.kind == CELL
        parts = np.zeros((len(s), 4), np.float32)
        if truth and np.isfinite(own[s.track]).all() and event.tracks.particle[s.track] >= 0:
            hit = s.index[cell]
            focus = own[s.track][hit]
            other = np.maximum(of[hit, 0] - focus, 0.0)
            parts[cell] = np.stack([focus, other, of[hit, 1], of[hit, 2]], axis=1)
        energy = np.where(cell, s.energy, 0).astype(np.float32)
        index = np.where(cell, s.index, -1)
        yield Cloud(x, parts, energy, index, f"{event.title}, track {s.track}")


def fit_scales(samples: Sequence[FocusSample]) -> tuple[float, ...]:
    """Scales of a training sample, as in `PointNetConfig`."""
    if not samples:
        return SLAB_SCALES
    middle = [s.position - s.position[s.kind == FOCUS][:1] for s in samples]
    across, position = np.concatenate(middle), np.concatenate([s.position for s in samples])
    distance, layer = (np.concatenate([getattr(s, name) for s in samples]) for name in ("distance", "layer"))
    numbers = (position[:, 2].mean(), across[:, :2].std(), position[:, 2].std(), distance.std(), layer.max())
    centre, *widths = (float(v) for v in numbers)
    return (centre, *(max(w, 1e-3) for w in widths))
