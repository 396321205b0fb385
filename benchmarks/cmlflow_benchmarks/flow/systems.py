"""What every system makes of the events of a sample: each track's part of every hit, or candidates."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.association import Candidates, EnergyScale, fit_energy_scale, four_momenta
from cmlflow.baselines.learned import PointNetRegressor
from cmlflow.baselines.pflow import (
    always,
    balanced_random,
    nearest_track,
    parametric,
    parametric_candidates,
    topoclusters,
)
from cmlflow.event import Event
from cmlflow.metrics import association_counts, track_shares, true_candidates
from cmlflow.metrics.association import evaluate_association
from cmlflow.particle_flow import ParticleFlow
from cmlflow.simulation import simulate
from cmlflow_benchmarks.flow.plan import (
    ALWAYS_0,
    ALWAYS_1,
    AT_HOME,
    GUNS,
    HARD,
    ITERATIVE,
    JETS,
    NEAREST,
    PARAMETRIC,
    RADII,
    RANDOM,
    SCALED,
    TRANSFER,
    TRUTH,
    TUNING_SEED,
    VALIDATION_SEED,
    WITHIN,
    Size,
)

Array = NDArray[np.float64]


Baseline = Callable[[Event, Mapping[str, Any]], Array]
BASELINES: dict[str, Baseline] = {
    ALWAYS_1: lambda event, chosen: always(event, 1),
    ALWAYS_0: lambda event, chosen: always(event, 0),
    RANDOM: lambda event, chosen: balanced_random(event, chosen["rate"]),
    NEAREST: lambda event, chosen: nearest_track(event),
    WITHIN: lambda event, chosen: nearest_track(event, radius=chosen["radius"]),
    PARAMETRIC: lambda event, chosen: parametric(event),
}
"""Systems without learning: from an event and what was chosen on validation events to each track's part of the hits."""
OF_GUNS = (ALWAYS_0, PARAMETRIC)
"""Those that say something about events of one track, whose neutral energy is measured."""


