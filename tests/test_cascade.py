"""Stages that give hits to showers: features against loops, and what they are for."""

import math

import numpy as np
import pytest
import torch

from cmlflow import Event
from cmlflow.axes import AxisFinder, fit_axis_finder, places, true_axes
from cmlflow.cascade import Cascade, Showers, fit_cascade, stage_shares
from tests.test_axes import tracks_and_halos


@pytest.fixture(scope="module")
def finder():
    net = AxisFinder()
    fit_axis_finder(net, [tracks_and_halos(seed) for seed in range(8)], n_steps=150, hits_per_step=512)
    return net


def beta_of(finder, e):
    with torch.no_grad():
        return finder(torch.from_numpy(e.features()))["beta"].numpy()


def nearest(e):
    """Every hit with the particle of the nearest true axis."""
    distance = np.linalg.norm(places(torch.from_numpy(e.features()))[:, None] - true_axes(e)[1], axis=2)
    return distance.argmin(1)


def showers(finder, e):
    return Showers(e, finder, beta_of(finder, e), nearest(e))


def test_axes_starts_and_candidates(finder):
    e = tracks_and_halos(20)
    s = showers(finder, e)
    place = [(x / z * 350, y / z * 350) for x, y, z in e.position.tolist()]
    beta, labels = beta_of(finder, e), nearest(e)
    for c in range(3):
        peak = max(np.flatnonzero(labels == c), key=lambda i: beta[i])
        near = [i for i in range(e.n_hits) if math.dist(place[i], place[peak]) <= 0.8]
        axis = [sum(beta[i] * place[i][d] for i in near) / sum(beta[i] for i in near) for d in (0, 1)]
        assert s.axes[c].tolist() == pytest.approx(axis, abs=1e-4)
        assert s.strength[c] == pytest.approx(math.log(beta[peak] / (1 - beta[peak])), rel=1e-2)
        core = sorted((i for i in range(e.n_hits) if math.dist(place[i], axis) <= 3), key=lambda i: e.position[i, 2])
        total, passed = sum(float(e.energy[i]) for i in core), 0.0
        for i in core:
            passed += float(e.energy[i])
            if passed >= 0.1 * total:
                break
        assert s.start[c] == pytest.approx(e.position[i, 2], abs=4.01)  # equal depths may come in another order
    assert all(s.near[i, 0] == min(range(3), key=lambda c: math.dist(place[i], s.axes[c])) for i in range(e.n_hits))


def test_features_of_later_stages_equal_loops(finder):
    e = tracks_and_halos(21)
    s = showers(finder, e)
    shares = np.random.default_rng(0).dirichlet(np.ones(3), e.n_hits)
    found = s.features(shares).numpy()
    assert found.shape == (e.n_hits, 3, 20)
    np.testing.assert_array_equal(found[..., :11], s.features(None).numpy())
    place, energy = s.place, e.energy.astype(float)
    for i in range(0, e.n_hits, 7):
        for k, c in enumerate(s.near[i]):
            total = sum(shares[j, c] * energy[j] for j in range(e.n_hits)) + 1e-3
            centre = sum(shares[j, c] * energy[j] * place[j] for j in range(e.n_hits)) / total
            depth = sum(shares[j, c] * energy[j] * e.position[j, 2] for j in range(e.n_hits)) / total
            square = sum(shares[j, c] * energy[j] * math.dist(place[j], centre) ** 2 for j in range(e.n_hits)) / total
            width, away = math.sqrt(square + 1e-6), math.dist(place[i], centre)
            expected = [math.log(total), away, math.log1p(away), depth - e.position[i, 2], width, away / width]
            for n in (8, 32):
                at = s.neighbours[i, :n]
                expected.append(sum(shares[j, c] * energy[j] for j in at) / sum(energy[j] for j in at))
            expected.append(math.log(shares[i, c] + 1e-4))
            np.testing.assert_allclose(found[i, k, 11:], expected, rtol=1e-3, atol=1e-2)


def test_stages_learn_what_goes_beyond_the_nearest_axis(finder):
    train = [tracks_and_halos(seed) for seed in range(30, 50)]
    betas, labels = [beta_of(finder, e) for e in train], [nearest(e) for e in train]
    cascade = fit_cascade(train, finder, betas, labels, n_stages=2, n_steps=150)
    before, after = [], []
    for e in [tracks_and_halos(seed) for seed in range(60, 70)]:
        found = cascade.labels(e, finder, beta_of(finder, e), nearest(e), 2)
        before.append(np.average(nearest(e) == e.particle_id, weights=e.energy))
        after.append(np.average(found == e.particle_id, weights=e.energy))
    assert np.mean(after) > np.mean(before) - 0.01
    s = showers(finder, train[0])
    shares = stage_shares(cascade.stages[0], s, None)
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-6)


def test_same_seed_same_stages(finder):
    events = [tracks_and_halos(seed) for seed in range(3)]
    args = events, finder, [beta_of(finder, e) for e in events], [nearest(e) for e in events], 2
    one, two = (fit_cascade(*args, n_steps=4, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_noise_stays_order_does_not_matter_and_clusters_have_no_gaps(finder):
    e = tracks_and_halos(25)
    labels = nearest(e)
    labels[::5] = -1
    cascade = Cascade(2)
    found = cascade.labels(e, finder, beta_of(finder, e), labels, 2)
    assert np.array_equal(found < 0, labels < 0)
    assert sorted(set(found[found >= 0])) == list(range(found.max() + 1))
    order = np.random.default_rng(0).permutation(e.n_hits)
    other = Event(e.position[order], e.energy[order], e.layer[order])
    again = cascade.labels(other, finder, beta_of(finder, other), labels[order], 2)
    np.testing.assert_array_equal(again, found[order])
    np.testing.assert_array_equal(cascade.labels(e, finder, beta_of(finder, e), labels, 0), labels)


@pytest.mark.parametrize("labels", [[], [0], [-1, -1], [0, 0, 0], [0, -1, 0]])
def test_nothing_to_choose_from(finder, labels):
    n = len(labels)
    e = Event(np.ones((n, 3)), np.ones(n), np.ones(n), np.zeros(n, np.int64))
    assert Cascade(1).labels(e, finder, np.ones(n), np.array(labels, np.int64), 1).tolist() == labels


def test_few_hits_and_equal_betas(finder):
    e = Event([[0, 0, 320], [9, 0, 320]], [1, 2], [1, 1], [0, 1])
    found = Cascade(2).labels(e, finder, np.array([0.5, 0.5]), np.array([0, 1]), 2)
    assert set(found) <= {0, 1}
    certain = Cascade(2).labels(e, finder, np.array([1.0, 0.0]), np.array([0, 1]), 2)
    assert set(certain) <= {0, 1}


def test_particles_without_a_shower_near_their_axis_have_no_owner(finder):
    e = tracks_and_halos(26)
    labels = np.where(nearest(e) == 2, 1, nearest(e))  # two showers for three particles
    s = Showers(e, finder, beta_of(finder, e), labels)
    owner = s.owners(e)
    distance = np.linalg.norm(true_axes(e)[1][:, None] - s.axes, axis=2)
    for particle in range(3):
        c = int(distance[particle].argmin())
        assert set(owner[e.particle_id == particle]) == {c if distance[particle, c] < 2.5 else -1}


def test_needs_two_showers(finder):
    e = tracks_and_halos(0, n_tracks=1)
    with pytest.raises(ValueError, match="two showers"):
        fit_cascade([e], finder, [beta_of(finder, e)], [np.zeros(e.n_hits, np.int64)], 1)
