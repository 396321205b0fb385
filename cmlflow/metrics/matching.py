"""How much every cluster and every particle of one event have in common: R2S, S2R and shared energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Event

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDING = 1e-4
"""Tolerance of a sum of shares above 1."""


@dataclass(frozen=True, eq=False)
class Matching:
    """Scores of all pairs of a cluster and a particle of one event, and what they were made from.

    Attributes
    ----------
    r2s, s2r, shared : ndarray of shape (n_clusters, n_particles), float64
        As in `association_scores`.
    missed : ndarray of shape (n_clusters, n_particles), float64
        What a cluster lacks of a particle, sum over hits of max(0, f^s - f^r)^2 E^2 over that of (f^s E)^2: S2R of
        CMSSW since cms-sw/cmssw#48148 (2025).
    hit, cluster : ndarray of shape (n_assignments,), int64
        Which hit belongs to which cluster; hits outside all clusters do not appear.
    fraction : ndarray of shape (n_assignments,), float64
        Share of the hit that the cluster has: 1 for hard labels.
    cluster_hits : ndarray of shape (n_clusters,), int64
        Number of hits; 0 for a number that no hit carries, which then counts nowhere.
    particle_energy : ndarray of shape (n_particles,), float64
        Visible energy of each particle, the sum over hits of its share times the hit energy, in the unit of the
        hit energies.
    """

    r2s: Array
    s2r: Array
    shared: Array
    missed: Array
    hit: Ints
    cluster: Ints
    fraction: Array
    cluster_hits: Ints
    particle_energy: Array


def association_scores(labels: Any, event: Event, fractions: tuple[Any, Any, Any] | None = None) -> dict[str, Any]:
    r"""Reco-to-sim and sim-to-reco scores and the shared energy of all pairs of a cluster and a particle.

    With :math:`f^r_i, f^s_i` the fractions of hit i in cluster r and particle s, and :math:`E_i` the hit energy,

    .. math::
        R2S(r, s) = \frac{\sum_{i \in r} \min((f^r_i - f^s_i)^2, (f^r_i)^2) E_i^2}{\sum_{i \in r} (f^r_i)^2 E_i^2},
        \qquad shared(r, s) = \sum_i \min(f^r_i, f^s_i) E_i,

    and S2R is R2S with the roles of r and s exchanged. Both are 0 for a perfect match and 1 for a pair without a
    common hit. A cluster or particle without energy has the score 1 with everything.

    Parameters
    ----------
    labels : array_like of shape (n_hits,), int, or (C, n_hits), float
        Cluster of each hit, 0..C-1, -1 noise; or shares, the part of each hit that belongs to each cluster. Not used
        (may be None) where `fractions` is given.
    event : Event
        Its deposits give the fractions of the particles; deposits of unknown particles (-1) dilute the others.
    fractions : (hit, cluster, fraction), optional
        Shares as parallel arrays, in [0, 1]. A hit may appear several times; repeated pairs add up.

    Returns
    -------
    dict of arrays of shape (C, P), float64
        ``r2s``, ``s2r`` and ``shared`` (in the unit of the hit energies); tensors where `labels` is a tensor.

    Raises
    ------
    ValueError
        Labels and hits differ in number, or a label, hit, share or fraction is out of range.

    References
    ----------
    arXiv:2603.23356, eq. 9; the trackster validation of CMSSW (Validation/HGCalValidation).

    Examples
    --------
    >>> from cmlflow.event import Event
    >>> e = Event([[0, 0, 1], [1, 0, 1], [2, 0, 1]], [3.0, 1.0, 2.0], particle_id=[0, 0, 1])
    >>> association_scores([0, 0, 0], e)["shared"]
    array([[4., 2.]])
    >>> association_scores([[1.0, 1.0, 0.5]], e)["shared"]
    array([[4., 1.]])
    """
    m = match(labels, event, fractions)
    scores = {"r2s": m.r2s, "s2r": m.s2r, "shared": m.shared}
    if hasattr(labels, "detach"):
        import torch

        return {name: torch.from_numpy(value) for name, value in scores.items()}
    return scores


def match(labels: Any, event: Event, fractions: tuple[Any, Any, Any] | None = None) -> Matching:
    """The scores of `association_scores` with the energies and hit counts that go with them.

    Takes one pass over the deposits: a pair without a common hit has the score 1, so only the reduction by common hits
    is summed.
    """
    n_particles = event.n_particles
    energy = event.energy.astype(np.float64)
    y: Ints | None = None
    if fractions is not None:
        hit, cluster, g = _checked_fractions(fractions, event)
        n_clusters = int(cluster.max(initial=-1)) + 1
    else:
        given = checked_assignment(labels, event)
        if given.ndim == 2:
            hit, cluster = np.nonzero(given.T)
            g, n_clusters = given[cluster, hit].astype(np.float64), len(given)
        else:
            y = given.astype(np.int64, copy=False)
            hit = np.flatnonzero(y >= 0)
            cluster, g = y[hit], np.ones(len(hit))
            n_clusters = int(y.max(initial=-1)) + 1

    d = event.deposits
    known = d.particle >= 0
    s_hit, s_particle, f = _merged(d.hit[known], d.particle[known], event.fractions[known], n_particles)
    cluster_weight = sum_by(cluster, (g * energy[hit]) ** 2, n_clusters)
    particle_weight = sum_by(s_particle, (f * energy[s_hit]) ** 2, n_particles)

    if y is not None:
        deposit = np.flatnonzero(y[s_hit] >= 0)
        c, gr = y[s_hit[deposit]], np.ones(len(deposit))
    else:
        deposit, of = _common(s_hit, hit)
        c, gr = cluster[of], g[of]
    fs, e = f[deposit], energy[s_hit[deposit]]
    pair = c * n_particles + s_particle[deposit]
    gap, e2 = (gr - fs) ** 2, e * e

    def total(weight: Array) -> Array:
        return sum_by(pair, weight, n_clusters * n_particles).reshape(n_clusters, n_particles)

    r2s = _score(total((gr**2 - np.minimum(gap, gr**2)) * e2), cluster_weight[:, None])
    s2r = _score(total((fs**2 - np.minimum(gap, fs**2)) * e2), particle_weight[None, :])
    missed = _score(total((fs**2 - np.maximum(fs - gr, 0) ** 2) * e2), particle_weight[None, :])
    shared = total(np.minimum(gr, fs) * e)
    cluster_hits = np.bincount(cluster, minlength=n_clusters)
    particle_energy = sum_by(s_particle, f * energy[s_hit], n_particles)
    return Matching(r2s, s2r, shared, missed, hit, cluster, g, cluster_hits, particle_energy)


def checked_assignment(labels: Any, event: Event, where: str | None = None) -> NDArray[Any]:
    """Labels or shares of one event, checked by `checked_labels` or `checked_shares`.

    Shares are floats (or truth values) of two axes; whole numbers of two axes are taken for misplaced labels.
    """
    given = numpy_array(labels)
    if given.ndim == 2 and given.dtype.kind in "fb":
        return checked_shares(given, event, where)
    return checked_labels(given, event, where)


def checked_shares(shares: Any, event: Event, where: str | None = None) -> Array:
    """Shares of one event as a float64 array, or a clear error.

    Parameters
    ----------
    shares : array_like or tensor of shape (C, n_hits), float or bool
        Part of each hit that belongs to each cluster, in [0, 1]. The remainder of a column is unassigned.
    event : Event
    where : str, optional
        Name of the event in messages; its number by default.

    Raises
    ------
    ValueError
        Names the event, the shape, or the first hit with an impossible share or sum of shares. Rounding errors of 1e-4
        are tolerated.
    """
    where = where or event.title
    g = numpy_array(shares).astype(np.float64)
    if g.ndim != 2 or g.shape[1] != event.n_hits:
        raise ValueError(f"{where}: shares have shape {g.shape}, expected (clusters, {event.n_hits} hits)")
    bad = ~((g >= 0) & (g <= 1 + ROUNDING))
    if bad.any():
        c, i = (int(k) for k in np.argwhere(bad)[0])
        raise ValueError(f"{where}: share of hit {i} in cluster {c} is {g[c, i]}, expected a value in 0..1")
    total = g.sum(axis=0)
    if (total > 1 + ROUNDING).any():
        i = int(np.flatnonzero(total > 1 + ROUNDING)[0])
        raise ValueError(f"{where}: shares of hit {i} sum to {total[i]:.6g}, expected at most 1")
    return np.minimum(g, 1.0)


def checked_labels(labels: Any, event: Event, where: str | None = None) -> Ints:
    """Cluster labels of one event as an int64 array, or a clear error.

    Parameters
    ----------
    labels : array_like or tensor of shape (n_hits,), int
    event : Event
    where : str, optional
        Name of the event in messages; its number by default.

    Raises
    ------
    ValueError
        Names the event, both lengths, or the first hit with an impossible label.
    """
    where = where or event.title
    y = numpy_array(labels)
    if y.size == 0 and y.ndim <= 1:
        y = y.astype(np.int64)
    if y.shape != (event.n_hits,):
        length = str(len(y)) if y.ndim == 1 else f"shape {y.shape}"
        raise ValueError(f"{where}: labels have length {length}, but the event has {event.n_hits} hits")
    if y.dtype.kind not in "iub" and not (y.dtype.kind == "f" and bool(np.all(y == np.floor(y)))):
        raise ValueError(f"{where}: labels have type {y.dtype}, expected whole numbers, -1 for noise")
    y = y.astype(np.int64)
    if (y < -1).any():
        i = int(np.flatnonzero(y < -1)[0])
        raise ValueError(f"{where}: label of hit {i} is {y[i]}, expected a cluster 0..C-1 or -1 for noise")
    return y


def numpy_array(value: Any) -> NDArray[Any]:
    """A tensor (any device, any precision) or array_like as a numpy array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.double() if value.is_floating_point() else value
        return np.asarray(value.numpy())
    return np.asarray(value)


