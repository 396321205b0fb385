"""Stages that give hits to showers: features against loops, and what they are for."""

import math

import numpy as np
import pytest
import torch

from cmlflow import Event, simulate
from cmlflow.embedders.axes import fit_axis_finder, true_axes
from cmlflow.nets.axes import AxisFinder, projected
from cmlflow.refiners.showers import EventShowers
from cmlflow.refiners.stages import HitAssigner, fit_hit_assigner, stage_shares
from tests.embedders.test_axes import tracks_and_halos


@pytest.fixture(scope="module")
def finder():
    net = AxisFinder()
    fit_axis_finder(net, [tracks_and_halos(seed) for seed in range(8)], n_steps=150, hits_per_step=512)
    return net


def beta_of(finder, e):
    with torch.no_grad():
        return finder(torch.from_numpy(e.inputs()))["beta"].numpy()


def nearest(e):
    """Every hit with the particle of the nearest true axis."""
    distance = np.linalg.norm(projected(torch.from_numpy(e.inputs()))[:, None] - true_axes(e)[1], axis=2)
    return distance.argmin(1)


def showers(finder, e):
    return EventShowers(e, finder, beta_of(finder, e), nearest(e))


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
        assert s.log_odds[c] == pytest.approx(math.log(beta[peak] / (1 - beta[peak])), rel=1e-2)
        core = [i for i in range(e.n_hits) if math.dist(place[i], axis) <= 3]
        total = sum(float(e.energy[i]) for i in core)
        depths = sorted({float(e.position[i, 2]) for i in core})
        start = next(z for z in depths if sum(float(e.energy[i]) for i in core if e.position[i, 2] <= z) >= 0.1 * total)
        assert s.start[c] == pytest.approx(start)
    for row, i in enumerate(s.order):
        assert s.near[row].tolist() == sorted(range(3), key=lambda c: math.dist(place[i], s.axes[c]))


def test_features_of_the_first_stage_as_written(finder):
    e = tracks_and_halos(22)
    s = showers(finder, e)
    found, x = s.features(None).numpy(), e.inputs()[s.order]
    around = finder.features(torch.from_numpy(e.inputs()), s.axes).numpy()[:, :28].reshape(3, 4, 7)
    depth = finder.depths(torch.from_numpy(x))
    for i in range(0, e.n_hits, 5):
        for k, c in enumerate(s.near[i]):
            d, inner = math.dist(s.place[i], s.axes[c]), sum(math.expm1(v) for v in around[c, :2].flatten())
            expected = [d, math.log1p(d), x[i, 2], math.log1p(x[i, 3]), x[i, 2] - s.start[c], s.start[c]]
            expected += [s.log_odds[c], math.log1p(inner), *around[c, :3, depth[i]]]
            np.testing.assert_allclose(found[i, k], expected, rtol=1e-4, atol=1e-4)


def test_features_of_later_stages_equal_loops(finder):
    e = tracks_and_halos(21)
    labels = nearest(e)
    labels[::11] = -1
    s = EventShowers(e, finder, beta_of(finder, e), labels)
    x, labels = e.inputs()[s.order].astype(float), labels[s.order]
    shares = np.random.default_rng(0).dirichlet(np.ones(3), e.n_hits)
    found = s.features(shares).numpy()
    assert found.shape == (e.n_hits, 3, 20)
    np.testing.assert_array_equal(found[..., :11], s.features(None).numpy())
    place, energy, hits = s.place, np.where(labels < 0, 0, x[:, 3]), range(e.n_hits)
    for i in range(0, e.n_hits, 7):
        for k, c in enumerate(s.near[i]):
            total = sum(shares[j, c] * energy[j] for j in hits)
            centre = sum(shares[j, c] * energy[j] * place[j] for j in hits) / total
            depth = sum(shares[j, c] * energy[j] * x[j, 2] for j in hits) / total
            square = sum(shares[j, c] * energy[j] * math.dist(place[j], centre) ** 2 for j in hits) / total
            width, away = math.sqrt(square), math.dist(place[i], centre)
            expected = [math.log1p(total), away, math.log1p(away), depth - x[i, 2], width, away / width]
            space = [(*p[:2], 0.6 * p[2]) for p in x]
            for n in (8, 32):
                at = sorted(hits, key=lambda j: math.dist(space[i], space[j]))[:n]
                expected.append(sum(shares[j, c] * energy[j] for j in at) / sum(x[j, 3] for j in at))
            expected.append(math.log(shares[i, c] + 1e-4))
            np.testing.assert_allclose(found[i, k, 11:], expected, rtol=1e-3, atol=1e-3)


