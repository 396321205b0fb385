"""Efficiency, purity, ratio and response of particle-flow candidates, charged and neutral ones apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Event, tracked_particles
from cmlflow.metrics.matching import Matching, match, numpy_array
from cmlflow.metrics.reconstruction import Preset, paired, preset_of
from cmlflow.metrics.resolution import bin_of, hit_weights, resampled_resolution
from cmlflow.metrics.systems import Sample, SystemFigures, compare_systems, sum_ratio
from cmlflow.particles import NEUTRON, PHOTON, neutral_classes

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

KINDS = ("charged", "neutral", "photon", "neutral_hadron")
FIGURES = ("efficiency", "purity", "ratio", "response", "resolution", "cell_response", "cell_resolution")
FLOW_BINS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Edges [GeV] of the bins of true energy for the particles of a jet."""


def compare_candidates(
    events: Event | Sequence[Event],
    systems: Mapping[str, Any],
    preset: str | Preset = "paper",
    *,
    kinds: Sequence[str] = ("charged", "neutral"),
    bins: ArrayLike = FLOW_BINS,
    against: str | None = None,
    bootstrap: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> SystemFigures:
    r"""Figures of the candidates of one or several systems, charged and neutral ones apart.

    A kind is a set of particles with a set of candidates, and only pairs of one kind match:

    ================  ==============================  =====================================================
    kind              particles                       candidates
    ================  ==============================  =====================================================
    `charged`         those with a track              those with a track, each with its track's particle only
    `neutral`         those without                   those without
    `photon`          of these, photons and electrons  of these, those called photon-like (22)
    `neutral_hadron`  all other neutral ones          all other neutral ones
    ================  ==============================  =====================================================

    So a charged candidate is judged by the cells of its own track's particle. A piece of a charged shower that is
    called neutral is impure, and `photon` and `neutral_hadron` also require the two to be told apart.

    Parameters
    ----------
    events : Event or sequence of Event
        With tracks and truth.
    systems : dict of str to sequence of candidates
        By the name of the system; for each event an object with ``share`` (C, n_hits), ``pdg_id`` (C,), ``momentum``
        (C, 4) [GeV] and ``track`` (C,), -1 for neutral ones. For a single Event one object will do.
    preset : {"paper", "ticl", "ticl-2024"} or Preset
        Cuts on shared energy and R2S.
    kinds : sequence of str
        Of `KINDS`.
    bins : array_like of shape (n_bins + 1,), float [GeV]
        Edges of the bins of true particle energy, in which responses are calibrated and figures given.
    against, bootstrap, confidence, seed
        As in `cmlflow.metrics.systems.compare_systems`.

    Returns
    -------
    SystemFigures
        Figures are called ``charged_efficiency`` and so on. With the visible energy :math:`E_s` of a particle,

        ``efficiency``  particles of which one candidate shares more than the cut of :math:`E_s`, over particles;
        ``purity``      candidates with R2S below the cut with a particle, over candidates;
        ``ratio``       candidates over particles;
        ``response``, ``resolution``
                        mean of E_candidate / E_true of the particles whose best candidate is pure, and `sigma_eff` of
                        these responses divided by their mean in their bin. E_candidate is the energy of its
                        four-momentum, E_true the particle's total energy;
        ``cell_response``, ``cell_resolution``
                        the same with the energy of the candidate's cells; for charged candidates this is independent of
                        the track.

        In bins of energy, a candidate belongs to the particle with which it shares most.

    Raises
    ------
    ValueError
        Candidates and events differ in number, or the arrays of a candidate do not fit.

    Notes
    -----
    Not counted are particles without visible energy, candidates without cells, and candidates whose track has no known
    particle.

    References
    ----------
    arXiv:2603.23356, section IV.2, for matching, cuts and resolution.
    """
    cut, edges = preset_of(preset), np.asarray(bins, np.float64)
    bin_of([], edges)
    if wrong := [k for k in kinds if k not in KINDS]:
        raise ValueError(f"kinds has {wrong[0]!r}, expected some of {', '.join(KINDS)}")
    samples: dict[str, dict[str, Sample]] = {}
    n_events = 0
    for system, given in systems.items():
        rows = [
            judged_candidates(event, candidates, cut, kinds, f"{where} ({system})")
            for where, event, candidates in paired(events, given, f"candidates of {system}")
        ]
        n_events = len(rows)
        samples[system] = {}
        for k, kind in enumerate(kinds):
            particles = _joined((r[k][0] for r in rows), 5)
            candidates = _joined((r[k][1] for r in rows), 3)
            samples[system] |= {f"{kind}_{n}": s for n, s in _samples(particles, candidates, edges).items()}
    return compare_systems(
        samples, n_events, bins=edges, against=against, bootstrap=bootstrap, confidence=confidence, seed=seed
    )


def judged_candidates(
    event: Event, candidates: Any, preset: str | Preset, kinds: Sequence[str], where: str = "event"
) -> list[tuple[Array, Array]]:
    """Which particles of each kind are found in one event, and which of its candidates are pure.

    Returns
    -------
    list of (particles, candidates)
        For each kind arrays of shape (n_particles, 4): energy, found, response, response of the cells (nan where there
        is no pure candidate), and (n_candidates, 2): energy of the particle with which it shares most (nan: none),
        pure.
    """
    cut = preset_of(preset)
    if event.tracks is None:
        raise ValueError(f"{where}: has no tracks, expected tracks (an empty list of them is allowed)")
    share, pdg_id, momentum, track = candidate_arrays(candidates, event, where)
    m = match(share, event)
    energy = event.particles.energy.astype(np.float64)
    collected = share @ (event.energy.astype(np.float64) * hit_weights(event))
    tracked = tracked_particles(event)
    carried = np.full(len(track), -1)
    carried[track >= 0] = event.tracks.particle[track[track >= 0]]
    out = []
    for kind in kinds:
        of, by = _members(kind, event, tracked, pdg_id, track)
        by = by & (m.cluster_hits > 0) & ((track < 0) | (carried >= 0))
        of = of & (m.particle_energy > 0)
        allowed = by[:, None] & of
        if kind == "charged":
            allowed &= carried[:, None] == np.arange(event.n_particles)
        out.append(_judged(m, allowed, of, by, energy, np.stack([momentum[:, 3], collected]), cut))
    return out


def candidate_arrays(
    candidates: Any, event: Event, where: str = "event"
) -> tuple[Array, NDArray[np.int64], Array, NDArray[np.int64]]:
    """Share, class, four-momentum and track of the candidates of one event as arrays, or a clear error."""
    share = numpy_array(candidates.share).astype(np.float64)
    pdg_id, track = (numpy_array(a).astype(np.int64) for a in (candidates.pdg_id, candidates.track))
    momentum = numpy_array(candidates.momentum).astype(np.float64)
    n = len(share)
    if share.shape != (n, event.n_hits) or pdg_id.shape != (n,) or track.shape != (n,) or momentum.shape != (n, 4):
        raise ValueError(
            f"{where}: candidates have share {share.shape}, pdg_id {pdg_id.shape}, momentum {momentum.shape} and track "
            f"{track.shape}, expected (C, {event.n_hits}), (C,), (C, 4) and (C,)"
        )
    n_tracks = 0 if event.tracks is None else len(event.tracks)
    wrong = (track < -1) | (track >= n_tracks)
    if wrong.any():
        c = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"{where}: candidate {c} has track {track[c]}, expected -1 or a track in 0..{n_tracks - 1}")
    return share, pdg_id, momentum, track


