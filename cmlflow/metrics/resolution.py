"""Energy response of clusters and its effective width, against the floor that the detector sets."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Event
from cmlflow.metrics.matching import Matching, numpy_array, sum_by
from cmlflow.metrics.reconstruction import Preset, judge, preset_of

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

ENERGY_BINS = (10.0, 30.0, 60.0, 100.0, 200.0, 400.0, 600.0)


def sigma_eff(values: ArrayLike, fraction: float = 0.683) -> float:
    """Half the length of the shortest interval that holds a fraction of the values.

    Parameters
    ----------
    values : array_like of shape (n,), float
    fraction : float
        In (0, 1]; at least ceil(fraction n) values lie in the interval, both ends included.

    Returns
    -------
    float
        nan without values, 0 for one.

    References
    ----------
    arXiv:2603.23356, section IV.2.

    Examples
    --------
    >>> sigma_eff([0.0, 1.0, 1.1, 1.2, 5.0], 0.6)
    0.09999999999999998
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction is {fraction}, expected a value in (0, 1]")
    return _half_width(np.sort(numpy_array(values).astype(np.float64).ravel()), fraction)


def calibrated(response: ArrayLike, energy: ArrayLike, bins: ArrayLike = ENERGY_BINS) -> Array:
    """Responses divided by the mean response of their bin of true energy.

    Parameters
    ----------
    response : array_like of shape (n,), float
    energy : array_like of shape (n,), float [GeV]
    bins : array_like of shape (n_bins + 1,), float [GeV]
        Increasing edges; values outside them form two more bins.

    Returns
    -------
    ndarray of shape (n,), float64
    """
    r = np.asarray(response, np.float64)
    return _scaled(r, bin_of(energy, bins), np.ones(len(r), np.int64))


def resolution(response: ArrayLike, energy: ArrayLike, bins: ArrayLike = ENERGY_BINS) -> float:
    """Effective width of the calibrated responses: `sigma_eff` of `calibrated`."""
    return sigma_eff(calibrated(response, energy, bins))


def bin_of(energy: ArrayLike, bins: ArrayLike) -> Ints:
    """Number of the energy bin: 0 below the first edge, len(bins) above the last, whose edge belongs below it."""
    edges = np.asarray(bins, np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"energy bins are {bins!r}, expected at least two rising edges [GeV]")
    e = np.asarray(energy, np.float64)
    b = np.searchsorted(edges, e, "right")
    b[e == edges[-1]] = len(edges) - 1
    return b.astype(np.int64)


def hit_weights(event: Event, layer_weights: ArrayLike | None = None) -> Array:
    """Weight of each hit's energy in the energy of a cluster.

    Parameters
    ----------
    event : Event
    layer_weights : array_like of shape (n_layers,), optional
        Energy per unit of hit energy [GeV per MIP], one for each layer 1, 2, ... By default those of the event's
        detector, or 1 if it has none; the response then has an arbitrary scale, which the calibration removes.

    Returns
    -------
    ndarray of shape (n_hits,), float64
    """
    if layer_weights is None:
        layer_weights = _detector_weights(event.detector)
    if layer_weights is None:
        return np.ones(event.n_hits)
    w = np.asarray(layer_weights, np.float64)
    bad = (event.layer < 1) | (event.layer > len(w))
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        where = event.title
        raise ValueError(f"{where}: hit {i} is in layer {event.layer[i]}, expected 1..{len(w)}, the weighted layers")
    return w[event.layer - 1]


def checked_energies(energies: Any, n_clusters: int, where: str) -> Array:
    """Energies of clusters as a float64 array, or a ValueError where they are not as many as those, or not finite."""
    e = numpy_array(energies).astype(np.float64)
    if e.shape != (n_clusters,):
        raise ValueError(f"{where}: energies have shape {e.shape}, but there are {n_clusters} clusters")
    if not np.isfinite(e).all():
        raise ValueError(f"{where}: energy of cluster {int(np.argmin(np.isfinite(e)))} is not finite")
    return e


