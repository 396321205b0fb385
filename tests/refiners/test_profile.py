"""Reassignment of hits: summaries and features against twins, and what it is for."""

import math

import numpy as np
import pytest
import torch

from cmlflow import Event
from cmlflow.refiners.profile import ShowerProfile, fit_profile, pair_features, reassign, summarise


def event(seed, places=((0.0, 0.0), (6.0, 0.0), (0.0, 7.0)), n=120):
    """Showers as Gaussian blobs of the same width along lines from the origin."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(len(places)), n)
    z = rng.uniform(320, 390, len(ids))
    xy = np.asarray(places)[ids] + rng.normal(0, 1.5, (len(ids), 2))
    return Event(
        np.column_stack([xy * z[:, None] / 350, z]), rng.exponential(5, len(ids)) + 0.5, np.ones(len(ids)), ids
    )


def embedding(e):
    """Of no use."""
    return np.zeros((e.n_hits, 3), np.float32)


def test_summaries_and_features_as_written():
    e = event(0, n=9)
    rng = np.random.default_rng(1)
    labels = e.particle_id.copy()
    labels[::7] = -1
    z = rng.normal(size=(e.n_hits, 3)).astype(np.float32)
    x = e.inputs()
    s = summarise(torch.from_numpy(x), torch.from_numpy(z), torch.from_numpy(labels))
    place = [(p[0] / p[2] * 350, p[1] / p[2] * 350) for p in x.tolist()]
    for c in range(3):
        own = [i for i in range(len(x)) if labels[i] == c]
        w = [float(x[i, 3]) for i in own]
        px, py = (sum(a * place[i][d] for a, i in zip(w, own, strict=True)) / sum(w) for d in (0, 1))
        assert float(s.energy[c]) == pytest.approx(sum(w), rel=1e-5)
        assert s.place[c].tolist() == pytest.approx([px, py], abs=1e-3)
        assert float(s.depth[c]) == pytest.approx(
            sum(a * x[i, 2] for a, i in zip(w, own, strict=True)) / sum(w), rel=1e-5
        )
        square = sum(a * math.dist(place[i], (px, py)) ** 2 for a, i in zip(w, own, strict=True)) / sum(w)
        assert float(s.width[c]) == pytest.approx(math.sqrt(square), rel=1e-3)
    features, near = pair_features(torch.from_numpy(x), torch.from_numpy(z), s)
    assert features.shape == (len(x), 3, 9)
    for i in range(len(x)):
        for k, c in enumerate(near[i].tolist()):
            d = math.dist(place[i], s.place[c].tolist())
            gap = min(math.dist(z[i], s.centre[c].tolist()), 8.0)
            expected = [d, math.log1p(d), x[i, 2], math.log1p(x[i, 3]), math.log(s.energy[c]), s.depth[c] - x[i, 2]]
            expected += [s.width[c], gap, gap * gap]
            assert features[i, k].tolist() == pytest.approx([float(v) for v in expected], rel=1e-3, abs=1e-2)


def test_hits_go_back_to_the_nearer_of_equal_showers():
    train = [event(seed) for seed in range(8)]
    profile = fit_profile(train, [embedding(e) for e in train], n_steps=150)
    e = event(99)
    labels = e.particle_id.copy()
    wrong = np.random.default_rng(0).random(len(labels)) < 0.15
    labels[wrong] = (labels[wrong] + 1) % 3
    found = reassign(profile, e, embedding(e), labels)
    assert (labels == e.particle_id).mean() < 0.9
    assert (found == e.particle_id).mean() > 0.93


def test_same_seed_same_weights():
    train = [event(seed, n=20) for seed in range(3)]
    one, two = (fit_profile(train, [embedding(e) for e in train], n_steps=5, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("labels", [[], [0], [-1, -1], [0, 0, 0], [0, -1, 0]])
def test_nothing_to_choose_from(labels):
    labels = np.array(labels, np.int64)
    n = len(labels)
    e = Event(np.ones((n, 3)), np.ones(n), np.ones(n), np.zeros(n, np.int64))
    assert np.array_equal(reassign(ShowerProfile(), e, np.zeros((n, 2), np.float32), labels), labels)


def test_noise_stays_and_clusters_are_numbered_without_gaps():
    e = event(5)
    labels = np.arange(e.n_hits) % 9 - 1
    found = reassign(ShowerProfile(), e, embedding(e), labels)
    assert np.array_equal(found < 0, labels < 0)
    assert sorted(set(found[found >= 0])) == list(range(found.max() + 1))


def test_needs_two_particles():
    e = event(0, places=((0.0, 0.0),))
    with pytest.raises(ValueError, match="two known particles"):
        fit_profile([e], [embedding(e)])