@dataclass
class Systems:
    """What the systems make of the test events of one sample.

    Attributes
    ----------
    shares : dict of str to list of ndarray of shape (n_tracks, n_hits)
        By system, for each event the tracks' parts of the hits.
    candidates : dict of str to list of candidates
        By system; those of models for every sample, of the others for jets. Of networks of cells their `CellShares`,
        and for jets candidates made of them.
    seconds : dict of str to float
        CPU time of the models for one event.
    chosen : dict
        Choices made on other events than the test events, as JSON has them.
    """

    shares: dict[str, list[Array]] = field(default_factory=dict)
    candidates: dict[str, list[Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    chosen: dict[str, Any] = field(default_factory=dict)

    def predicted(self, name: str) -> list[Any]:
        """Candidates of a system where it has them, else its shares: what the metrics of neutral energy take."""
        return self.candidates[name] if name in self.candidates else self.shares[name]

    @property
    def names(self) -> list[str]:
        """All systems."""
        return list(dict.fromkeys([*self.candidates, *self.shares]))


def run_systems(sample: str, events: Sequence[Event], size: Size, models: Mapping[str, Any]) -> Systems:
    """Let all systems of a sample see its test events.

    Parameters
    ----------
    sample : str
    events : sequence of Event
    size : Size
    models : dict of str to ParticleFlow or network of cells
        Trained models that belong to the sample and are there.
    """
    out = Systems()
    if sample not in GUNS:
        validation = list(simulate(f"{sample}-validation", size.n_validation, seed=VALIDATION_SEED))
        radius, table = chosen_radius(validation)
        rate = positive_rate(validation)
        out.chosen = {"radius": radius, "radii": table, "rate": rate, "validation_events": size.n_validation}
    if sample == JETS:
        scale, vertex, source = energy_scale(models, size)
        out.chosen["scale"] = source
        tuning = list(simulate(f"{JETS}-tuning", size.n_tuning, seed=TUNING_SEED))
        out.candidates[TRUTH] = [calibrated_truth(e, scale, vertex) for e in events]
    for name, baseline in BASELINES.items():
        if sample not in GUNS or name in OF_GUNS:
            out.shares[name] = [baseline(e, out.chosen) for e in events]
    if sample == JETS:
        found = [parametric_candidates(e) for e in events]
        own = scale_of(tuning, [with_remnants(e, nearest_track(e, radius=radius)) for e in tuning], scale, vertex)
        out.candidates[WITHIN] = [
            with_momenta(e, *with_remnants(e, s), own, vertex) for e, s in zip(events, out.shares[WITHIN], strict=True)
        ]
        own = scale_of(tuning, [(f.share, f.track) for f in map(parametric_candidates, tuning)], scale, vertex)
        out.candidates[PARAMETRIC] = [
            with_momenta(e, f.share, f.track, own, vertex) for e, f in zip(events, found, strict=True)
        ]
    for name, model in models.items():
        start = time.process_time()
        if isinstance(model, ParticleFlow):
            embedded = list(model.clusterer.iter(events))
            out.candidates[name] = replace(model.associator, mode="soft").predict(events, embedded)
            out.seconds[name] = (time.process_time() - start) / max(len(events), 1)
            out.candidates[name + HARD] = replace(model.associator, mode="hard").predict(events, embedded)
            continue
        ways: dict[str, tuple[str, ...]] = {name: ()}
        if sample == JETS and isinstance(model, PointNetRegressor):
            ways = {name: ("common",), name + ITERATIVE: ("iterative",)}
        for system, how in ways.items():
            start = time.process_time()
            found_shares = model.cell_shares(events, *how)
            out.seconds[system] = (time.process_time() - start) / max(len(events), 1)
            out.candidates[system] = found_shares
            if sample == JETS:
                split = [split_neutral(e, s) for e, s in zip(events, found_shares, strict=True)]
                on_tuning = [split_neutral(e, s) for e, s in zip(tuning, model.cell_shares(tuning, *how), strict=True)]
                own = scale_of(tuning, on_tuning, scale, vertex)
                out.candidates[system] = [with_momenta(e, *s, own, vertex) for e, s in zip(events, split, strict=True)]
    if sample == JETS and TRANSFER in models:
        own = scale_of(tuning, [(c.share, c.track) for c in models[TRANSFER].predict(tuning)], scale, vertex)
        out.candidates[TRANSFER + SCALED] = [
            with_momenta(e, c.share, c.track, own, vertex)
            for e, c in zip(events, out.candidates[TRANSFER], strict=True)
        ]
    for name, listed in out.candidates.items():
        out.shares.setdefault(name, [track_part(e, c) for e, c in zip(events, listed, strict=True)])
    return out


def chosen_radius(events: Sequence[Event], radii: Sequence[float] = RADII) -> tuple[float, dict[str, float]]:
    """The radius of `nearest_track` with the largest energy-weighted F1 on validation events.

    Returns
    -------
    radius : float
        The smallest of equal ones.
    table : dict of str to float
        F1 by radius.
    """
    table = {}
    for radius in radii:
        counts = [hit_counts(e, nearest_track(e, radius=radius)) for e in events]
        table[f"{radius:g}"] = float(evaluate_association(counts, bootstrap=0)["weighted_f1"])
    best = max(radii, key=lambda r: (np.nan_to_num(table[f"{r:g}"], nan=-1.0), -r))
    return best, {r: round(f1, 4) for r, f1 in table.items() if np.isfinite(f1)}


def positive_rate(events: Sequence[Event]) -> float:
    """Part of the pairs of a track and a hit with a true share above 0.5, without hits of noise."""
    rows = [track_shares(e)[:, e.particle_id >= 0].ravel() for e in events]
    share = np.concatenate([np.zeros(0), *rows])
    share = share[np.isfinite(share)]
    return round(float((share > 0.5).mean()), 4) if len(share) else 0.0


def hit_counts(event: Event, share: Array, *, soft: bool = False) -> Array:
    """`association_counts` of one event's tracks, without hits of noise."""
    mask = np.broadcast_to(event.particle_id >= 0, share.shape)
    return association_counts(np.clip(share, 0, 1), track_shares(event), event.energy, mask, soft=soft)


def track_part(event: Event, candidates: Any) -> Array:
    """Each track's part of every hit, shape (n_tracks, n_hits), of candidates that come with their tracks in order."""
    out = np.zeros((0 if event.tracks is None else len(event.tracks), event.n_hits))
    own = np.asarray(candidates.track) >= 0
    out[np.asarray(candidates.track)[own]] = np.asarray(candidates.share, np.float64)[own]
    return out


def split_neutral(event: Event, shares: Any) -> tuple[Array, NDArray[np.int64]]:
    """Rows of the tracks, and what is neutral in each topo-cluster as a row of its own; as `with_remnants`."""
    labels = topoclusters(event)
    neutral = np.where(labels == np.arange(int(labels.max(initial=-1)) + 1)[:, None], shares.neutral, 0.0)
    neutral = neutral[neutral @ event.energy.astype(np.float64) > 0]
    track = np.concatenate([np.arange(len(shares.charged)), np.full(len(neutral), -1)]).astype(np.int64)
    return np.concatenate([shares.charged, neutral]).astype(np.float64), track


def with_remnants(event: Event, share: Array) -> tuple[Array, NDArray[np.int64]]:
    """Tracks with their parts of the hits, and a neutral row for what they leave of every topo-cluster.

    Returns
    -------
    share : ndarray of shape (C, n_hits), float64
    track : ndarray of shape (C,), int64
        -1 for neutral rows; those without energy are left out.
    """
    labels = topoclusters(event)
    left = np.clip(1.0 - share.sum(axis=0), 0.0, 1.0)
    neutral = np.where(labels == np.arange(int(labels.max(initial=-1)) + 1)[:, None], left, 0.0)
    neutral = neutral[neutral @ event.energy.astype(np.float64) > 0]
    track = np.concatenate([np.arange(len(share)), np.full(len(neutral), -1)]).astype(np.int64)
    return np.concatenate([share, neutral]), track


def with_momenta(event: Event, share: Array, track: NDArray[np.int64], scale: EnergyScale, vertex: Any) -> Candidates:
    """Candidates of shares and tracks, with energies of a scale."""
    pdg_id, momentum = four_momenta(event, share, track, scale, vertex=vertex)
    return Candidates(share.astype(np.float32), pdg_id, momentum, track)


def scale_of(tuning: Sequence[Event], found: Sequence[tuple[Any, Any]], other: EnergyScale, vertex: Any) -> EnergyScale:
    """Energy scale of a system, fitted on its neutral candidates of tuning events as models fit theirs.

    Parameters
    ----------
    tuning : sequence of Event
    found : sequence of (share, track)
        Candidates of each event.
    other : EnergyScale
        Where there are too few of them.
    vertex
        As in `fit_energy_scale`.
    """
    try:
        return fit_energy_scale(
            tuning, [np.asarray(share)[np.asarray(track) < 0] for share, track in found], vertex=vertex
        )
    except ValueError:
        return other


def calibrated_truth(event: Event, scale: EnergyScale, vertex: Any) -> Any:
    """Perfect pattern recognition, with energies as the models have them."""

    def energy(of: Event, share: Array, kinds: NDArray[np.int64]) -> Array:
        return four_momenta(of, share, np.full(len(kinds), -1), scale, vertex=vertex)[1][:, 3]

    return true_candidates(event, energy)


def energy_scale(models: Mapping[str, Any], size: Size) -> tuple[EnergyScale, Any, str]:
    """The energy scale of jets, the vertex that goes with it, and where both come from.

    That of a model trained on jets where there is one; else fitted on tuning events, as models fit theirs.
    """
    for name in (AT_HOME, "jets-oc"):
        if name in models and models[name].associator.scale is not None:
            associator = models[name].associator
            assert associator.scale is not None
            return associator.scale, associator.vertex, name
    tuning = simulate(f"{JETS}-tuning", size.n_tuning, seed=TUNING_SEED)
    return fit_energy_scale(tuning), (0.0, 0.0, 0.0), f"{size.n_tuning} tuning events"
