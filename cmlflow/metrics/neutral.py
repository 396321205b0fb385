"""What is left when the tracks have got their cells: energy and place of the neutral particles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Event, IntArray
from cmlflow.metrics.association import neutral_shares
from cmlflow.metrics.intervals import Interval, resamples, statistic_interval
from cmlflow.metrics.matching import numpy_array
from cmlflow.metrics.resolution import bin_of, sigma_eff

Array = NDArray[np.float64]

WINDOW = 2.0
TRUNCATED = 0.8796256610342398
"""Standard deviation of a unit Gaussian between -2 and 2."""
TAIL = 3.0
STEPS = 200
FIGURES = ("core_sigma", "bias", "median", "sigma_eff", "tails")


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


def core(residuals: ArrayLike, times: ArrayLike | None = None) -> tuple[float, float]:
    """Mean and width of the Gaussian core of a distribution with tails.

    The mean m and width σ that agree with the values they enclose: m is the mean of the values in [m - 2σ, m + 2σ],
    and σ their standard deviation divided by 0.8796, that of a unit Gaussian cut at ±2. Found by iteration from the
    median and half the shortest interval with 68.3 % of the values; for a Gaussian σ is its standard deviation.

    Parameters
    ----------
    residuals : array_like of shape (n,), float
    times : array_like of shape (n,), int, optional
        How often each value counts; once by default.

    Returns
    -------
    mean, sigma : float
        nan without values.
    """
    value = np.asarray(residuals, np.float64)
    n = np.ones(len(value), np.int64) if times is None else np.asarray(times, np.int64)
    order = np.argsort(value, kind="stable")
    value, n = value[order], n[order]
    if not n.sum():
        return float("nan"), float("nan")
    drawn = np.repeat(value, n)
    middle = float(np.median(drawn))
    value, drawn = value - middle, drawn - middle
    sums = np.stack([np.cumsum(np.concatenate(([0.0], w))) for w in (n, n * value, n * value**2)])
    mean, sigma = 0.0, sigma_eff(drawn)
    for _ in range(STEPS):
        a = int(np.searchsorted(value, mean - WINDOW * sigma, side="left"))
        b = int(np.searchsorted(value, mean + WINDOW * sigma, side="right"))
        count, first, second = sums[:, b] - sums[:, a]
        if count < 1:
            break
        new = first / count
        width = float(np.sqrt(max(second / count - new**2, 0.0))) / TRUNCATED
        if abs(new - mean) + abs(width - sigma) <= 1e-9 * (abs(mean) + sigma):
            break
        mean, sigma = float(new), width
    return middle + mean, sigma


def residual_figures(
    residuals: ArrayLike,
    event: ArrayLike | None = None,
    *,
    bootstrap: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Width, bias and tails of residuals, each with its bootstrap interval over events.

    Parameters
    ----------
    residuals : array_like of shape (n,), float
        From `neutral_residual`; nan are left out.
    event : array_like of shape (n,), int, optional
        Event of each; each its own by default.
    bootstrap, confidence, seed
        As in `cmlflow.evaluate`.

    Returns
    -------
    dict of Interval
        ``core_sigma`` and ``bias``: width and mean of `core`; ``median``; ``sigma_eff``: half the shortest interval
        with 68.3 %; ``tails``: fraction farther than 3 core σ from the core's mean (0.27 % of a Gaussian).
    """
    value = np.asarray(residuals, np.float64)
    number = np.arange(len(value)) if event is None else np.asarray(event, np.int64)
    if value.shape != number.shape or value.ndim != 1:
        raise ValueError(f"residuals have shape {value.shape}, but event {number.shape}, expected one number for each")
    use = np.isfinite(value)
    value, number = value[use], number[use]
    found, where = np.unique(number, return_inverse=True)
    weights = resamples(len(found), bootstrap, seed)
    out = {}
    for name in FIGURES:

        def statistic(times: IntArray, name: str = name) -> float:
            return _figure(name, value, times)

        out[name] = statistic_interval(statistic, where.reshape(-1).astype(np.int64), weights, confidence)
    return out


def residuals_by_energy(
    residuals: ArrayLike, energy: ArrayLike, bins: ArrayLike, **options: Any
) -> list[dict[str, Any]]:
    """`residual_figures` of each range of true energy that has residuals.

    Parameters
    ----------
    residuals, energy : array_like of shape (n,), float
    bins : array_like of shape (n_bins + 1,), float
        Rising edges, in the unit of `energy`.
    **options
        Go to `residual_figures`; `event` has shape (n,).

    Returns
    -------
    list of dict
        ``low``, ``high``, ``n`` and the figures.
    """
    value, edges = np.asarray(residuals, np.float64), np.asarray(bins, np.float64)
    number = np.asarray(options.pop("event", np.arange(len(value))), np.int64)
    which = bin_of(energy, edges)
    out: list[dict[str, Any]] = []
    for k in range(1, len(edges)):
        use = (which == k) & np.isfinite(value)
        if use.any():
            row: dict[str, Any] = {"low": float(edges[k - 1]), "high": float(edges[k]), "n": int(use.sum())}
            out.append(row | residual_figures(value[use], number[use], **options))
    return out


def _figure(name: str, value: Array, times: IntArray) -> float:
    if not times.sum():
        return float("nan")
    if name in ("median", "sigma_eff"):
        drawn = np.repeat(value, times)
        return float(np.median(drawn)) if name == "median" else sigma_eff(drawn)
    mean, sigma = core(value, times)
    if name == "tails":
        return float(times[np.abs(value - mean) > TAIL * sigma].sum() / times.sum())
    return sigma if name == "core_sigma" else mean


def _cells(predicted: Any, true: Any, energy: Any, mask: Any) -> tuple[Array, Array, Array]:
    p, t, e = (numpy_array(a).astype(np.float64) for a in (predicted, true, energy))
    if not p.shape == t.shape == e.shape or p.ndim != 1:
        raise ValueError(f"predicted, true and energy have shapes {p.shape}, {t.shape}, {e.shape}, expected one length")
    use = np.ones(len(e), np.bool_) if mask is None else numpy_array(mask).astype(np.bool_)
    if use.shape != e.shape:
        raise ValueError(f"mask has shape {use.shape}, expected {e.shape}")
    return p[use], t[use], e[use]
