"""The parametric particle flow algorithm: the expected charged energy is taken out of the topo-cluster ring by ring."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cmlflow.baselines.pflow.extrapolation import Matching, distances, first_interaction, matched_clusters, rings
from cmlflow.baselines.pflow.templates import PionTemplates, pion_templates
from cmlflow.baselines.pflow.topoclusters import slab_of, topoclusters
from cmlflow.event import Event, IntArray
from cmlflow.simulation.selection import Selection

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Subtraction:
    """Parameters of the parametric algorithm.

    Attributes
    ----------
    selection : Selection
        Thresholds of the topo-clusters.
    matching : Matching
        Tracks to topo-clusters, layer of first interaction.
    remnant : float, default 1.5
        What is left of a topo-cluster is removed too where it is at most so many standard deviations of the expected
        charged energy; 0 switches it off.
    """

    selection: Selection = field(default_factory=Selection)
    matching: Matching = field(default_factory=Matching)
    remnant: float = 1.5

    def __post_init__(self) -> None:
        if not self.remnant >= 0:
            raise ValueError(f"remnant is {self.remnant:g}, expected a number of standard deviations, 0 or above")


@dataclass(frozen=True, eq=False)
class ParametricCandidates:
    """What the parametric algorithm finds in one event.

    First one candidate for each track, in the order of the tracks, then one for each topo-cluster that has energy left,
    in the order of the topo-clusters.

    Attributes
    ----------
    share : ndarray of shape (n_candidates, n_hits), float64
        Part of each hit's energy; sums to 1 for hits in topo-clusters, to 0 for others.
    track : ndarray of shape (n_candidates,), int64
        Number of the track, -1 for neutral remnants.
    cluster : ndarray of shape (n_candidates,), int64
        Topo-cluster; -1 for a track that has none.
    energy : ndarray of shape (n_candidates,), float64 [GeV]
        Sum of the energies of its parts of hits.
    labels : ndarray of shape (n_hits,), int64
        Topo-cluster of each hit, -1 for none.
    """

    share: Array
    track: IntArray
    cluster: IntArray
    energy: Array
    labels: IntArray

    def __len__(self) -> int:
        return len(self.track)


def parametric(
    event: Event,
    templates: PionTemplates | None = None,
    subtraction: Subtraction = Subtraction(),
    *,
    labels: IntArray | None = None,
) -> Array:
    """Each track's part of each cell by ring-by-ring subtraction; see `parametric_candidates`.

    Returns
    -------
    ndarray of shape (n_tracks, n_hits), float64
        In [0, 1]; columns sum to at most 1.
    """
    return _subtract(event, templates, subtraction, labels)[0]


def parametric_candidates(
    event: Event,
    templates: PionTemplates | None = None,
    subtraction: Subtraction = Subtraction(),
    *,
    labels: IntArray | None = None,
) -> ParametricCandidates:
    """Charged and neutral candidates of one event, by subtracting the expected charged energy ring by ring.

    The rules, each with the section of [1]_ or [2]_ it is from:

    - The closest topo-cluster to the extrapolated track is the track's ([1]_, 5).
    - The expected charged energy is that of a pion alone in its topo-cluster, by track momentum and layer of first
      interaction, from templates ([1]_, 5). The layer is estimated from the topo-cluster as it is, with all that is in
      it (`first_interaction`; [2]_, 6.4).
    - Around the track's place in each layer there are rings of the width of a cell ([1]_, 5).
    - Rings are ordered by the expected density of energy, from the templates, highest first ([1]_, 5); where densities
      are equal, as in places no pion of the templates reached, the nearest ring comes first (our choice).
    - Rings are taken out one after another; the ring with which the expected energy is exceeded is scaled, all its
      cells by the same factor, to the part that is needed to reach it ([1]_, 5).
    - Where the topo-cluster has less than is expected, all of it is taken out (follows from the above; [2]_, 6.5).
    - Several tracks of one topo-cluster: one after another by falling momentum, each from what is left ([2]_, 6 orders
      tracks by falling transverse momentum; [1]_ has one track).
    - Remnant: when all its tracks are done, and what is left of a topo-cluster is at most `Subtraction.remnant`
      standard deviations of the charged energy (of several tracks added in quadrature), it is removed as well ([2]_,
      6.5, with 1.5; [1]_ does not mention it). Each cell's rest goes to the nearest of the topo-cluster's tracks.
    - What remains of topo-clusters is neutral ([1]_, 5).

    The recovery of split showers of [2]_ (6.4) is not part of [1]_, and not done.

    Parameters
    ----------
    event : Event
        Of a slab detector, with tracks.
    templates : PionTemplates, optional
        `pion_templates` of the event's detector by default.
    subtraction : Subtraction
    labels : ndarray of shape (n_hits,), int64, optional
        Topo-cluster of each hit, where they are known; `topoclusters` by default.

    Returns
    -------
    ParametricCandidates

    Raises
    ------
    ValueError
        Where the event has no tracks (None), is not of a slab detector, or of another one than the templates.

    References
    ----------
    .. [1] F. A. Di Bello et al., Towards a Computer Vision Particle Flow, Eur. Phys. J. C 81 (2021) 107.
    .. [2] M. Aaboud et al. (ATLAS), Jet reconstruction and performance using particle flow with the ATLAS Detector,
       Eur. Phys. J. C 77 (2017) 466.
    """
    share, matched, labels = _subtract(event, templates, subtraction, labels)
    n_clusters = int(labels.max(initial=-1)) + 1
    left = np.where(labels >= 0, np.clip(1.0 - share.sum(axis=0), 0.0, 1.0), 0.0)
    neutral = np.where(labels == np.arange(n_clusters)[:, None], left, 0.0)
    energy = event.energy.astype(np.float64)
    kept = np.flatnonzero(neutral @ energy > 0)
    both = np.concatenate([share, neutral[kept]])
    return ParametricCandidates(
        both,
        np.concatenate([np.arange(len(share)), np.full(len(kept), -1)]),
        np.concatenate([matched, kept]),
        both @ energy,
        labels,
    )


def _subtract(
    event: Event, templates: PionTemplates | None, subtraction: Subtraction, labels: IntArray | None
) -> tuple[Array, IntArray, IntArray]:
    """Shares (n_tracks, n_hits), topo-cluster of each track (n_tracks,) and of each hit (n_hits,)."""
    detector = slab_of(event)
    distance = distances(event)
    if templates is None:
        templates = pion_templates(detector.name)
    if templates.detector != detector.name:
        where = event.title
        raise ValueError(f"{where}: is of {detector.name}, but the templates are of {templates.detector}")
    if labels is None:
        labels = topoclusters(event, subtraction.selection)
    matched = matched_clusters(event, labels, distance, subtraction.matching)
    assert event.tracks is not None
    momentum = event.tracks.momentum.astype(np.float64)
    energy = event.energy.astype(np.float64)
    out, left = np.zeros(distance.shape), np.ones(event.n_hits)
    sigma = np.zeros(len(out))
    for t in np.argsort(-momentum, kind="stable"):
        if matched[t] < 0:
            continue
        cell = np.flatnonzero(labels == matched[t])
        layer, d = event.layer[cell], distance[t, cell]
        first = first_interaction(energy[cell], d, layer, detector, subtraction.matching.width)
        wanted, sigma[t] = templates.expected(float(momentum[t]), first)
        ring = rings(d, layer, detector)
        density = templates.densities(float(momentum[t]), first)
        expected = density[layer - 1, np.minimum(ring, density.shape[1] - 1)]
        part = ring_fractions(energy[cell] * left[cell], layer, ring, expected, d, wanted) * left[cell]
        out[t, cell] = part
        left[cell] -= part
    for c in np.unique(matched[matched >= 0]):
        cell, own = np.flatnonzero(labels == c), np.flatnonzero(matched == c)
        if left[cell] @ energy[cell] <= subtraction.remnant * float(np.linalg.norm(sigma[own])):
            nearest = own[distance[np.ix_(own, cell)].argmin(axis=0)]
            out[nearest, cell] += left[cell]
            left[cell] = 0.0
    return np.clip(out, 0.0, 1.0), matched, labels


def ring_fractions(
    energy: Array, layer: IntArray, ring: IntArray, density: Array, distance: Array, wanted: float
) -> Array:
    """The part of each cell that is taken out, ring by ring, until so much energy is taken.

    Parameters
    ----------
    energy : ndarray of shape (n_cells,), float [GeV]
        What the cells have left.
    layer, ring : ndarray of shape (n_cells,), int64
        Cells with the same layer and ring are one ring.
    density : ndarray of shape (n_cells,), float
        Expected density of energy in the cell's ring: rings are taken by falling density.
    distance : ndarray of shape (n_cells,), float [cm]
        Of equal densities, the ring with the nearest cell comes first.
    wanted : float [GeV]

    Returns
    -------
    ndarray of shape (n_cells,), float64
        1 in rings before the last, the same number in [0, 1] in all cells of the last, 0 after it.
    """
    _, where = np.unique(np.stack([layer, ring], axis=1), axis=0, return_inverse=True)
    where = where.reshape(-1)
    n = int(where.max(initial=-1)) + 1
    total = np.bincount(where, energy, n)
    expected, nearest = np.full(n, -np.inf), np.full(n, np.inf)
    np.maximum.at(expected, where, density)
    np.minimum.at(nearest, where, distance)
    order = np.lexsort((nearest, -expected))
    before = np.empty(n)
    before[order] = np.cumsum(total[order]) - total[order]
    missing = wanted - before
    part = np.divide(missing, total, out=(missing > 0).astype(np.float64), where=total > 0)
    out: Array = np.clip(part, 0.0, 1.0)[where]
    return out