def _members(
    kind: str, event: Event, tracked: Bools, pdg_id: NDArray[np.int64], track: NDArray[np.int64]
) -> tuple[Bools, Bools]:
    """Particles and candidates of a kind."""
    if kind == "charged":
        return tracked, track >= 0
    of, by = ~tracked, track < 0
    wanted = {"photon": PHOTON, "neutral_hadron": NEUTRON}.get(kind)
    if wanted is not None:
        of, by = of & (neutral_classes(event.particles.pdg_id) == wanted), by & (neutral_classes(pdg_id) == wanted)
    return of, by


def _judged(
    m: Matching, allowed: Bools, of: Bools, by: Bools, energy: Array, measured: Array, cut: Preset
) -> tuple[Array, Array]:
    shared, r2s = np.where(allowed, m.shared, 0.0), np.where(allowed, m.r2s, np.inf)
    found = shared.max(axis=0, initial=0.0) > cut.efficiency * m.particle_energy
    response = np.full((2, len(of)), np.nan)
    leading = np.full(len(by), np.nan)
    if shared.size:
        best, particle = shared.argmax(axis=0), np.arange(len(of))
        use = of & (shared.max(axis=0) > 0) & (r2s[best, particle] < cut.purity) & (energy > 0)
        response[:, use] = measured[:, best[use]] / energy[use]
        own = np.where(by[:, None], m.shared, 0.0)
        some = own.max(axis=1) > 0
        leading[some] = energy[own.argmax(axis=1)[some]]
    pure = r2s.min(axis=1, initial=np.inf) < cut.purity
    return np.stack([energy, found, *response], axis=1)[of], np.stack([leading, pure], axis=1)[by]


def _joined(rows: Iterable[Array], width: int) -> Array:
    """Rows of all events, preceded by the number of the event."""
    numbered = [np.column_stack([np.full(len(r), i), r]) for i, r in enumerate(rows)]
    return np.concatenate([np.empty((0, width)), *numbered]) if numbered else np.empty((0, width))


def _samples(particles: Array, candidates: Array, edges: Array) -> dict[str, Sample]:
    event, energy, found = particles[:, 0].astype(np.int64), particles[:, 1], particles[:, 2]
    owner, leading, pure = candidates[:, 0].astype(np.int64), candidates[:, 1], candidates[:, 2]
    one = np.ones(len(particles))
    out = {
        "efficiency": Sample(event, energy, (found, one), sum_ratio),
        "purity": Sample(owner, leading, (pure, np.ones(len(candidates))), sum_ratio),
        "ratio": Sample(
            np.concatenate([event, owner]),
            np.concatenate([energy, leading]),
            (np.repeat([0.0, 1.0], [len(event), len(owner)]), np.repeat([1.0, 0.0], [len(event), len(owner)])),
            sum_ratio,
        ),
    }

    def width(value: Array, energy: Array) -> Any:
        which = bin_of(energy, edges)
        return lambda times: resampled_resolution(value, which, times)

    for name, column in (("", 3), ("cell_", 4)):
        use = np.isfinite(particles[:, column])
        value = particles[use, column]
        out[f"{name}response"] = Sample(event[use], energy[use], (value, np.ones(len(value))), sum_ratio)
        out[f"{name}resolution"] = Sample(event[use], energy[use], (value, energy[use]), width, ratio=True)
    return out
