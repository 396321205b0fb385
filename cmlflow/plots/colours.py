"""Colours of particles and clusters: distinguishable for colour-blind readers as far as their number allows."""

from __future__ import annotations

from colorsys import hls_to_rgb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import Event, tracked_particles
from cmlflow.metrics.candidates import candidate_arrays
from cmlflow.metrics.matching import match

PALETTE = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55e00",
    "#882255",
    "#999933",
    "#332288",
    "#44aa99",
    "#cc6677",
    "#117733",
    "#aa4499",
    "#ddcc77",
    "#6f4c9b",
    "#b03060",
)
"""Okabe and Ito's colours but for black and yellow, then those of Paul Tol's muted scheme."""

GREY = "#9a9a9a"
"""Noise, and hits of unknown particles."""

LINES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#332288", "#999933", "#882255", "#44aa99")
"""Colours of curves, in the order in which they are used."""


def palette(n: int) -> list[str]:
    """The first n colours; beyond the fixed ones, hues a golden angle apart at two lightnesses.

    Parameters
    ----------
    n : int

    Returns
    -------
    list of str
        As ``#rrggbb``.
    """
    more = range(len(PALETTE), n)
    return [*PALETTE[:n], *(_hue(0.618034 * i % 1.0, 0.38 if i % 2 else 0.6) for i in more)]


def cluster_colours(labels: Any, event: Event) -> NDArray[np.int64]:
    """Colour number of each cluster, so that a correct clustering looks like the truth.

    A cluster takes the number of the particle with which it shares most energy. If several clusters share most with the
    same particle, the one that shares more has its number. The others, and clusters without any particle, get numbers
    that belong to no particle.

    Parameters
    ----------
    labels : array_like of shape (n_hits,), int, or (C, n_hits), float
        Cluster of each hit, 0..C-1, -1 noise, or shares.
    event : Event

    Returns
    -------
    ndarray of shape (n_clusters,), int64
        Below ``event.n_particles`` for the best cluster of a particle, higher for others; all different.

    Raises
    ------
    ValueError
        Labels and hits differ in number, or a label is impossible.

    Examples
    --------
    >>> e = Event([[0, 0, 1], [1, 0, 1], [2, 0, 1]], [3.0, 1.0, 2.0], particle_id=[1, 1, 0])
    >>> cluster_colours([0, 1, 2], e)
    array([1, 2, 0])
    """
    return _assigned(match(labels, event).shared)


def candidate_colours(candidates: Any, event: Event) -> NDArray[np.int64]:
    """Colour number of each particle-flow candidate: that of a particle, or one that belongs to none.

    A charged candidate takes the number of its track's particle, whatever cells it has, so that cells taken from others
    are visible. A neutral one takes that of the particle without a track with which it shares most energy. As in
    `cluster_colours`, all numbers are different.

    Parameters
    ----------
    candidates : object
        With ``share`` (C, n_hits), ``pdg_id`` (C,), ``momentum`` (C, 4) and ``track`` (C,).
    event : Event
        With tracks.

    Returns
    -------
    ndarray of shape (n_candidates,), int64
    """
    share, _, _, track = candidate_arrays(candidates, event)
    shared = match(share, event).shared
    carried = np.zeros(shared.shape, np.bool_)
    tracked = tracked_particles(event)
    if event.tracks is not None:
        charged = track >= 0
        carried[charged] = event.tracks.particle[track[charged]][:, None] == np.arange(event.n_particles)
    neutral = (track < 0)[:, None] & ~tracked
    # A track without cells still belongs to its particle.
    return _assigned(np.where(carried, shared + 1e-9, np.where(neutral, shared, 0.0)))


def _assigned(shared: NDArray[np.float64]) -> NDArray[np.int64]:
    """Numbers of particles for the clusters that share most with them, others for the rest."""
    n_clusters, n_particles = shared.shape
    out = np.full(n_clusters, -1, np.int64)
    if n_clusters and n_particles:
        best, most = shared.argmax(1), shared.max(1)
        order = np.lexsort((np.arange(n_clusters), -most, best))
        order = order[most[order] > 0]
        particle, first = np.unique(best[order], return_index=True)
        out[order[first]] = particle
    rest = out < 0
    out[rest] = n_particles + np.arange(int(rest.sum()))
    return out


def _hue(hue: float, lightness: float) -> str:
    return "#" + "".join(f"{round(255 * v):02x}" for v in hls_to_rgb(hue, lightness, 0.65))
