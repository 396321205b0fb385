"""Energies of cells become GeV, and candidates get a kind and a four-momentum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.association.candidates import CHARGED, NEUTRAL_HADRON, PHOTON
from cmlflow.association.features import layer_groups, line_distances, vertex_of
from cmlflow.event import Event, IntArray

Array = NDArray[np.float64]

PION_MASS = 0.13957
"""Mass [GeV] that charged candidates get."""
ELECTROMAGNETIC = (11, 22)
"""Absolute Particle Data Group codes of particles with electromagnetic showers."""
FEWEST = 30


@dataclass(frozen=True)
class EnergyScale:
    r"""From energies in groups of layers to the energy of a neutral candidate, and which kind it is.

    The energy of a kind is :math:`E = S e^{a + b \ln S}`, :math:`S = \sum_g w_g E_g`, with the energies :math:`E_g` in
    the groups of layers, where :math:`\ln S` is kept in the range of the fit. The probability of being photon-like is
    that of a logistic fit on the candidate's shape; the energy is the mean of the two weighted with it.

    Attributes
    ----------
    edges : tuple of int
        Groups of layers, as in `cmlflow.association.features.layer_groups`.
    photon, hadron : tuple of float
        Weights of the groups [GeV per unit of the hit energies].
    photon_curve, hadron_curve : (float, float, float, float)
        a, b, and the range of ln S.
    shape : tuple of float
        Weights of the logistic fit, the constant first; photon-like is positive.
    centre, scale : tuple of float
        Subtracted from, and dividing, each feature of the shape.
    """

    edges: tuple[int, ...]
    photon: tuple[float, ...]
    hadron: tuple[float, ...]
    photon_curve: tuple[float, float, float, float]
    hadron_curve: tuple[float, float, float, float]
    shape: tuple[float, ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]

    def energies(self, groups: Array) -> tuple[Array, Array]:
        """Energies [GeV] as photon-like and as neutral hadron, from `groups` (C, G); both of shape (C,)."""
        return _apply(groups, self.photon, self.photon_curve), _apply(groups, self.hadron, self.hadron_curve)

    def photon_probability(self, shapes: Array) -> Array:
        """Probability of being photon-like from the features of `shower_shapes`, shape (C,)."""
        x = (shapes - np.array(self.centre)) / np.array(self.scale)
        out: Array = 1 / (1 + np.exp(-np.clip(self.shape[0] + x @ np.array(self.shape[1:]), -50, 50)))
        return out

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists only, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> EnergyScale:
        """From what `to_dict` gave, also after a turn through JSON."""
        return cls(**{name: tuple(value) for name, value in state.items()})


def group_energies(event: Event, share: ArrayLike, edges: tuple[int, ...]) -> Array:
    """Energy of each candidate in each group of layers, shape (C, G), from shares of shape (C, n_hits)."""
    part = np.asarray(share, np.float64) * event.energy
    group = np.searchsorted(np.array(edges, np.int64), event.layer, side="right")
    return np.stack([part[:, group == g].sum(axis=1) for g in range(len(edges) + 1)], axis=1)


def barycentres(event: Event, share: ArrayLike) -> Array:
    """Energy-weighted mean position of each candidate [cm], shape (C, 3); nan without energy."""
    part = np.asarray(share, np.float64) * event.energy
    total = part.sum(axis=1, keepdims=True)
    out: Array = np.divide(part @ event.position, total, out=np.full((len(part), 3), np.nan), where=total > 0)
    return out


def shower_shapes(
    event: Event, share: ArrayLike, edges: tuple[int, ...], vertex: str | ArrayLike = (0.0, 0.0, 0.0)
) -> Array:
    """Longitudinal and lateral shape of each candidate.

    Parameters
    ----------
    event : Event
    share : array_like of shape (C, n_hits), float
    edges : tuple of int
        Groups of layers.
    vertex : array_like of shape (3,) or "tracks"
        As in `cmlflow.association.features.vertex_of`.

    Returns
    -------
    ndarray of shape (C, G + 3), float64
        Fraction of the energy in each group of layers but the first; logarithm of the energy; mean distance from the
        vertex and spread of it along the axis [100 cm]; root mean square distance from the axis [10 cm].
    """
    part = np.asarray(share, np.float64) * event.energy
    groups = group_energies(event, share, edges)
    total = part.sum(axis=1)
    weight = np.divide(part, total[:, None], out=np.zeros_like(part), where=total[:, None] > 0)
    start = vertex_of(event, vertex)
    middle = np.where(total[:, None] > 0, barycentres(event, share), start + np.array([0.0, 0.0, 1.0]))
    direction = middle - start
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-12)
    lateral, along = line_distances(event.position.astype(np.float64), np.repeat(start[None], len(part), 0), direction)
    mean = (weight * along).sum(axis=1)
    spread = np.sqrt(np.maximum((weight * along**2).sum(axis=1) - mean**2, 0))
    width = np.sqrt((weight * lateral**2).sum(axis=1))
    fraction = groups[:, 1:] / np.maximum(total[:, None], 1e-12)
    return np.column_stack([fraction, np.log(total + 0.01), mean / 100, spread / 100, width / 10])


def four_momenta(
    event: Event,
    share: ArrayLike,
    track: IntArray,
    scale: EnergyScale,
    *,
    vertex: str | ArrayLike = (0.0, 0.0, 0.0),
) -> tuple[IntArray, Array]:
    """Kind and four-momentum of every candidate.

    Charged: the momentum and direction of the track, with the mass of a charged pion. Neutral: massless, the
    calibrated energy of its cells, flying from the vertex to their energy-weighted mean position.

    Parameters
    ----------
    event : Event
    share : array_like of shape (C, n_hits), float
    track : ndarray of shape (C,), int64
        -1 for neutral candidates.
    scale : EnergyScale
    vertex : array_like of shape (3,) [cm] or "tracks"
        Where neutral particles come from: a point, or where the event's tracks come from; see
        `cmlflow.association.features.vertex_of`.

    Returns
    -------
    pdg_id : ndarray of shape (C,), int64
        211, 22 or 2112.
    momentum : ndarray of shape (C, 4), float64 [GeV]
        px, py, pz, E; 0 for a neutral candidate without energy.
    """
    part, track = np.asarray(share, np.float64), np.asarray(track, np.int64)
    pdg_id = np.full(len(track), CHARGED, np.int64)
    out = np.zeros((len(track), 4))
    own = track >= 0
    if own.any():
        assert event.tracks is not None
        p = event.tracks.momentum[track[own]].astype(np.float64)
        out[own, :3] = p[:, None] * event.tracks.direction[track[own]]
        out[own, 3] = np.sqrt(p**2 + PION_MASS**2)
    if not own.all():
        rows = part[~own]
        probability = scale.photon_probability(shower_shapes(event, rows, scale.edges, vertex))
        as_photon, as_hadron = scale.energies(group_energies(event, rows, scale.edges))
        energy = probability * as_photon + (1 - probability) * as_hadron
        direction = np.nan_to_num(barycentres(event, rows) - vertex_of(event, vertex))
        direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-12)
        pdg_id[~own] = np.where(probability >= 0.5, PHOTON, NEUTRAL_HADRON)
        out[~own] = energy[:, None] * np.column_stack([direction, np.ones(len(rows))])
    return pdg_id, out


def fit_energy_scale(
    events: Iterable[Event],
    shares: Sequence[ArrayLike] | None = None,
    *,
    least: float = 0.3,
    ridge: float = 3.0,
    vertex: str | ArrayLike = (0.0, 0.0, 0.0),
) -> EnergyScale:
    r"""Fit weights of layers, response curves and kinds on the true deposits of neutral particles.

    For each kind the weights minimise :math:`\sum (\sum_g w_g E_g - E)^2 / E` over particles, with the true energy E,
    as in a sampling calorimeter, whose variance grows with the energy; plus `ridge` times the squared deviation of the
    weights from one common number. Then a and b of the curve are such that :math:`E_{pred} - E` is 0 on average and not
    correlated with :math:`\ln S`. So what is predicted is the mean of what is true, which sums of candidates need: a
    scale that is right on average for each *true* energy stretches the energies of poorly measured candidates.

    Parameters
    ----------
    events : iterable of Event
        With truth.
    shares : sequence of array_like of shape (C, n_hits), optional
        Neutral candidates that were found in each event, to fit on these in place of the true particles. What is true
        of one is then the energy of each neutral particle times the part of its visible energy that the candidate has;
        its kind is that of the particle it has most of. In the end everything is scaled so that the energy of all
        candidates together is the true one, those that hold little else than pieces of charged showers included.
    least : float
        Particles or candidates with less energy in the hits, in their unit, take no part; of candidates neither do
        those with less true energy [GeV].
    ridge : float
        In particles.
    vertex : array_like of shape (3,) or "tracks"

    Returns
    -------
    EnergyScale
        Where there are fewer than 30 neutral hadrons, charged ones stand in for them, and all neutral candidates are
        photon-like; likewise one kind's weights serve both where there are fewer than 30 of the other.

    Raises
    ------
    ValueError
        Where there are fewer than 30 particles of both kinds.
    """
    events = list(events)
    edges = layer_groups(events)
    rows: list[tuple[Array, Array, Array, NDArray[np.bool_], NDArray[np.bool_]]] = []
    for i, event in enumerate(events):
        share = particle_shares(event)
        energy = event.particles.energy.astype(np.float64)
        light = np.isin(np.abs(event.particles.pdg_id), ELECTROMAGNETIC)
        tracked = np.zeros(event.n_particles, np.bool_)
        if event.tracks is not None:
            tracked[event.tracks.particle[event.tracks.particle >= 0]] = True
        if shares is not None:
            found = np.asarray(shares[i], np.float64)
            energy, light = _true_of(event, share[~tracked], energy[~tracked], light[~tracked], found)
            share, tracked = found, np.zeros(len(found), np.bool_)
        groups = group_energies(event, share, edges)
        use = (groups.sum(axis=1) >= least) & np.isfinite(energy) & (energy > (0 if shares is None else least))
        shapes = shower_shapes(event, share, edges, vertex)
        rows.append((groups[use], shapes[use], energy[use], light[use], tracked[use]))
    if not rows:
        raise ValueError("no events, expected events with truth")
    groups, shapes, energy, light, tracked = (np.concatenate(c) for c in zip(*rows, strict=True))
    photon, hadron = light & ~tracked, ~light & ~tracked
    both = photon.sum() >= FEWEST and hadron.sum() >= FEWEST
    stand_in = hadron if hadron.sum() >= FEWEST else hadron | (~light & tracked)
    kinds = [k for k in (photon, stand_in) if k.sum() >= FEWEST]
    if not kinds:
        raise ValueError(
            f"{int(photon.sum())} photons and {int(stand_in.sum())} hadrons with at least {least:g} in the hits, "
            f"expected {FEWEST} or more of one"
        )
    first, second = (_fit_kind(groups[k], energy[k], ridge) for k in (kinds[0], kinds[-1]))
    centre, scale = shapes.mean(axis=0), shapes.std(axis=0)
    scale[scale == 0] = 1.0
    if both:
        use = photon | hadron
        shape = _fit_logistic((shapes[use] - centre) / scale, photon[use])
    else:
        constant = 50.0 if photon.sum() >= FEWEST or not hadron.sum() >= FEWEST else -50.0
        shape = (constant, *np.zeros(shapes.shape[1]).tolist())
    found_scale = EnergyScale(edges, first[0], second[0], first[1], second[1], shape, _floats(centre), _floats(scale))
    return found_scale if shares is None else _closed(events, shares, found_scale, vertex)


def _true_of(
    event: Event, share: Array, energy: Array, light: NDArray[np.bool_], found: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """True energy that candidates hold, shape (C,), and whether most of it is electromagnetic.

    Parameters
    ----------
    event : Event
    share : ndarray of shape (P, n_hits)
        Of the neutral particles.
    energy, light : ndarray of shape (P,)
        True energy [GeV], and whether their showers are electromagnetic.
    found : ndarray of shape (C, n_hits)
    """
    if not len(share):
        return np.zeros(len(found)), np.zeros(len(found), np.bool_)
    deposit = share * event.energy
    visible = deposit.sum(axis=1)
    held = np.divide(found @ deposit.T, visible, out=np.zeros((len(found), len(share))), where=visible > 0)
    held = held * np.nan_to_num(energy)
    return held.sum(axis=1), light[held.argmax(axis=1)]


def _closed(
    events: Sequence[Event], shares: Sequence[ArrayLike], scale: EnergyScale, vertex: str | ArrayLike
) -> EnergyScale:
    """The same scale with both curves times one number, so that the sum over all candidates is the true one."""
    true = predicted = 0.0
    for event, found in zip(events, shares, strict=True):
        rows = np.asarray(found, np.float64)
        tracked = np.zeros(event.n_particles, np.bool_)
        if event.tracks is not None:
            tracked[event.tracks.particle[event.tracks.particle >= 0]] = True
        visible = (particle_shares(event)[~tracked] * event.energy).sum(axis=1) > 0
        true += float(np.nan_to_num(event.particles.energy.astype(np.float64)[~tracked][visible]).sum())
        predicted += float(four_momenta(event, rows, np.full(len(rows), -1), scale, vertex=vertex)[1][:, 3].sum())
    shift = float(np.log(true / predicted)) if true > 0 and predicted > 0 else 0.0
    photon, hadron = ((c[0] + shift, *c[1:]) for c in (scale.photon_curve, scale.hadron_curve))
    return replace(scale, photon_curve=photon, hadron_curve=hadron)


def particle_shares(event: Event) -> Array:
    """The part of each hit's energy that each particle left, shape (P, n_hits), float64."""
    d = event.deposits
    out = np.zeros((event.n_particles, event.n_hits))
    use = d.particle >= 0
    np.add.at(out, (d.particle[use], d.hit[use]), event.fractions[use])
    return out


