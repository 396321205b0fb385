"""How true predicted shares are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.metrics.matching import numpy_array
from cmlflow.plots.colours import LINES
from cmlflow.plots.curves import MARKERS

Array = NDArray[np.float64]


def reliability_figure(
    shares: Mapping[str, tuple[ArrayLike, ArrayLike]], energy: ArrayLike | None = None, *, n_bins: int = 10
) -> Any:
    """Mean true share of the cells with a predicted share, for several systems: on the diagonal where it is unbiased.

    Parameters
    ----------
    shares : dict of str to (array_like, array_like)
        By the name of the system, predicted and true shares of the same shape; nan are left out.
    energy : array_like of the shape of the shares, float, optional
        Weight of each; all count the same by default.
    n_bins : int
        Of equal width from 0 to 1.

    Returns
    -------
    matplotlib.figure.Figure
        Above, mean true against mean predicted share of each bin, with the standard error of the mean as a bar; below,
        the weight in each bin. The legend has the weighted mean distance from the diagonal.
    """
    rows = {name: reliability(predicted, true, energy, n_bins) for name, (predicted, true) in shares.items()}
    return binned_reliability_figure(rows, label="part of the pairs" if energy is None else "part of the energy")


def binned_reliability_figure(shares: Mapping[str, ArrayLike], *, label: str = "part of the energy") -> Any:
    """`reliability_figure` of what `reliability` has put in bins.

    Parameters
    ----------
    shares : dict of str to array_like of shape (n_bins, 4), float
        By the name of the system; all with the same number of bins.
    label : str
        Of the weight in each bin.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0, 5.8), layout="constrained")
    ax, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    ax.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, zorder=0)
    for i, (name, rows) in enumerate(shares.items()):
        x, y, error, weight = np.asarray(rows, np.float64).T
        edges = np.linspace(0, 1, len(x) + 1)
        there = weight > 0
        colour = LINES[i % len(LINES)]
        total = max(float(weight.sum()), 1e-300)
        off = float((np.abs(x - y) * weight)[there].sum()) / total
        ax.errorbar(x[there], y[there], error[there], label=f"{name}: off by {off:.3f}", color=colour, markersize=5,
                    marker=MARKERS[i % len(MARKERS)], linewidth=1.2, elinewidth=1, capsize=2)  # fmt: skip
        below.stairs(weight / total, edges, color=colour, linewidth=1.4)
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlim(-0.03, 1.03)
    ax.set_ylabel("true share, mean")
    below.set_xlabel("predicted share")
    below.set_ylabel(label, fontsize=9)
    if shares:
        below.set_yscale("log")
    for each in (ax, below):
        each.grid(alpha=0.25)
    if ax.containers:
        ax.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def reliability(predicted: ArrayLike, true: ArrayLike, energy: ArrayLike | None = None, n_bins: int = 10) -> Array:
    """Predicted against true shares in bins of the predicted one.

    Returns
    -------
    ndarray of shape (n_bins, 4), float64
        Weighted mean of the predicted and of the true shares, standard error of the latter, and weight; 1 belongs to
        the last bin. Means of empty bins are 0.
    """
    p, t = (numpy_array(a).astype(np.float64) for a in (predicted, true))
    if p.shape != t.shape:
        raise ValueError(f"predicted shares have shape {p.shape}, but true ones {t.shape}")
    w = np.ones(p.shape) if energy is None else np.broadcast_to(numpy_array(energy).astype(np.float64), p.shape)
    use = np.isfinite(p) & np.isfinite(t)
    p, t, w = p[use], t[use], w[use]
    which = np.clip((p * n_bins).astype(np.int64), 0, n_bins - 1)

    def total(value: Array) -> Array:
        return np.bincount(which, value, n_bins).astype(np.float64)

    weight = total(w)
    safe = np.where(weight > 0, weight, 1.0)
    mean = total(w * t) / safe
    error = np.sqrt(total(w**2 * (t - mean[which]) ** 2)) / safe
    return np.stack([total(w * p) / safe, mean, error, weight], axis=1)
