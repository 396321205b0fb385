"""Figures with their bootstrap intervals over events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isnan

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = NDArray[np.int64]


class Interval(float):
    """A figure with its confidence interval: a float that also knows `low` and `high`.

    It behaves as its value in arithmetic and comparisons, prints as ``0.983 [0.975, 0.990]`` and unpacks as
    ``value, low, high``.

    Parameters
    ----------
    value, low, high : float
        The interval is nan if it cannot be determined, as for a single event.
    """

    low: float
    high: float

    def __new__(cls, value: float, low: float = float("nan"), high: float = float("nan")) -> Interval:
        self = super().__new__(cls, value)
        self.low, self.high = float(low), float(high)
        return self

    @property
    def value(self) -> float:
        """The figure itself."""
        return float(self)

    def __iter__(self) -> Iterator[float]:
        return iter((self.value, self.low, self.high))

    def __getnewargs__(self) -> tuple[float, float, float]:  # type: ignore[override]
        return self.value, self.low, self.high

    def __str__(self) -> str:
        if isnan(self):
            return "-"
        if isnan(self.low):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def __repr__(self) -> str:
        return f"Interval({self.value!r}, low={self.low!r}, high={self.high!r})"

    def to_list(self) -> list[float | None]:
        """Value, low and high with None for nan, as JSON has it."""
        return [None if isnan(x) else x for x in self]


def resamples(n_events: int, n_resamples: int, seed: int = 0) -> Weights:
    """How often each event appears in each bootstrap sample of as many events.

    Returns
    -------
    ndarray of shape (n_resamples, n_events), int64
    """
    if n_events == 0 or n_resamples == 0:
        return np.zeros((0, n_events), np.int64)
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_events, np.full(n_events, 1.0 / n_events), size=n_resamples)


def ratio_interval(numerator: Array, denominator: Array, weights: Weights, confidence: float = 0.95) -> Interval:
    """Sum of numerators over sum of denominators, with its percentile bootstrap interval over events.

    Parameters
    ----------
    numerator, denominator : ndarray of shape (n_events,)
        Per event: for an efficiency, the particles found and all particles.
    weights : ndarray of shape (n_resamples, n_events), int
        From `resamples`.
    confidence : float
        Central probability that the interval covers.

    Returns
    -------
    Interval
        nan where the denominator is zero; without limits where fewer than two events contribute.
    """
    total = float(denominator.sum())
    value = float(numerator.sum()) / total if total else float("nan")
    if np.count_nonzero(denominator) < 2:
        return Interval(value)
    d = weights @ denominator
    replicas = np.divide(weights @ numerator, d, out=np.full(len(d), np.nan), where=d != 0)
    return percentile_interval(value, replicas, confidence)


def statistic_interval(
    statistic: Callable[[NDArray[np.int64]], float],
    event: NDArray[np.int64],
    weights: Weights,
    confidence: float = 0.95,
) -> Interval:
    """Any statistic of per-particle rows, with its percentile bootstrap interval over events.

    Parameters
    ----------
    statistic : callable
        Takes how often each row counts, shape (n_rows,), int, and returns a float.
    event : ndarray of shape (n_rows,), int
        Event of each row; the rows of one event are drawn together.
    weights : ndarray of shape (n_resamples, n_events), int
        From `resamples`.
    """
    value = statistic(np.ones(len(event), np.int64))
    return percentile_interval(value, replicas_of(statistic, event, weights), confidence)


def replicas_of(statistic: Callable[[NDArray[np.int64]], float], event: NDArray[np.int64], weights: Weights) -> Array:
    """A statistic of per-particle rows in every bootstrap sample, shape (n_resamples,); see `statistic_interval`.

    Empty if fewer than two events have rows.
    """
    if len(event) == 0 or (event == event[0]).all():
        return np.empty(0)
    return np.array([statistic(w[event]) for w in weights], np.float64)


def percentile_interval(value: float, replicas: Array, confidence: float = 0.95) -> Interval:
    """A figure with the central quantiles of its bootstrap replicas; replicas that are not finite are left out."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, expected a probability between 0 and 1")
    replicas = replicas[np.isfinite(replicas)]
    if len(replicas) == 0 or isnan(value):
        return Interval(value)
    low, high = np.quantile(replicas, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))
