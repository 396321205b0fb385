"""Tracks of an event as lines for its display."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import Event, Tracks

Array = NDArray[np.float64]


def track_lines(event: Event, tracks: Tracks) -> list[dict[str, Any]]:
    """Each track as a line up to the point where it enters the calorimeter and, thinner, its way through the layers.

    Where the crossings of the layers are known the line runs through them and on to the last plane with hits; else it
    goes straight on.
    """
    depth = max(float(np.ptp(event.position[:, 2])) if event.n_hits else 100.0, 10.0)
    out = []
    for i, (momentum, way, entry, particle) in enumerate(
        zip(tracks.momentum, tracks.direction, tracks.entry, tracks.particle, strict=True)
    ):
        before = (entry - 0.25 * depth * way)[None]
        inside = np.stack([entry, entry + 0.8 * depth * way])
        if tracks.crossing is not None:
            inside = _through(entry, tracks.crossing[i], way, event.position[:, 2])
        lines = [np.concatenate([before, entry[None]]), inside]
        name = f"track {i}: {momentum:.3g} GeV" + (f", particle {particle}" if particle >= 0 else "")
        out.append({
            "name": name,
            "particle": int(particle),
            "lines": [line.T.astype(float).round(2).tolist() for line in lines],
        })  # fmt: skip
    return out


def _through(entry: NDArray[Any], crossing: NDArray[Any], way: NDArray[Any], z: NDArray[Any]) -> NDArray[Any]:
    """Entry, crossings, and where the last of them goes on to the last plane with hits."""
    known = crossing[np.isfinite(crossing[:, 0])]
    points = (
        np.concatenate([entry[None], known[np.abs(known - entry).max(axis=1) > 1e-3]]) if len(known) else entry[None]
    )
    left = float(z.max(initial=-np.inf)) - float(points[-1, 2])
    if np.isfinite(left) and left > 0 and way[2] > 0.1:
        points = np.concatenate([points, (points[-1] + way * left / way[2])[None]])
    return points