def wide_and_narrow(seed):
    """Two showers 6 cm apart, one of them three times as wide: hits near the narrow one's axis may be the other's."""
    rng = np.random.default_rng(seed)
    z, hits = 320 + 4.0 * np.arange(12), []
    turn = rng.uniform(0, 2 * np.pi)
    for particle, width in enumerate((4.5, 1.5)):
        axis = 3 * (1 - 2 * particle) * np.array([np.cos(turn), np.sin(turn)])
        for layer in range(12):
            place = np.concatenate([[axis], axis + rng.normal(0, width, (8, 2))])
            hits += [(*p * z[layer] / 350, z[layer], rng.exponential(2) + 0.5, layer + 1, particle) for p in place]
    h = np.array(hits)
    return Event(h[:, :3], h[:, 3], h[:, 4], h[:, 5].astype(int))


def test_stages_learn_what_goes_beyond_the_nearest_axis():
    train = [wide_and_narrow(seed) for seed in range(20)]
    finder = AxisFinder()
    fit_axis_finder(finder, train, n_steps=100, hits_per_step=512)
    betas, labels = [beta_of(finder, e) for e in train], [nearest(e) for e in train]
    assigner = fit_hit_assigner(train, finder, betas, labels, n_stages=2, n_steps=200)
    before, after = [], []
    for e in [wide_and_narrow(seed) for seed in range(60, 70)]:
        found, _ = assigner.assign(e, finder, beta_of(finder, e), nearest(e), 2)
        before.append(np.mean(nearest(e) == e.particle_id))
        after.append(np.mean(found == e.particle_id))
    assert np.mean(after) > np.mean(before) + 0.02
    s = showers(finder, train[0])
    np.testing.assert_allclose(stage_shares(assigner.stages[0], s, None).sum(1), 1, rtol=1e-6)


def test_hits_on_a_grid_in_any_order(finder):
    """Many of them are equally far from others."""
    events = list(simulate("compact-had", 2, seed=3))
    betas, labels = [beta_of(finder, e) for e in events], [nearest(e) for e in events]
    assigner = fit_hit_assigner(events, finder, betas, labels, 3, n_steps=30)
    for e, beta, given in zip(events, betas, labels, strict=True):
        order = np.random.default_rng(0).permutation(e.n_hits)
        other = Event(e.position[order], e.energy[order], e.layer[order])
        one, shares = assigner.assign(e, finder, beta, given, 3)
        two, again = assigner.assign(other, finder, beta[order], given[order], 3)
        assert len(set(one)) > 1
        np.testing.assert_array_equal(two, one[order])
        np.testing.assert_array_equal(again, shares[:, order])


def test_hits_that_no_shower_has_enough_of_become_noise(finder):
    e, assigner = tracks_and_halos(27), HitAssigner(1)
    s = showers(finder, e)
    largest = np.empty(e.n_hits)
    largest[s.order] = stage_shares(assigner.stages[0], s, None).max(1)
    middle = float(np.median(largest))
    all_of_them, all_shares = assigner.assign(e, finder, beta_of(finder, e), nearest(e), 1)
    found, shares = assigner.assign(e, finder, beta_of(finder, e), nearest(e), 1, min_share=middle)
    np.testing.assert_array_equal(found < 0, largest < middle)
    same = {(a, b) for a, b in zip(found, all_of_them, strict=True) if a >= 0}
    assert len(same) == found.max() + 1 == len({b for _, b in same}) == len(shares)
    for a, b in same:
        np.testing.assert_array_equal(shares[a], all_shares[b])


