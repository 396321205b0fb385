"""Which cells belong to which track: accuracy, precision, recall and F1, by cells and by energy, hard and soft."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import Event, IntArray
from cmlflow.metrics.intervals import Interval, ratio_interval, resamples
from cmlflow.metrics.matching import numpy_array
from cmlflow.metrics.systems import Sample, SystemFigures, compare_systems, sum_ratio

Array = NDArray[np.float64]

TP, FP, FN, TN = range(4)
RATES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "accuracy": ((1, 0, 0, 1), (1, 1, 1, 1)),
    "precision": ((1, 0, 0, 0), (1, 1, 0, 0)),
    "recall": ((1, 0, 0, 0), (1, 0, 1, 0)),
    "f1": ((2, 0, 0, 0), (2, 1, 1, 0)),
}
"""Each figure as a ratio of sums over (TP, FP, FN, TN)."""
FIGURES = (*RATES, *(f"weighted_{name}" for name in RATES))


def track_shares(event: Event) -> Array:
    """The part of each cell's deposited energy that is from the particle of each track.

    Deposits of unknown particles (-1), such as noise, count in the whole.

    Parameters
    ----------
    event : Event
        With tracks.

    Returns
    -------
    ndarray of shape (n_tracks, n_hits), float64
        0 for cells without deposits; a row of nan for a track whose particle is not known. Two tracks of one particle
        have the same row.

    Raises
    ------
    ValueError
        The event has no tracks (None).
    """
    particle = _track_particles(event)
    d, fraction = event.deposits, event.fractions
    out = np.full((len(particle), event.n_hits), np.nan)
    for p in np.unique(particle[particle >= 0]):
        own = d.particle == p
        out[particle == p] = np.bincount(d.hit[own], fraction[own], event.n_hits)
    return out


def neutral_shares(event: Event) -> Array:
    """The part of each cell's deposited energy that is from particles without a track, shape (n_hits,), float64.

    0 for cells without deposits. Deposits of unknown particles (-1), such as noise, are part of the whole and stay
    unassigned.
    """
    particle = _track_particles(event)
    d = event.deposits
    own = (d.particle >= 0) & ~np.isin(d.particle, particle)
    return np.bincount(d.hit[own], event.fractions[own], event.n_hits).astype(np.float64)


def association_counts(
    predicted: Any,
    share: Any,
    energy: Any,
    mask: Any = None,
    *,
    threshold: float = 0.5,
    soft: bool = False,
) -> Array:
    r"""True and false positives and negatives of one sample, by cells and by energy.

    With the truth :math:`t` = 1 where the share exceeds the threshold, and the prediction :math:`p` likewise (hard), or
    both as they are (soft), each cell adds, with the weight 1 or its energy,

    .. math::
        TP = \min(p, t), \quad FP = \max(p - t, 0), \quad FN = \max(t - p, 0), \quad TN = 1 - \max(p, t).

    Parameters
    ----------
    predicted : array_like of shape (..., n_cells), float or bool
        Probability or share of the track in each cell, in [0, 1].
    share : array_like of the same shape, float
        True share; cells with nan are left out.
    energy : array_like of shape (n_cells,), float
        Not negative; broadcast over the leading axes, which are tracks.
    mask : array_like of the same shape, bool, optional
        Cells that count; all by default. Points that are tracks, padding, and cells far from the track do not.
    threshold : float
    soft : bool

    Returns
    -------
    ndarray of shape (2, 4), float64
        TP, FP, FN, TN; first counted, then weighted with energy.

    Raises
    ------
    ValueError
        Shapes differ, a prediction or share lies outside [0, 1], or an energy is negative; names the cell.
    """
    p, t = (numpy_array(a).astype(np.float64) for a in (predicted, share))
    if p.shape != t.shape:
        raise ValueError(f"predicted has shape {p.shape}, but share {t.shape}")
    try:
        e = np.broadcast_to(numpy_array(energy).astype(np.float64), t.shape)
        use = ~np.isnan(t) & (True if mask is None else np.broadcast_to(numpy_array(mask).astype(np.bool_), t.shape))
    except ValueError:
        raise ValueError(f"energy or mask do not fit the shape {t.shape} of share") from None
    p, t, e = p[use], t[use], e[use]
    for name, value, top in (("predicted", p, 1.0), ("share", t, 1.0), ("energy", e, np.inf)):
        bad = ~((value >= 0) & (value <= top + 1e-6))
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            at = tuple(int(a) for a in np.argwhere(use)[i])
            raise ValueError(f"{name} of cell {at} is {value[i]}, expected 0{'..1' if top == 1 else ' or above'}")
    if not soft:
        p, t = (p > threshold).astype(np.float64), (t > threshold).astype(np.float64)
    parts = np.stack([np.minimum(p, t), np.maximum(p - t, 0), np.maximum(t - p, 0), 1 - np.maximum(p, t)])
    return np.stack([parts.sum(axis=1), parts @ e])


def association_metrics(
    predicted: Any,
    share: Any,
    energy: Any,
    mask: Any = None,
    *,
    threshold: float = 0.5,
    soft: bool = False,
) -> dict[str, float]:
    """Accuracy, precision, recall and F1 of one sample's cells, plain and weighted with energy.

    Parameters
    ----------
    predicted, share, energy, mask, threshold, soft
        As in `association_counts`.

    Returns
    -------
    dict of float
        ``accuracy``, ``precision``, ``recall``, ``f1`` and the same with ``weighted_``; nan where the denominator is
        zero, as the precision of a prediction without positives.

    References
    ----------
    L. Clissa, "Point-Cloud Machine Learning for Detector Data Integration in ATLAS at the LHC", ISGC 2026: "How do we
    measure performance?".

    Examples
    --------
    >>> association_metrics([1, 1, 0], [0.9, 0.2, 0.6], [4.0, 1.0, 1.0])["weighted_precision"]
    0.8
    """
    counts = association_counts(predicted, share, energy, mask, threshold=threshold, soft=soft)
    out = {}
    for name in FIGURES:
        numerator, denominator = _sums(counts[None], name)
        out[name] = float(numerator[0] / denominator[0]) if denominator[0] else float("nan")
    return out


def evaluate_association(
    counts: Iterable[Array],
    event: Iterable[int] | None = None,
    *,
    bootstrap: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """The figures of many samples together, each with its bootstrap interval over events.

    Counts are summed over samples before the ratios are taken, so that all cells count equally.

    Parameters
    ----------
    counts : iterable of ndarray of shape (2, 4)
        From `association_counts`, one for each sample.
    event : iterable of int, optional
        Event of each sample; samples of one event are drawn together. Each is its own event by default.
    bootstrap, confidence, seed
        As in `cmlflow.evaluate`.

    Returns
    -------
    dict of Interval
        As `association_metrics`.
    """
    rows = np.array([numpy_array(c) for c in counts], np.float64).reshape(-1, 2, 4)
    number: IntArray = np.arange(len(rows)) if event is None else np.array([int(i) for i in event], np.int64)
    if len(number) != len(rows):
        raise ValueError(f"there are {len(rows)} counts, but {len(number)} events")
    found, where = np.unique(number, return_inverse=True)
    total = np.zeros((len(found), 2, 4))
    np.add.at(total, where.reshape(-1), rows)
    weights = resamples(len(found), bootstrap, seed)
    return {name: ratio_interval(*_sums(total, name), weights, confidence) for name in FIGURES}


def compare_association(
    counts: Mapping[str, Iterable[Array]],
    event: Iterable[int] | None = None,
    *,
    against: str | None = None,
    bootstrap: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> SystemFigures:
    """`evaluate_association` of several systems on the same samples, each against one of them.

    Parameters
    ----------
    counts : dict of str to iterable of ndarray of shape (2, 4)
        By the name of the system, in the same order of samples.
    event : iterable of int, optional
        Event of each sample, the same for all systems; each is its own event by default.
    against, bootstrap, confidence, seed
        As in `cmlflow.metrics.systems.compare_systems`; ``weighted_f1_difference`` in ``versus`` is the system's value
        minus that of the reference.

    Raises
    ------
    ValueError
        Systems, or samples and events, differ in number.
    """
    rows = {name: np.array([numpy_array(c) for c in given], np.float64).reshape(-1, 2, 4)
            for name, given in counts.items()}  # fmt: skip
    n = max((len(r) for r in rows.values()), default=0)
    number = np.arange(n) if event is None else np.array([int(i) for i in event], np.int64)
    for name, r in rows.items():
        if len(r) != len(number):
            raise ValueError(f"there are {len(r)} counts of {name}, but {len(number)} of another system or events")
    found, where = np.unique(number, return_inverse=True)
    nowhere = np.full(n, np.nan)
    samples = {
        system: {name: Sample(where.reshape(-1), nowhere, _sums(r, name), sum_ratio) for name in FIGURES}
        for system, r in rows.items()
    }
    return compare_systems(samples, len(found), against=against, bootstrap=bootstrap, confidence=confidence, seed=seed)


def _sums(counts: Array, name: str) -> tuple[Array, Array]:
    """Numerator and denominator of a figure for each (2, 4) of counts."""
    top, bottom = RATES[name.removeprefix("weighted_")]
    rows = counts[:, int(name.startswith("weighted_"))]
    return rows @ np.array(top, np.float64), rows @ np.array(bottom, np.float64)


def _track_particles(event: Event) -> IntArray:
    if event.tracks is None:
        where = event.title
        raise ValueError(f"{where}: has no tracks, expected tracks (an empty list of them is allowed)")
    return event.tracks.particle
