"""Counts of each scored event, and the figures from them: overall, by multiplicity and by energy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Event
from cmlflow.metrics.intervals import Interval, Weights, ratio_interval, resamples, statistic_interval
from cmlflow.metrics.matching import Array, Ints, match, sum_by
from cmlflow.metrics.reconstruction import RATES, Preset, judge
from cmlflow.metrics.resolution import bin_of, calibrated, particle_response, resampled_resolution

EVENT, ENERGY, EFFICIENT, RESPONSE, FLOOR = range(5)
"""Columns of the particle rows; the cluster rows have EVENT, ENERGY of their particle, and PURE."""
PURE = 2


class Tally:
    """Takes events one at a time and keeps their counts, a row for each particle and a row for each cluster."""

    def __init__(self) -> None:
        self._n_hits = 0
        self._sums: list[list[tuple[int, int]]] = []
        self._particles: list[Array] = []
        self._clusters: list[Array] = []

    def add(
        self,
        event: Event,
        labels: NDArray[Any],
        preset: Preset,
        layer_weights: ArrayLike | None = None,
        floor: str = "deposits",
        energies: Array | None = None,
    ) -> None:
        """Score one event, by labels (n_hits,) or shares (C, n_hits), and energies (C,) that are not sums of hits."""
        m = match(labels, event)
        verdict = judge(m, preset)
        response, ideal = particle_response(m, event, preset, layer_weights, floor, energies)
        i = len(self._sums)
        sums = verdict.sums()
        self._n_hits += event.n_hits
        self._sums.append([sums[name] for name in RATES])
        energy = event.particles.energy.astype(np.float64)
        s, c = verdict.simulated, verdict.counted & (verdict.best_particle >= 0)
        which = np.full(int(s.sum()), i)
        columns = [which, energy[s], verdict.efficient[s], response[s], ideal[s]]
        self._particles.append(np.stack(columns, axis=1))
        which = np.full(int(c.sum()), i)
        self._clusters.append(np.stack([which, energy[verdict.best_particle[c]], verdict.pure[c]], axis=1))

    def arrays(self) -> tuple[Array, Array, Array]:
        """What was kept: `sums`, `particles` and `clusters` as `Table` takes them."""
        sums = np.array(self._sums, np.float64).reshape(-1, len(RATES), 2)
        particles = np.concatenate([np.empty((0, 5)), *self._particles])
        clusters = np.concatenate([np.empty((0, 3)), *self._clusters])
        return sums, particles, clusters

    def table(self, bins: ArrayLike, bootstrap: int, confidence: float, seed: int) -> Table:
        """What was kept, ready for figures."""
        return Table(*self.arrays(), self._n_hits, bins, bootstrap, confidence, seed)


class Table:
    """Counts and rows of all events, and the figures with their intervals.

    Parameters
    ----------
    sums : ndarray of shape (n_events, n_rates, 2)
        Numerator and denominator of each rate.
    particles : ndarray of shape (n_particles, 5)
        Event, true energy [GeV], whether found, response, floor.
    clusters : ndarray of shape (n_clusters, 3)
        Event, energy of the particle that has most of it [GeV], whether pure.
    n_hits : int
    bins : array_like of shape (n_bins + 1,), float [GeV]
    bootstrap : int
    confidence : float
    seed : int
    """

    def __init__(
        self,
        sums: Array,
        particles: Array,
        clusters: Array,
        n_hits: int,
        bins: ArrayLike,
        bootstrap: int,
        confidence: float,
        seed: int,
    ) -> None:
        self._sums, self._particles, self._clusters = sums, particles, clusters
        self._bins, self._bootstrap, self._confidence, self._seed = bins, bootstrap, confidence, seed
        self.n_hits, self.n_events, self.n_particles = n_hits, len(sums), len(particles)
        self.n_clusters = int(sums[:, RATES.index("purity"), 1].sum())
        self._multiplicity = sums[:, RATES.index("efficiency"), 1].astype(np.int64)
        self._weights = resamples(self.n_events, bootstrap, seed)

    @property
    def multiplicities(self) -> list[int]:
        """Numbers of particles that events have."""
        found: list[int] = np.unique(self._multiplicity[self._multiplicity > 0]).tolist()
        return found

    def overall(self) -> dict[str, Interval]:
        """All figures of all events."""
        out = self._rates(self._sums, self._weights)
        p = self._particles
        out.update(self._widths(p, p[:, EVENT].astype(np.int64), bin_of(p[:, ENERGY], self._bins), self._weights))
        return out

    def at_multiplicity(self, n_particles: int) -> dict[str, Interval]:
        """All figures of the events with a number of particles."""
        chosen = np.flatnonzero(self._multiplicity == n_particles)
        weights = resamples(len(chosen), self._bootstrap, self._seed)
        out = self._rates(self._sums[chosen], weights)
        place = np.full(self.n_events, -1)
        place[chosen] = np.arange(len(chosen))
        event = place[self._particles[:, EVENT].astype(np.int64)]
        rows = np.flatnonzero(event >= 0)
        scaled = self._calibrated()[rows]
        out.update(self._widths(scaled, event[rows], np.zeros(len(rows), np.int64), weights))
        raw = self._particles[rows]
        out["response"] = self._mean(raw[:, RESPONSE], event[rows], weights)
        return out

    def by_energy(self) -> list[dict[str, Any]]:
        """Efficiency, purity, response and widths in each energy bin that has particles."""
        edges = np.asarray(self._bins, np.float64)
        particle_bin = bin_of(self._particles[:, ENERGY], edges)
        cluster_bin = bin_of(self._clusters[:, ENERGY], edges)
        out: list[dict[str, Any]] = []
        for k in np.unique(particle_bin[(particle_bin > 0) & (particle_bin < len(edges))]):
            p, c = self._particles[particle_bin == k], self._clusters[cluster_bin == k]
            event, owner = p[:, EVENT].astype(np.int64), c[:, EVENT].astype(np.int64)
            row: dict[str, Any] = {"low": float(edges[k - 1]), "high": float(edges[k]), "n_particles": len(p)}
            row["efficiency"] = self._mean(p[:, EFFICIENT], event, self._weights)
            row["purity"] = self._mean(c[:, PURE], owner, self._weights)
            row.update(self._widths(p, event, np.zeros(len(p), np.int64), self._weights))
            out.append(row)
        return out

    def _calibrated(self) -> Array:
        out = self._particles.copy()
        for column in (RESPONSE, FLOOR):
            use = np.isfinite(out[:, column])
            out[use, column] = calibrated(out[use, column], out[use, ENERGY], self._bins)
        return out

    def _rates(self, sums: Array, weights: Weights) -> dict[str, Interval]:
        each = enumerate(RATES)
        return {name: ratio_interval(sums[:, k, 0], sums[:, k, 1], weights, self._confidence) for k, name in each}

    def _mean(self, value: Array, event: Ints, weights: Weights) -> Interval:
        """Mean of the known values; `event` counts within the events of the weights."""
        there = np.isfinite(value)
        total = sum_by(event[there], value[there], weights.shape[1])
        n = sum_by(event[there], np.ones(int(there.sum())), weights.shape[1])
        return ratio_interval(total, n, weights, self._confidence)

    def _widths(self, particles: Array, event: Ints, energy_bin: Ints, weights: Weights) -> dict[str, Interval]:
        out = {"response": self._mean(particles[:, RESPONSE], event, weights)}
        for name, column in (("resolution", RESPONSE), ("resolution_floor", FLOOR)):
            use = np.isfinite(particles[:, column])
            value, b = particles[use, column], energy_bin[use]

            def width(times: Ints, value: Array = value, b: Ints = b) -> float:
                return resampled_resolution(value, b, times)

            out[name] = statistic_interval(width, event[use], weights, self._confidence)
        return out
