"""Efficiency, purity, multiplicity ratio, and fake, merge, duplicate and split rates of clusterings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import Event, as_events
from cmlflow.event.numbering import compacted, is_sparse, numbers_of
from cmlflow.metrics.matching import Matching, checked_assignment, match

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Preset:
    """Cuts that decide what counts as found, pure, fake, merged or duplicate.

    Attributes
    ----------
    efficiency : float
        A particle is found where a cluster holds more than this share of its visible energy.
    purity : float
        A cluster is pure where its R2S with some particle is below this.
    fake_merge : float
        A cluster is fake where no particle has an R2S below this, and merged where two or more have.
    duplicate : float
        A particle is duplicate where two or more clusters have an S2R below this, and complete where one has.
    s2r : {"missed", "difference"}
        Which S2R: that of what a cluster lacks of a particle, ``missed`` of `cmlflow.metrics.matching.Matching`, or
        that of all differences, as in `cmlflow.metrics.association_scores`.

    Raises
    ------
    ValueError
        Another word for `s2r`.
    """

    efficiency: float = 0.7
    purity: float = 0.2
    fake_merge: float = 0.6
    duplicate: float = 0.2
    s2r: str = "difference"

    def __post_init__(self) -> None:
        if self.s2r not in ("missed", "difference"):
            raise ValueError(f"s2r is {self.s2r!r}, expected 'missed' or 'difference'")


PRESETS: dict[str, Preset] = {
    "paper": Preset(),
    "ticl": Preset(efficiency=0.5, s2r="missed"),
    "ticl-2024": Preset(efficiency=0.5),
}
"""Cuts by name; ``"ticl"`` is CMSSW since its pull request 48148 (2025), ``"ticl-2024"`` before."""


RATES = (
    "efficiency",
    "purity",
    "ratio",
    "merge_rate",
    "duplicate_rate",
    "fake_rate",
    "split_rate",
    "completeness",
)


def preset_of(preset: str | Preset) -> Preset:
    """The preset of this name; a `Preset` is returned unchanged."""
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise ValueError(f"preset is {preset!r}, expected one of {', '.join(map(repr, PRESETS))} or a Preset")
    return PRESETS[preset]


@dataclass(frozen=True, eq=False)
class Verdict:
    """Which particles are found and which clusters are pure, fake or merged, for one event.

    Attributes
    ----------
    simulated, efficient, duplicate, complete : ndarray of shape (n_particles,), bool
        `simulated`: the particle has visible energy; only such particles count. The others as in `Preset`.
    best_cluster : ndarray of shape (n_particles,), int64
        Cluster with the largest shared energy; -1 where none shares any.
    counted, pure, fake, merged, split : ndarray of shape (n_clusters,), bool
        `counted`: the cluster has hits. `split`: it is pure, but another cluster holds more of its particle.
    best_particle : ndarray of shape (n_clusters,), int64
        Particle with the largest shared energy; -1 where there is none.
    """

    simulated: Bools
    efficient: Bools
    duplicate: Bools
    complete: Bools
    best_cluster: Ints
    counted: Bools
    pure: Bools
    fake: Bools
    merged: Bools
    split: Bools
    best_particle: Ints

    def sums(self) -> dict[str, tuple[int, int]]:
        """Numerator and denominator of every figure of `reconstruction_metrics`."""
        n_sim, n_reco = int(self.simulated.sum()), int(self.counted.sum())
        return {
            "efficiency": (int(self.efficient.sum()), n_sim),
            "purity": (int(self.pure.sum()), n_reco),
            "ratio": (n_reco, n_sim),
            "merge_rate": (int(self.merged.sum()), n_reco),
            "duplicate_rate": (int(self.duplicate.sum()), n_sim),
            "fake_rate": (int(self.fake.sum()), n_reco),
            "split_rate": (int(self.split.sum()), n_reco),
            "completeness": (int(self.complete.sum()), n_sim),
        }


def judge(matching: Matching, preset: str | Preset = "paper") -> Verdict:
    """Apply the cuts of a preset to the scores of one event."""
    cut = preset_of(preset)
    shared, r2s = matching.shared, matching.r2s
    s2r = matching.missed if cut.s2r == "missed" else matching.s2r
    simulated = matching.particle_energy > 0
    counted = matching.cluster_hits > 0
    best_cluster = _argmax(shared, 0)
    best_particle = _argmax(shared, 1)
    visible = np.where(simulated, matching.particle_energy, 1.0)
    found = shared.max(axis=0, initial=0.0) / visible > cut.efficiency
    close = (s2r < cut.duplicate).sum(axis=0)
    related = (r2s < cut.fake_merge).sum(axis=1)
    pure = counted & (r2s.min(axis=1, initial=np.inf) < cut.purity)
    follows = best_particle >= 0
    follows[follows] = best_cluster[best_particle[follows]] != np.flatnonzero(follows)
    return Verdict(
        simulated=simulated,
        efficient=simulated & found,
        duplicate=simulated & (close > 1),
        complete=simulated & (close > 0),
        best_cluster=best_cluster,
        counted=counted,
        pure=pure,
        fake=counted & (related == 0),
        merged=counted & (related > 1),
        split=pure & follows,
        best_particle=best_particle,
    )


def reconstruction_metrics(
    events: Event | Sequence[Event], labels: Any, preset: str | Preset = "paper"
) -> dict[str, float]:
    """Reconstruction figures of one clustered event or of many together.

    Over many events, particles and clusters are pooled: the efficiency is the number of particles found in all events
    over the number of all particles, so that events count by their particles. The paper gives its figures by particle
    energy and by multiplicity and does not say how it averages over events; at fixed multiplicity, pooling agrees with
    averaging the efficiency per event.

    Parameters
    ----------
    events : Event or sequence of Event
    labels : array_like of shape (n_hits,), int, or (C, n_hits), float, or a sequence of such
        Cluster of each hit, 0..C-1, -1 noise, or shares, the part of each hit that belongs to each cluster; one array
        for each event.
    preset : {"paper", "ticl", "ticl-2024"} or Preset
        ``paper``: found above 0.7 of the visible energy; the others: above 0.5. All: pure at R2S < 0.2, fake and
        merged by R2S < 0.6, duplicate by S2R < 0.2. S2R of ``ticl`` is
        sum max(0, f^s - f^r)^2 E^2 / sum (f^s E)^2, as in CMSSW since 2025: 0 for a particle wholly inside a cluster,
        even where others share its hits. S2R of the others counts a larger share as a difference, too.

    Returns
    -------
    dict of float
        ``efficiency``      particles of which one cluster holds more than the cut, over particles;
        ``purity``          clusters with min_s R2S below the cut, over clusters;
        ``ratio``           clusters over particles;
        ``merge_rate``      clusters with two or more particles of R2S below the cut, over clusters;
        ``duplicate_rate``  particles with two or more clusters of S2R below the cut, over particles;
        ``fake_rate``       clusters with no particle of R2S below the cut, over clusters;
        ``split_rate``      pure clusters that are not the leading cluster of their particle, over clusters;
        ``completeness``    particles with a cluster of S2R below the cut, over particles.
        nan where the denominator is zero.

    Raises
    ------
    ValueError
        Events and labels differ in number, or labels and hits of an event do; names the event.

    Notes
    -----
    Particles without visible energy are not counted as simulated, noise hits (-1) belong to no cluster, and a
    cluster of hits that no known particle touched is an impure, fake one. With hard labels the duplicate rate is zero
    by construction, because two clusters cannot both hold over 80 % of a particle's squared energy; it is meant for
    shares. Splitting shows in `split_rate` and `ratio`. With shares, every cluster with any part of any hit counts.
    What the CMSSW histograms call purity is `completeness` here; their efficiency cut includes equality.

    References
    ----------
    arXiv:2603.23356, section IV.2; CMSSW, Validation/HGCalValidation, HGVHistoProducerAlgo
    (tracksters_to_SimTracksters), cms-sw/cmssw#43798 for the denominator of the duplicate rate, and cms-sw/cmssw#48148
    for S2R of ``ticl``.
    """
    cut = preset_of(preset)
    total: dict[str, Any] = {}
    for _, event, y in clustered(events, labels):
        for name, pair in judge(match(y, event), cut).sums().items():
            total[name] = np.add(total.get(name, (0, 0)), pair)
    if not total:
        raise ValueError("no events given: reconstruction_metrics needs at least one")
    return {name: float(a / b) if b else float("nan") for name, (a, b) in total.items()}


def paired(events: Event | Sequence[Event], arrays: Any, name: str) -> Iterator[tuple[str, Event, Any]]:
    """Events with their arrays, one at a time; also one event with its array.

    Yields
    ------
    (name of the event for messages, Event, array)
    """
    if isinstance(events, Event):
        events, arrays = [events], [arrays]
    missing = object()
    each = iter(arrays)
    n_events = 0
    for event in as_events(events):
        array = next(each, missing)
        if array is missing:
            raise ValueError(f"there are {len(events)} events, but {name} for {n_events} only")
        number = "" if event.number in (None, n_events) else f" (number {event.number})"
        yield f"event {n_events}{number}", event, array
        n_events += 1
    if next(each, missing) is not missing:
        raise ValueError(f"there are {n_events} events, but {name} for more than that")


def clustered(
    events: Event | Sequence[Event], labels: Any, compact: bool = True
) -> Iterator[tuple[str, Event, NDArray[Any]]]:
    """`paired` with labels or shares that are checked: ndarrays (n_hits,), int64, or (C, n_hits), float64.

    Labels most of which are unused are replaced by 0..C-1, unless `compact` is False: they cost by the clusters there
    are, not by the largest number.
    """
    for where, event, y in paired(events, labels, "labels"):
        given = checked_assignment(y, event, where)
        if compact and given.ndim == 1:
            numbers = numbers_of(given)
            given = compacted(given, numbers) if is_sparse(numbers) else given
        yield where, event, given


def _argmax(shared: NDArray[np.float64], axis: int) -> Ints:
    if 0 in shared.shape:
        return np.full(shared.shape[1 - axis], -1, np.int64)
    best = shared.argmax(axis=axis).astype(np.int64)
    return np.where(shared.max(axis=axis) > 0, best, -1)
