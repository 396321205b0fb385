"""Energy and place of the neutral particles, which remain when the tracks have their cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Event
from cmlflow.metrics.association import neutral_shares
from cmlflow.metrics.matching import numpy_array
from cmlflow.metrics.reconstruction import paired
from cmlflow.metrics.residuals import DISTANCES, FIGURES, WIDTHS
from cmlflow.metrics.systems import SystemFigures, compare_systems, residual_sample

Array = NDArray[np.float64]


def neutral_residual(predicted: Any, true: Any, energy: Any, mask: Any = None) -> float:
    """(E_pred - E_true) / E_true of the neutral energy of one event.

    Parameters
    ----------
    predicted, true : array_like of shape (n_cells,), float
        Part of each cell's energy that is neutral.
    energy : array_like of shape (n_cells,), float
    mask : array_like of shape (n_cells,), bool, optional
        Cells that count, such as those of one topo-cluster.

    Returns
    -------
    float
        nan where there is no true neutral energy.

    References
    ----------
    F. A. Di Bello et al., "Towards a Computer Vision Particle Flow", arXiv:2003.08863, section 6, figure 5.
    """
    p, t, e = _cells(predicted, true, energy, mask)
    total = float((t * e).sum())
    return float((p * e).sum() - total) / total if total > 0 else float("nan")


def barycentre_distance(position: Any, predicted: Any, true: Any, energy: Any, mask: Any = None) -> float:
    """Distance [cm] between the energy-weighted mean positions of predicted and true neutral energy.

    Parameters
    ----------
    position : array_like of shape (n_cells, 3), float [cm]
    predicted, true, energy, mask
        As in `neutral_residual`; the mask usually chooses the second layer of the electromagnetic calorimeter.

    Returns
    -------
    float
        nan where there is no predicted or no true neutral energy.

    References
    ----------
    F. A. Di Bello et al., arXiv:2003.08863, section 6, figure 6 (there in units of cells).
    """
    x = numpy_array(position).astype(np.float64)
    p, t, e = _cells(predicted, true, energy, None)
    if x.shape != (len(e), 3):
        raise ValueError(f"position has shape {x.shape}, expected ({len(e)}, 3)")
    use = np.ones(len(e), np.bool_) if mask is None else numpy_array(mask).astype(np.bool_)
    a, b = (p * e)[use], (t * e)[use]
    if not (a.sum() > 0 and b.sum() > 0):
        return float("nan")
    return float(np.linalg.norm(a @ x[use] / a.sum() - b @ x[use] / b.sum()))


def neutral_scores(event: Event, predicted: Any, *, layer: int = 2, mask: Any = None) -> dict[str, float]:
    """Residual and barycentre distance of one event whose cells were given to its tracks.

    Parameters
    ----------
    event : Event
        With tracks and truth.
    predicted : array_like of shape (n_tracks, n_hits), float, or candidates
        Part of each cell that belongs to each track; the remainder is neutral. Or an object with ``share`` (C, n_hits)
        and ``track`` (C,): the shares of candidates without a track, -1, are neutral, and the remainder is unassigned.
    layer : int
        In which the barycentres are compared.
    mask : array_like of shape (n_hits,), bool, optional
        Cells that count for both.

    Returns
    -------
    dict of float
        ``residual``; ``barycentre`` [cm]; ``energy``, the true neutral energy in the unit of the hit energies; nan
        where there is none.
    """
    left, true = predicted_neutral(event, predicted), neutral_shares(event)
    use = np.ones(event.n_hits, np.bool_) if mask is None else numpy_array(mask).astype(np.bool_)
    return {
        "residual": neutral_residual(left, true, event.energy, use),
        "barycentre": barycentre_distance(event.position, left, true, event.energy, use & (event.layer == layer)),
        "energy": float((true * event.energy)[use].sum()) or float("nan"),
    }


def predicted_neutral(event: Event, predicted: Any) -> Array:
    """The part of each cell that a prediction calls neutral, shape (n_hits,), in [0, 1]; see `neutral_scores`."""
    if hasattr(predicted, "share"):
        share, track = numpy_array(predicted.share).astype(np.float64), numpy_array(predicted.track)
        if share.ndim != 2 or share.shape != (len(track), event.n_hits):
            raise ValueError(f"share has shape {share.shape}, expected ({len(track)}, {event.n_hits}): track, hits")
        left: Array = np.clip(share[track < 0].sum(axis=0), 0.0, 1.0)
        return left
    p = numpy_array(predicted).astype(np.float64)
    n_tracks = 0 if event.tracks is None else len(event.tracks)
    if p.shape != (n_tracks, event.n_hits):
        raise ValueError(f"predicted has shape {p.shape}, expected ({n_tracks}, {event.n_hits}): tracks, hits")
    rest: Array = 1.0 - np.clip(p.sum(axis=0), 0.0, 1.0)
    return rest


def compare_neutral(
    events: Event | Sequence[Event],
    systems: Mapping[str, Any],
    *,
    bins: ArrayLike | None = None,
    layer: int = 2,
    against: str | None = None,
    bootstrap: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> SystemFigures:
    """Neutral residual and barycentre distance of one or several systems.

    Parameters
    ----------
    events : Event or sequence of Event
        With tracks and truth.
    systems : dict of str to sequence
        By the name of the system, for each event its shares of the tracks or its candidates, as in `neutral_scores`.
        For a single Event one entry will do.
    bins : array_like of shape (n_bins + 1,), float, optional
        Edges of the bins of true neutral energy, in the unit of the hit energies.
    layer : int
        In which the barycentres are compared.
    against, bootstrap, confidence, seed
        As in `cmlflow.metrics.systems.compare_systems`. A reference of three times the core σ has ``core_sigma_ratio``
        3 in ``versus``.

    Returns
    -------
    SystemFigures
        ``core_sigma``, ``bias``, ``median``, ``sigma_eff`` and ``tails`` of the residuals, as in
        `cmlflow.metrics.residual_figures`, and ``barycentre_mean``, ``barycentre_median`` and
        ``barycentre_quantile_68`` [cm], over the events in which every system has neutral energy in the layer
        (systems that never have any are left out).

    Notes
    -----
    A width means nothing without its bias: a system that leaves no neutral energy has a residual of -1 in every event,
    and no width.

    References
    ----------
    F. A. Di Bello et al., arXiv:2003.08863, section 6, figures 5 and 6.
    """
    rows: dict[str, Array] = {}
    for system, given in systems.items():
        found = [
            list(neutral_scores(event, predicted, layer=layer).values())
            for _, event, predicted in paired(events, given, f"predictions of {system}")
        ]
        rows[system] = np.array(found, np.float64).reshape(-1, 3)
    n_events = max((len(r) for r in rows.values()), default=0)
    there = [np.isfinite(r[:, 1]) for r in rows.values()]
    both = np.all([known for known in there if known.any()], axis=0) & np.ones(n_events, np.bool_)
    samples = {}
    for system, r in rows.items():
        known, placed = np.flatnonzero(np.isfinite(r[:, 0])), np.flatnonzero(both)
        samples[system] = {
            name: residual_sample(name, r[known, 0], known, r[known, 2], ratio=name in WIDTHS) for name in FIGURES
        } | {
            f"barycentre_{name}": residual_sample(name, r[placed, 1], placed, r[placed, 2], ratio=True)
            for name in DISTANCES
        }
    return compare_systems(
        samples, n_events, bins=bins, against=against, bootstrap=bootstrap, confidence=confidence, seed=seed
    )


def _cells(predicted: Any, true: Any, energy: Any, mask: Any) -> tuple[Array, Array, Array]:
    p, t, e = (numpy_array(a).astype(np.float64) for a in (predicted, true, energy))
    if not p.shape == t.shape == e.shape or p.ndim != 1:
        raise ValueError(f"predicted, true and energy have shapes {p.shape}, {t.shape}, {e.shape}, expected one length")
    use = np.ones(len(e), np.bool_) if mask is None else numpy_array(mask).astype(np.bool_)
    if use.shape != e.shape:
        raise ValueError(f"mask has shape {use.shape}, expected {e.shape}")
    return p[use], t[use], e[use]