def _fit_kind(
    groups: Array, energy: Array, ridge: float
) -> tuple[tuple[float, ...], tuple[float, float, float, float]]:
    """Weights and curve of one kind, see `fit_energy_scale`."""
    root = np.sqrt(energy)
    x = groups / root[:, None]
    response = groups.sum(axis=1)
    common = response.sum() / (response**2 / energy).sum()
    n = x.shape[1]
    # Squared deviation in units of what a weight does: the ridge of a group counts as so many particles of the mean
    # response with all of their energy in it.
    unit = ridge * np.eye(n) * (response / root).mean() ** 2
    weights = np.linalg.solve(x.T @ x + unit, x.T @ root + unit @ np.full(n, common))
    weights = np.maximum(weights, 0.05 * common)
    s = groups @ weights
    log = np.log(s)
    low, high = float(np.quantile(log, 0.01)), float(np.quantile(log, 0.99))
    v = np.column_stack([np.ones(len(s)), np.clip(log, low, high)])
    ab = np.zeros(2)
    for _ in range(50):  # Newton: the sum of (S exp(v ab) - E) v is 0
        predicted = s * np.exp(np.clip(v @ ab, -5, 5))
        step = np.linalg.lstsq((v * predicted[:, None]).T @ v, v.T @ (energy - predicted), rcond=None)[0]
        ab += np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-12:
            break
    return _floats(weights), (float(ab[0]), float(ab[1]), low, high)


def _apply(groups: Array, weights: tuple[float, ...], curve: tuple[float, float, float, float]) -> Array:
    s = groups @ np.array(weights)
    a, b, low, high = curve
    out: Array = s * np.exp(a + b * np.clip(np.log(np.maximum(s, 1e-12)), low, high))
    return out


def _fit_logistic(x: Array, positive: NDArray[np.bool_]) -> tuple[float, ...]:
    """Constant and weights of a logistic fit with a small ridge on scaled features."""
    from scipy.optimize import minimize

    design, t = np.column_stack([np.ones(len(x)), x]), positive.astype(np.float64)

    def objective(w: Array) -> tuple[float, Array]:
        score = design @ w
        loss = np.logaddexp(0, score) - t * score
        slope = 1 / (1 + np.exp(-np.clip(score, -50, 50))) - t
        ridge = 1e-3 * np.append(0.0, w[1:])
        return float(loss.mean() + 0.5 * ridge @ w), design.T @ slope / len(t) + ridge

    return _floats(minimize(objective, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B").x)


def _floats(values: Array) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