def sum_by(group: Ints, value: NDArray[Any], n_groups: int) -> Array:
    """Sum of the values of each group 0..n_groups-1, shape (n_groups,), float64."""
    out: Array = np.bincount(group, value, n_groups).astype(np.float64, copy=False)
    return out


def _checked_fractions(fractions: tuple[ArrayLike, ArrayLike, ArrayLike], event: Event) -> tuple[Ints, Ints, Array]:
    hit, cluster = (numpy_array(a).astype(np.int64) for a in fractions[:2])
    g = numpy_array(fractions[2]).astype(np.float64)
    where = event.title
    if not hit.shape == cluster.shape == g.shape or g.ndim != 1:
        raise ValueError(f"{where}: fractions have shapes {hit.shape}, {cluster.shape}, {g.shape}, expected one length")
    bad = (hit < 0) | (hit >= event.n_hits) | (cluster < 0) | ~((g >= 0) & (g <= 1))
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{where}: entry {i} of fractions is hit {hit[i]}, cluster {cluster[i]}, fraction {g[i]}; expected a hit "
            f"in 0..{event.n_hits - 1}, a cluster of 0 or above and a fraction in [0, 1]"
        )
    keep = g > 0
    return _merged(hit[keep], cluster[keep], g[keep], int(cluster.max(initial=-1)) + 1)


def _merged(hit: Ints, other: Ints, value: Array, n_other: int) -> tuple[Ints, Ints, Array]:
    """Rows sorted by hit, one for each pair; values of repeated pairs added."""
    key = hit * n_other + other
    if len(key) < 2 or (key[1:] > key[:-1]).all():
        return hit, other, value
    pair, where = np.unique(key, return_inverse=True)
    return pair // n_other, pair % n_other, sum_by(where, value, len(pair))


def _common(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """All pairs of rows (i, j) with left[i] == right[j]; both sorted."""
    start, stop = np.searchsorted(right, left), np.searchsorted(right, left, "right")
    n = stop - start
    i = np.repeat(np.arange(len(left)), n)
    j = np.arange(len(i)) + np.repeat(start - (np.cumsum(n) - n), n)
    return i, j


def _score(saved: Array, weight: Array) -> Array:
    share = np.divide(saved, weight, out=np.zeros_like(saved), where=weight > 0)
    return np.clip(1.0 - share, 0.0, 1.0)
