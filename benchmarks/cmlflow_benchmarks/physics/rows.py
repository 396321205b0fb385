"""What is kept of test events as arrays, and the figures of resampled events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from cmlflow.metrics.intervals import Weights, resamples
from cmlflow.metrics.matching import Array, Ints, sum_by
from cmlflow.metrics.resolution import bin_of, resampled_resolution

FEWEST = 10
"""Responses from which a width is taken; with fewer there is none."""


@dataclass(frozen=True, eq=False)
class Rows:
    """One model and readout on the events of one or several test sets.

    Attributes
    ----------
    strata : tuple of (str, int)
        Name and number of events of each test set; events are resampled within their set.
    event, energy, found, response, floor : ndarray of shape (n_particles,)
        Of each particle: its event, true energy [GeV], whether a cluster holds it, uncalibrated responses of its
        cluster and of perfect pattern recognition (nan: none).
    cluster_event, cluster_energy, pure : ndarray of shape (n_clusters,)
        Of each cluster that shares energy with a particle: event, true energy of that particle [GeV], whether pure.
    clusters, pure_clusters : ndarray of shape (n_events,)
        All clusters of each event, and the pure ones.
    embedding : dict of str to ndarray of shape (n_events,)
        Figures of `cmlflow.metrics.embedding_metrics` of each event; nan where not defined.
    """

    strata: tuple[tuple[str, int], ...]
    event: Ints
    energy: Array
    found: Array
    response: Array
    floor: Array
    cluster_event: Ints
    cluster_energy: Array
    pure: Array
    clusters: Array
    pure_clusters: Array
    embedding: dict[str, Array]

    @property
    def n_events(self) -> int:
        """Events of all sets."""
        return sum(n for _, n in self.strata)

    def within(self, low: float, high: float) -> Rows:
        """Particles of these energies, low <= E < high, and the clusters that share most energy with one of them."""
        p = (self.energy >= low) & (self.energy < high)
        c = (self.cluster_energy >= low) & (self.cluster_energy < high)
        owner, pure = self.cluster_event[c], self.pure[c]
        return Rows(
            self.strata, self.event[p], self.energy[p], self.found[p], self.response[p], self.floor[p],
            owner, self.cluster_energy[c], pure,
            sum_by(owner, np.ones(len(owner)), self.n_events), sum_by(owner, pure, self.n_events), self.embedding,
        )  # fmt: skip

    def weights(self, n_resamples: int) -> Weights:
        """How often each event appears in each resample, drawn within each set; the same for the same sets."""
        parts = [resamples(n, n_resamples, crc32(name.encode())) for name, n in self.strata]
        return np.concatenate(parts, axis=1)


def rows_of(name: str, kept: Mapping[str, Any], readout: str) -> Rows:
    """The rows of one readout on a test set, from what `cmlflow_benchmarks.physics.testing.score` kept."""
    own, particle = kept["readouts"][readout], kept["particle"]
    n = len(own["clusters"])
    cluster = own["cluster"]
    return Rows(
        ((name, n),), np.array(particle["event"], np.int64), _array(particle["energy"]), _array(own["found"]),
        _array(own["response"]), _array(particle["floor"]),
        np.array(cluster["event"], np.int64), _array(cluster["energy"]), _array(cluster["pure"]),
        _array(own["clusters"]), _array(own["pure"]), {name: _array(v) for name, v in kept["embedding"].items()},
    )  # fmt: skip


def joined(parts: Sequence[Rows]) -> Rows:
    """Several test sets as one."""
    if len(parts) == 1:
        return parts[0]
    offset = np.cumsum([0, *(p.n_events for p in parts)])

    def together(get: Callable[[Rows], Any]) -> Any:
        return np.concatenate([get(p) for p in parts])

    return Rows(
        tuple(stratum for p in parts for stratum in p.strata),
        np.concatenate([p.event + o for p, o in zip(parts, offset, strict=False)]),
        together(lambda p: p.energy), together(lambda p: p.found), together(lambda p: p.response),
        together(lambda p: p.floor),
        np.concatenate([p.cluster_event + o for p, o in zip(parts, offset, strict=False)]),
        together(lambda p: p.cluster_energy), together(lambda p: p.pure),
        together(lambda p: p.clusters), together(lambda p: p.pure_clusters),
        {name: np.concatenate([p.embedding[name] for p in parts]) for name in parts[0].embedding},
    )  # fmt: skip


def figure(rows: Rows, name: str, weights: Weights, energy_bins: Sequence[float]) -> Array:
    """A figure of each resample of the events.

    Parameters
    ----------
    rows : Rows
    name : str
        ``efficiency``, ``purity``, ``ratio``, ``resolution``, ``floor``; a figure of `embedding_metrics`, averaged
        over events; with ``median_``, ``spread_`` or ``negative_`` before it, its median, interquartile range and
        share below zero over events.
    weights : ndarray of shape (n_resamples, n_events), int
    energy_bins : sequence of float [GeV]
        In which responses are calibrated.

    Returns
    -------
    ndarray of shape (n_resamples,)
        nan where a resample has nothing to count, or fewer than `FEWEST` responses.
    """
    n = rows.n_events
    particles = sum_by(rows.event, np.ones(len(rows.event)), n)
    if name == "efficiency":
        return _ratio(weights, sum_by(rows.event, rows.found, n), particles)
    if name == "purity":
        return _ratio(weights, rows.pure_clusters, rows.clusters)
    if name == "ratio":
        return _ratio(weights, rows.clusters, particles)
    if name in ("resolution", "floor"):
        value = rows.response if name == "resolution" else rows.floor
        use = np.isfinite(value)
        value, event, b = value[use], rows.event[use], bin_of(rows.energy[use], energy_bins)
        times = weights[:, event]
        return np.array([resampled_resolution(value, b, w) if w.sum() >= FEWEST else np.nan for w in times])
    kind, _, of = name.partition("_") if name.split("_")[0] in _OVER_EVENTS else ("mean", "", name)
    value = rows.embedding[of]
    there = np.isfinite(value)
    if kind == "mean":
        return _ratio(weights, np.where(there, value, 0.0), there.astype(float))
    if kind == "negative":
        return _ratio(weights, np.where(there, value < 0, 0.0), there.astype(float))
    value, weights = value[there], weights[:, there]
    over = _OVER_EVENTS[kind]
    return np.array([over(np.repeat(value, w)) if w.any() else np.nan for w in weights])


def _interquartile(values: Array) -> float:
    low, high = np.quantile(values, (0.25, 0.75))
    return float(high - low)


_OVER_EVENTS: dict[str, Callable[[Array], float]] = {
    "median": lambda v: float(np.median(v)),
    "spread": _interquartile,
    "negative": lambda v: float((v < 0).mean()),
}


def _ratio(weights: Weights, numerator: Array, denominator: Array) -> Array:
    d = weights @ denominator
    out: Array = np.divide(weights @ numerator, d, out=np.full(len(d), np.nan), where=d != 0)
    return out


def _array(values: Any) -> Array:
    return np.array([np.nan if v is None else v for v in values], np.float64)
