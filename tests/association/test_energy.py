"""Energy scale, kinds and four-momenta on events whose response is known."""

import json

import numpy as np
import pytest

from cmlflow import Event
from cmlflow.association import EnergyScale, fit_energy_scale, four_momenta
from cmlflow.association.energy import barycentres, group_energies, shower_shapes
from cmlflow.event import particle_shares
from cmlflow.particles import MASS, PION

DEPTH = np.array([160.0, 190.0, 250.0])


def shower(rng, pdg_id, energy, spread):
    """Hits of one particle flying along a random direction: photons in layers 1, 2, hadrons in 2, 3.

    The response of the layers is 1 / 2, 1 / 1.25 for photons, 1 / 1.25, 1 / 4 for hadrons, with a relative spread.
    """
    direction = np.append(rng.normal(size=2) * 0.05, 1.0)
    direction /= np.linalg.norm(direction)
    part = rng.uniform(0.2, 0.8)
    layer, weight = ([1, 2], [2.0, 1.25]) if pdg_id == 22 else ([2, 3], [1.25, 4.0])
    left = energy * np.array([part, 1 - part]) / weight * np.maximum(1 + spread * rng.normal(size=2), 0.1)
    position, deposit, layers = [], [], []
    for k, e in zip(layer, left, strict=True):
        middle = direction * DEPTH[k - 1] / direction[2]
        for shift in ((0, 0), (2, 0), (-2, 0), (0, 2), (0, -2)):
            position.append(middle + np.array([*shift, 0]))
            deposit.append(e * (0.6 if shift == (0, 0) else 0.1))
            layers.append(k)
    return direction, np.array(position), np.array(deposit), np.array(layers)


def sample(seed, n, spread=0.1, kinds=(22, 2112)):
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        pdg_id, energy = kinds[i % len(kinds)], rng.uniform(2, 20)
        direction, position, deposit, layer = shower(rng, pdg_id, energy, spread)
        out.append(Event(position, deposit, layer, np.zeros(10, int), particles=([pdg_id], [energy], [direction])))
    return out


def predicted(events, scale):
    rows = []
    for e in events:
        pdg_id, p = four_momenta(e, np.ones((1, e.n_hits)), np.array([-1]), scale)
        rows.append((p[0, 3] / e.particles.energy[0], pdg_id[0] == e.particles.pdg_id[0], e.particles.energy[0]))
        direction = p[0, :3] / p[0, 3]
        np.testing.assert_allclose(direction, e.particles.direction[0], atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(p[0, :3]), p[0, 3])
    return np.array(rows).T


def test_known_weights_come_back():
    scale = fit_energy_scale(sample(0, 200, spread=0.0), ridge=1e-6)
    ratio, right, _ = predicted(sample(1, 100, spread=0.0), scale)
    np.testing.assert_allclose(ratio, 1, atol=0.02)
    assert right.all()
    photon = np.array(scale.photon[:2]) * np.exp(scale.photon_curve[0])
    np.testing.assert_allclose(photon, [2.0, 1.25], rtol=0.02)
    hadron = np.array(scale.hadron[1:]) * np.exp(scale.hadron_curve[0])
    np.testing.assert_allclose(hadron, [1.25, 4.0], rtol=0.02)


def test_prediction_is_the_mean_of_the_truth():
    scale = fit_energy_scale(sample(0, 600, spread=0.4))
    ratio, _, energy = predicted(sample(1, 600, spread=0.4), scale)
    found = ratio * energy
    wrong, log = found - energy, np.log(found)
    for weight in (np.ones(len(found)), log - log.mean()):
        assert (weight * wrong).mean() == pytest.approx(0, abs=3.5 * (weight * wrong).std() / np.sqrt(len(found)))
    assert np.corrcoef(wrong, np.log(energy))[0, 1] < -0.2  # a truth that is far out is found nearer to the middle


