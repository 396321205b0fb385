"""Baselines that know next to nothing: one answer for all, a fair coin, and the nearest track."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import Event
from cmlflow.metrics.association import track_shares
from cmlflow.metrics.matching import numpy_array
from cmlflow.sampling.focus import LAYERS, track_distances

Array = NDArray[np.float64]


def always(event: Event, value: float) -> Array:
    """The same answer for every track and cell: always-1 and always-0.

    Parameters
    ----------
    event : Event
    value : float
        In [0, 1].

    References
    ----------
    L. Clissa, ISGC 2026, "Baseline performance".
    """
    if not 0 <= value <= 1:
        raise ValueError(f"value is {value}, expected a share in 0..1")
    return np.full((0 if event.tracks is None else len(event.tracks), event.n_hits), float(value))


def balanced_random(event: Event, rate: float | None = None, *, mask: Any = None, seed: int = 0) -> Array:
    """Ones at random, as often as the truth has them.

    Parameters
    ----------
    event : Event
        With tracks.
    rate : float, optional
        Probability of a one, such as the share of positives in a training sample. By default that of the event: pairs
        of a track and a cell with a true share above 0.5, among those of the mask.
    mask : array_like of shape (n_tracks, n_hits), bool, optional
        Pairs from which the rate is taken; all by default.
    seed : int
        Together with the event's number.

    References
    ----------
    J. Himmens, "Machine Learning Approaches to Segmentation for Reconstruction in the ATLAS Calorimeter", WNPPC 2025:
    "random model with correct class balance".
    """
    share = track_shares(event)
    if rate is None:
        use = np.isfinite(share) & (True if mask is None else numpy_array(mask).astype(np.bool_))
        rate = float((share[use] > 0.5).mean()) if use.any() else 0.0
    if not 0 <= rate <= 1:
        raise ValueError(f"rate is {rate}, expected a probability in 0..1")
    rng = np.random.default_rng((seed, 0 if event.number is None else abs(event.number)))
    return (rng.random(share.shape) < rate).astype(np.float64)


def nearest_track(
    event: Event, *, layers: Sequence[int] = LAYERS, beam: str | None = None, radius: float | None = None
) -> Array:
    """Every cell wholly to the track that is nearest in ΔR.

    Parameters
    ----------
    event : Event
        With tracks.
    layers, beam
        As in `cmlflow.sampling.focus.track_distances`.
    radius : float, optional
        Cells farther than this from every track belong to none.

    Returns
    -------
    ndarray of shape (n_tracks, n_hits), float64
        At most one 1 in each column; the first of tracks that are equally near.
    """
    distance, _ = track_distances(event, layers, beam)
    out = np.zeros(distance.shape)
    if not len(out):
        return out
    reachable = np.where(np.isfinite(distance), distance, np.inf)
    best = np.argmin(reachable, axis=0)
    nearest = reachable[best, np.arange(event.n_hits)]
    hit = np.flatnonzero(nearest <= (np.finfo(np.float64).max if radius is None else radius))
    out[best[hit], hit] = 1.0
    return out
