"""Distributions of residuals and of distances: core, bias, tails and quantiles, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import IntArray
from cmlflow.metrics.intervals import Interval, resamples, statistic_interval
from cmlflow.metrics.resolution import bin_of, sigma_eff

Array = NDArray[np.float64]

WINDOW = 2.0
TRUNCATED = 0.8796256610342398
"""Standard deviation of a unit Gaussian between -2 and 2."""
TAIL = 3.0
STEPS = 200
FIGURES = ("core_sigma", "bias", "median", "sigma_eff", "tails")
"""Figures of residuals, which have either sign."""
WIDTHS = ("core_sigma", "sigma_eff")
"""Those that measure the width of the distribution."""
DISTANCES = ("mean", "median", "quantile_68")
"""Figures of distances, which are not negative."""
SIMPLE: dict[str, Callable[[Array], Any]] = {
    "mean": np.mean,
    "median": np.median,
    "quantile_68": lambda v: np.quantile(v, 0.68),
    "sigma_eff": sigma_eff,
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
        Event of each; by default every residual is an event of its own.
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
        out[name] = statistic_interval(statistic_of(name, value), where.reshape(-1), weights, confidence)
    return out


def residuals_by_energy(
    residuals: ArrayLike, energy: ArrayLike, bins: ArrayLike, **options: Any
) -> list[dict[str, Any]]:
    """`residual_figures` of each range of true energy that has residuals.

    Parameters
    ----------
    residuals, energy : array_like of shape (n,), float
    bins : array_like of shape (n_bins + 1,), float
        Increasing edges, in the unit of `energy`.
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


def statistic_of(name: str, value: Array) -> Callable[[IntArray], float]:
    """A figure of `FIGURES` or `DISTANCES` as a function of how often each value counts; nan without values."""

    def statistic(times: IntArray) -> float:
        return _figure(name, value, times)

    return statistic


def _figure(name: str, value: Array, times: IntArray) -> float:
    if not times.sum():
        return float("nan")
    if name in SIMPLE:
        return float(SIMPLE[name](np.repeat(value, times)))
    mean, sigma = core(value, times)
    if name == "tails":
        return float(times[np.abs(value - mean) > TAIL * sigma].sum() / times.sum())
    return sigma if name == "core_sigma" else mean
