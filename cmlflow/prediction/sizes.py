"""Readouts and their grids for particles of any size, in hits and in lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from cmlflow.checks import hits_per_particle
from cmlflow.event import Event
from cmlflow.readouts import Clue, Condensation, Density, Hdbscan, Ward

MANY = 3  # times the number of neighbours of a readout: particles with more hits keep it
N_LENGTHS = 12  # values of a grid that is taken from the sample
MOST_EVENTS = 50  # in which distances are looked at
LENGTHS = {
    Density: ("radius",),
    Condensation: ("radius",),
    Clue: ("link_distance", "density_radius"),
    Ward: ("height",),
    Hdbscan: ("cluster_selection_epsilon",),
}
"""Parameters that are lengths, by readout."""


def few_hits(readout: Any, hits: float | None) -> dict[str, int]:
    """Number of neighbours or smallest cluster that suit particles of few hits.

    Parameters
    ----------
    readout : readout
    hits : float, optional
        Of a typical particle.

    Returns
    -------
    dict of str to int
        Empty where the readout's own is at most a third of the hits, or nothing is known.
    """
    name = {Density: "k", Hdbscan: "min_cluster_size"}.get(type(readout))
    if name is None or hits is None or readout.get_params()[name] * MANY <= hits:
        return {}
    least = 1 if name == "k" else 2
    return {name: max(least, min(int(readout.get_params()[name]), int(hits // MANY)))}


def fitted_grid(readout: Any, points: Sequence[np.ndarray], events: Sequence[Event]) -> dict[str, list[Any]]:
    """The readout's own grid, where it suits the particles and distances of a sample; else one that does.

    Parameters
    ----------
    readout : readout
        With a method `tuning_grid`.
    points : sequence of ndarray of shape (n_points, D)
        What it works on.
    events : sequence of Event
        With truth.

    Returns
    -------
    dict of str to list
        Numbers of neighbours and smallest clusters from 1 to the hits of a typical particle are tried where those are
        few. Lengths are from a third of the distance between a hit and the nearest one of its particle to twice that
        between neighbouring particles, where the readout's own lie elsewhere: positions in cm, for example.
    """
    grid: dict[str, list[Any]] = dict(readout.tuning_grid())
    counts = hits_per_particle(events)
    if len(counts):
        typical = float(np.median(counts))
        for name, value in few_hits(readout, typical).items():
            least = 1 if name == "k" else 2
            sizes = {
                least,
                least + 1,
                value,
                max(least, int(typical) - 1),
                max(least, int(np.quantile(counts, 0.9)) - 1),
            }
            grid[name] = sorted(sizes)
            if name == "k":
                grid["threshold"] = list(grid["threshold"])[::3]  # as many settings as with one k
    if getattr(readout, "normalize", False):
        return grid
    near, far = _distances(readout, points, events)
    if not (0 < near <= far):
        return grid
    for name in LENGTHS.get(type(readout), ()):
        own = [v for v in grid[name] if v > 0]
        scale = np.sqrt(np.median(counts)) if isinstance(readout, Ward) else 1.0  # heights grow with the hits
        low, high = near / 3 * scale, 2 * far * scale
        if (
            name == "density_radius"
        ):  # what is within it depends on the hits too: any of the order of neighbours will do
            suits = min(own) / 3 <= near <= max(own) * 3
        else:
            suits = min(own) <= np.sqrt(near * far) * scale <= max(own)
        if not suits:
            grid[name] = [float(f"{v:.3g}") for v in np.geomspace(low, high, max(len(own), N_LENGTHS))]
            if isinstance(readout, Density):
                grid["temperature"] = [float(f"{v:.3g}") for v in np.geomspace(near, far, 3)]
                grid["threshold"] = list(grid["threshold"])[::3]
    return grid


def _distances(readout: Any, points: Sequence[np.ndarray], events: Sequence[Event]) -> tuple[float, float]:
    """Median distance of a hit from the nearest one of its particle, and from the nearest one of another particle."""
    same, other = [], []
    for x, event in list(zip(points, events, strict=True))[:MOST_EVENTS]:
        hits = np.asarray(x, np.float64)[: event.n_hits, int(isinstance(readout, Condensation)) :]
        known = np.flatnonzero(event.particle_id >= 0)
        for particle in np.unique(event.particle_id[known]):
            own = event.particle_id[known] == particle
            if own.sum() > 1:
                same.append(cKDTree(hits[known[own]]).query(hits[known[own]], k=2)[0][:, 1])
            if own.any() and not own.all():
                other.append(cKDTree(hits[known[~own]]).query(hits[known[own]])[0])
    if not same or not other:
        return np.nan, np.nan
    return float(np.median(np.concatenate(same))), float(np.median(np.concatenate(other)))