def test_a_hit_has_the_label_of_its_largest_share(finder):
    e = tracks_and_halos(28)
    labels = nearest(e)
    labels[::7] = -1
    found, shares = HitAssigner(2).assign(e, finder, beta_of(finder, e), labels, 2)
    assert shares.shape == (found.max() + 1, e.n_hits)
    assert not shares[:, labels < 0].any()
    np.testing.assert_array_equal(shares.argmax(0)[found >= 0], found[found >= 0])
    assert len(shares) == 3  # no shower is lost
    np.testing.assert_allclose(shares[:, found >= 0].sum(0), 1, rtol=1e-6)


def test_energies_of_zero_do_not_spoil_the_weights(finder):
    events = [tracks_and_halos(seed) for seed in range(3)]
    events[1] = Event(events[1].position, np.zeros(events[1].n_hits), events[1].layer, events[1].particle_id)
    betas, labels = [beta_of(finder, e) for e in events], [nearest(e) for e in events]
    assigner = fit_hit_assigner(events, finder, betas, labels, 2, n_steps=5)
    assert all(torch.isfinite(v).all() for v in assigner.state_dict().values())


def test_same_seed_same_stages(finder):
    events = [tracks_and_halos(seed) for seed in range(3)]
    args = events, finder, [beta_of(finder, e) for e in events], [nearest(e) for e in events], 2
    one, two = (fit_hit_assigner(*args, n_steps=4, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_noise_stays_order_does_not_matter_and_clusters_have_no_gaps(finder):
    e = tracks_and_halos(25)
    labels = nearest(e)
    labels[::5] = -1
    assigner = HitAssigner(2)
    found, _ = assigner.assign(e, finder, beta_of(finder, e), labels, 2)
    assert np.array_equal(found < 0, labels < 0)
    assert sorted(set(found[found >= 0])) == list(range(found.max() + 1))
    order = np.random.default_rng(0).permutation(e.n_hits)
    other = Event(e.position[order], e.energy[order], e.layer[order])
    again, _ = assigner.assign(other, finder, beta_of(finder, other), labels[order], 2)
    np.testing.assert_array_equal(again, found[order])


@pytest.mark.parametrize("n_stages", [0, -1, 3])
def test_stages_that_there_are_not(finder, n_stages):
    e = tracks_and_halos(28)
    with pytest.raises(ValueError, match=f"n_stages is {n_stages}, but 2 stages were trained"):
        HitAssigner(2).assign(e, finder, beta_of(finder, e), nearest(e), n_stages)


@pytest.mark.parametrize("labels", [[], [0], [-1, -1], [0, 0, 0], [0, -1, 0]])
def test_nothing_to_choose_from(finder, labels):
    n = len(labels)
    e = Event(np.ones((n, 3)), np.ones(n), np.ones(n), np.zeros(n, np.int64))
    found, shares = HitAssigner(1).assign(e, finder, np.ones(n), np.array(labels, np.int64), 1)
    assert found.tolist() == labels
    assert shares.tolist() == [[float(y == 0) for y in labels]] * (0 in labels)


def test_two_hits_and_betas_of_zero_and_one(finder):
    e = Event([[0, 0, 320], [9, 0, 320]], [1, 2], [1, 1], [0, 1])
    for beta in ([0.5, 0.5], [1.0, 0.0]):
        s = EventShowers(e, finder, np.array(beta), np.array([0, 1]))
        assert np.isfinite(s.features(np.eye(2)).numpy()).all()
        np.testing.assert_allclose(s.axes[:, 0], [0, 9 * 350 / 320])


def test_particles_without_a_shower_near_their_axis_have_no_owner(finder):
    e = tracks_and_halos(26)
    labels = np.where(nearest(e) == 2, 1, nearest(e))  # two showers for three particles
    s = EventShowers(e, finder, beta_of(finder, e), labels)
    owner = s.owners(e)
    distance = np.linalg.norm(true_axes(e)[1][:, None] - s.axes, axis=2)
    for particle in range(3):
        c = int(distance[particle].argmin())
        assert set(owner[e.particle_id[s.order] == particle]) == {c if distance[particle, c] < 2.5 else -1}


def test_needs_two_showers(finder):
    e = tracks_and_halos(0, n_tracks=1)
    with pytest.raises(ValueError, match="two showers"):
        fit_hit_assigner([e], finder, [beta_of(finder, e)], [np.zeros(e.n_hits, np.int64)], 1)
