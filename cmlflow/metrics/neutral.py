"""What is left when the tracks have got their cells: energy and place of the neutral particles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import Event
from cmlflow.metrics.association import neutral_shares
from cmlflow.metrics.matching import numpy_array

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
    predicted : array_like of shape (n_tracks, n_hits), float
        Part of each cell that belongs to each track; what their sum leaves of 1 is neutral.
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
    p = numpy_array(predicted).astype(np.float64)
    n_tracks = 0 if event.tracks is None else len(event.tracks)
    if p.shape != (n_tracks, event.n_hits):
        raise ValueError(f"predicted has shape {p.shape}, expected ({n_tracks}, {event.n_hits}): tracks, hits")
    left, true = 1.0 - np.clip(p.sum(axis=0), 0.0, 1.0), neutral_shares(event)
    use = np.ones(event.n_hits, np.bool_) if mask is None else numpy_array(mask).astype(np.bool_)
    return {
        "residual": neutral_residual(left, true, event.energy, use),
        "barycentre": barycentre_distance(event.position, left, true, event.energy, use & (event.layer == layer)),
        "energy": float((true * event.energy)[use].sum()) or float("nan"),
    }


def _cells(predicted: Any, true: Any, energy: Any, mask: Any) -> tuple[Array, Array, Array]:
    p, t, e = (numpy_array(a).astype(np.float64) for a in (predicted, true, energy))
    if not p.shape == t.shape == e.shape or p.ndim != 1:
        raise ValueError(f"predicted, true and energy have shapes {p.shape}, {t.shape}, {e.shape}, expected one length")
    use = np.ones(len(e), np.bool_) if mask is None else numpy_array(mask).astype(np.bool_)
    if use.shape != e.shape:
        raise ValueError(f"mask has shape {use.shape}, expected {e.shape}")
    return p[use], t[use], e[use]