def particle_response(
    matching: Matching,
    event: Event,
    preset: str | Preset = "paper",
    layer_weights: ArrayLike | None = None,
    floor: str = "deposits",
    energies: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Response E_reco / E_true of each particle of one event, and the same for perfect pattern recognition.

    The cluster of a particle is the one that shares most energy with it; where its R2S reaches the purity cut of the
    preset the particle is left out. E_reco is the given energy, or the sum of the cluster's hit energies times the
    layer weights.

    Parameters
    ----------
    matching : Matching
        From `cmlflow.metrics.matching.match`.
    event : Event
    preset : {"paper", "ticl", "ticl-2024"} or Preset
    layer_weights : array_like of shape (n_layers,), optional
        As in `hit_weights`.
    floor : {"deposits", "hits"}
        What perfect pattern recognition collects: the particle's own deposits in all hits, its share of each hit; or,
        as in the paper, the whole energy of the hits labelled with it.
    energies : array_like of shape (n_clusters,), optional
        E_reco of the clusters, for example from shares of hits or a regression. Layer weights then apply only to the
        floor.

    Returns
    -------
    response, floor : ndarray of shape (n_particles,), float64
        Uncalibrated; nan where there is no cluster, it is not pure, or the true energy is unknown.

    References
    ----------
    arXiv:2603.23356, section IV.2.
    """
    cut = preset_of(preset)
    weighted = event.energy.astype(np.float64) * hit_weights(event, layer_weights)
    n_particles = event.n_particles
    true = event.particles.energy.astype(np.float64)
    usable = (true > 0) & (matching.particle_energy > 0)

    best = judge(matching, cut).best_cluster
    if energies is None:
        collected = sum_by(matching.cluster, matching.fraction * weighted[matching.hit], len(matching.r2s))
    else:
        collected = checked_energies(energies, len(matching.r2s), event.title)
    matched = np.flatnonzero(usable & (best >= 0))
    matched = matched[matching.r2s[best[matched], matched] < cut.purity]
    response = np.full(n_particles, np.nan)
    response[matched] = collected[best[matched]] / true[matched]

    if floor == "deposits":
        d = event.deposits
        known = d.particle >= 0
        ideal = sum_by(d.particle[known], (event.fractions * weighted[d.hit])[known], n_particles)
    elif floor == "hits":
        labelled = event.particle_id >= 0
        ideal = sum_by(event.particle_id[labelled], weighted[labelled], n_particles)
    else:
        raise ValueError(f"floor is {floor!r}, expected 'deposits' or 'hits'")
    usable &= ideal > 0
    perfect = np.full(n_particles, np.nan)
    perfect[usable] = ideal[usable] / true[usable]
    return response, perfect


def resampled_resolution(response: Array, energy_bin: Ints, times: Ints) -> float:
    """`resolution` of a sample in which each entry appears `times` times, recalibrated; bins from `bin_of`."""
    scaled = _scaled(response, energy_bin, times)
    order = np.argsort(scaled)
    return _half_width(np.repeat(scaled[order], times[order]), 0.683)


def _scaled(response: Array, energy_bin: Ints, times: Ints) -> Array:
    n_bins = int(energy_bin.max(initial=0)) + 1
    n, total = sum_by(energy_bin, times, n_bins), sum_by(energy_bin, times * response, n_bins)
    per_mean = np.divide(n, total, out=np.full(n_bins, np.nan), where=total != 0)
    per_mean[n == 0] = 0.0
    out: Array = response * per_mean[energy_bin]
    return out


def _half_width(ordered: Array, fraction: float) -> float:
    n = len(ordered)
    if n == 0 or not np.isfinite(ordered[-1]):
        return float("nan")
    held = max(1, ceil(fraction * n - 1e-9))
    return float((ordered[held - 1 :] - ordered[: n - held + 1]).min() / 2)


def _detector_weights(name: str | None) -> Any:
    if name is None:
        return None
    from cmlflow.detectors import detector

    try:
        return detector(name).layer_weights
    except ValueError:
        return None
