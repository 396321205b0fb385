"""The fit of an `EnergyScale` on the true deposits of neutral particles, or on candidates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.association.energy import EnergyScale, four_momenta, group_energies, shower_shapes
from cmlflow.association.features import layer_groups
from cmlflow.event import Event, particle_shares, tracked_particles
from cmlflow.particles import is_electromagnetic

Array = NDArray[np.float64]

FEWEST = 30  # particles of a kind for a fit of its own


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
    correlated with :math:`\ln S`. So predictions are mean true values, as sums of candidates need. A scale that is
    right on average for each *true* energy would stretch the energies of poorly measured candidates.

    Parameters
    ----------
    events : iterable of Event
        With truth.
    shares : sequence of array_like of shape (C, n_hits), optional
        Neutral candidates found in each event, to fit instead of the true particles. The true energy of a candidate is
        the energy of each neutral particle times the part of its visible energy that the candidate has; its kind is
        that of its main particle. In the end everything is scaled so that the summed energy of all candidates is the
        true one, including those that are mostly pieces of charged showers.
    least : float
        Particles or candidates with less energy in the hits, in their unit, are ignored, and so are candidates with
        less true energy [GeV].
    ridge : float
        In particles.
    vertex : array_like of shape (3,) or "tracks"

    Returns
    -------
    EnergyScale
        With fewer than 30 neutral hadrons, charged ones replace them, and all neutral candidates are photon-like. If
        there are fewer than 30 of one kind, the weights of the other serve both.

    Raises
    ------
    ValueError
        There are fewer than 30 particles of both kinds.
    """
    events = list(events)
    edges = layer_groups(events)
    rows: list[tuple[Array, Array, Array, NDArray[np.bool_], NDArray[np.bool_]]] = []
    for i, event in enumerate(events):
        share = particle_shares(event)
        energy = event.particles.energy.astype(np.float64)
        light = is_electromagnetic(event.particles.pdg_id)
        tracked = tracked_particles(event)
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
        tracked = tracked_particles(event)
        visible = (particle_shares(event)[~tracked] * event.energy).sum(axis=1) > 0
        true += float(np.nan_to_num(event.particles.energy.astype(np.float64)[~tracked][visible]).sum())
        predicted += float(four_momenta(event, rows, np.full(len(rows), -1), scale, vertex=vertex)[1][:, 3].sum())
    shift = float(np.log(true / predicted)) if true > 0 and predicted > 0 else 0.0
    photon, hadron = ((c[0] + shift, *c[1:]) for c in (scale.photon_curve, scale.hadron_curve))
    return replace(scale, photon_curve=photon, hadron_curve=hadron)


def _fit_kind(
    groups: Array, energy: Array, ridge: float
) -> tuple[tuple[float, ...], tuple[float, float, float, float]]:
    """Weights and curve of one kind, see `fit_energy_scale`."""
    root = np.sqrt(energy)
    x = groups / root[:, None]
    response = groups.sum(axis=1)
    common = response.sum() / (response**2 / energy).sum()
    n = x.shape[1]
    # Squared deviation in units of its effect: the ridge of a group counts as so many particles of mean response with
    # all of their energy in it.
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