def test_sums_as_in_loops():
    e = sample(3, 1)[0]
    share = np.random.default_rng(0).random((3, e.n_hits))
    share[2] = 0
    groups, middle = group_energies(e, share, (2, 3)), barycentres(e, share)
    for c in range(2):
        for g in range(3):
            slow = sum(share[c, h] * e.energy[h] for h in range(e.n_hits) if e.layer[h] == g + 1)
            assert groups[c, g] == pytest.approx(slow, rel=1e-6)
        np.testing.assert_allclose(middle[c], np.average(e.position, axis=0, weights=share[c] * e.energy), rtol=1e-5)
    assert np.isnan(middle[2]).all()
    shapes = shower_shapes(e, share, (2, 3))
    assert np.isfinite(shapes).all()
    direction = middle[0] / np.linalg.norm(middle[0])
    along = e.position @ direction
    w = share[0] * e.energy / (share[0] @ e.energy)
    across = np.linalg.norm(e.position - along[:, None] * direction, axis=1)
    np.testing.assert_allclose(shapes[0, 3], w @ along / 100, rtol=1e-5)
    np.testing.assert_allclose(shapes[0, 5], np.sqrt(w @ across**2) / 10, rtol=1e-5)


def test_particle_shares():
    e = Event(np.zeros((2, 3)), [4.0, 1.0], deposits=([0, 0, 0, 1], [0, 1, 0, -1], [1.0, 2.0, 1.0, 1.0]))
    np.testing.assert_allclose(particle_shares(e), [[0.5, 0], [0.5, 0]])


def test_charged_take_the_momentum_of_their_track():
    direction = np.array([[0.6, 0.0, 0.8]])
    e = Event([[0, 0, 200.0]], [1.0], [1], tracks=([3.0], direction, direction * 150, [-1]))
    scale = fit_energy_scale(sample(0, 80))
    pdg_id, p = four_momenta(e, [[1.0], [0.0]], np.array([0, -1]), scale)
    np.testing.assert_allclose(p[0], [1.8, 0, 2.4, np.sqrt(9 + MASS[PION] ** 2)], rtol=1e-6)
    assert pdg_id[0] == 211
    np.testing.assert_array_equal(p[1], np.zeros(4))
    moved = four_momenta(e, [[1.0]], np.array([-1]), scale, vertex=(0.0, 150.0, 0.0))[1][0]
    np.testing.assert_allclose(moved[:3] / moved[3], [0, -0.6, 0.8], atol=1e-12)


def test_one_kind_alone_and_too_few():
    light = fit_energy_scale(sample(0, 60, kinds=(22,)))
    assert light.photon == light.hadron
    assert predicted(sample(1, 20), light)[1].mean() == 0.5
    heavy = fit_energy_scale(sample(0, 60, kinds=(2112,)))
    assert four_momenta(sample(1, 1)[0], np.ones((1, 10)), np.array([-1]), heavy)[0][0] == 2112
    assert EnergyScale.from_dict(json.loads(json.dumps(light.to_dict()))) == light
    with pytest.raises(ValueError, match=r"5 photons and 5 hadrons with at least 0\.3 in the hits, expected 30"):
        fit_energy_scale(sample(0, 10))
    with pytest.raises(ValueError, match="no events"):
        fit_energy_scale([])


def test_scale_of_candidates_closes_the_sum_of_energies():
    from cmlflow.association.energy_fit import _true_of

    events = sample(3, 200)
    rng = np.random.default_rng(0)
    halves = []
    for e in events:  # every particle in two candidates, and a third with a little of everything
        share = particle_shares(e)
        part = rng.uniform(0.3, 0.6, (len(share), 1))
        rows = np.concatenate([share * part, share * (0.9 - part), np.full((1, e.n_hits), 0.1)])
        halves.append(rows)
        light = np.abs(e.particles.pdg_id) == 22
        held, _ = _true_of(e, share, e.particles.energy.astype(float), light, rows)
        np.testing.assert_allclose(held.sum(), e.particles.energy.sum(), rtol=1e-6)
        np.testing.assert_allclose(held[0], part[0, 0] * e.particles.energy[0], rtol=1e-6)
    scale = fit_energy_scale(events, halves)
    found = [four_momenta(e, s, np.full(len(s), -1), scale)[1][:, 3].sum() for e, s in zip(events, halves, strict=True)]
    np.testing.assert_allclose(sum(found), sum(float(e.particles.energy.sum()) for e in events), rtol=1e-9)
    assert EnergyScale.from_dict(json.loads(json.dumps(scale.to_dict()))) == scale
