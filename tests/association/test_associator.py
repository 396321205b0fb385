"""From embedded events to candidates."""

import json

import numpy as np
import pytest

import cmlflow
from cmlflow import Event
from cmlflow.association import Associator
from cmlflow.prediction import Prediction


def embed(events, seed):
    rng = np.random.default_rng(seed)
    unit = np.random.default_rng(3).normal(size=(80, 4))
    out = []
    for e in events:
        z = unit[e.particle_id] + 0.2 * rng.normal(size=(e.n_hits, 4))
        t = unit[e.tracks.particle] + 0.2 * rng.normal(size=(len(e.tracks), 4))
        out.append(Prediction(e.particle_id, z, e.tracks.particle, t))
    return out


@pytest.fixture(scope="module")
def samples():
    tuning = list(cmlflow.simulate("jets-tuning", n_events=30, seed=1))
    test = list(cmlflow.simulate("jets-test", n_events=10, seed=1))
    return tuning, embed(tuning, 0), test, embed(test, 1)


@pytest.fixture(scope="module")
def soft(samples):
    return Associator(least=0.2).fit(samples[0], samples[1])


def test_what_comes_out(samples, soft):
    *_, test, embedded = samples
    found = soft.predict(test, embedded)
    ratio = []
    for e, c in zip(test, found, strict=True):
        np.testing.assert_array_equal(c.track[: len(e.tracks)], np.arange(len(e.tracks)))
        assert c.neutral[len(e.tracks) :].all()
        p = np.linalg.norm(c.momentum[c.charged, :3], axis=1)
        np.testing.assert_allclose(p, e.tracks.momentum, rtol=1e-5)
        assert (c.energy_in(e.energy)[c.neutral] >= 0.2 - 1e-4).all()
        ratio.append(c.total[3] / np.nansum(e.particles.energy))
    assert np.median(ratio) == pytest.approx(1, abs=0.1)


def test_hard_is_the_largest_of_soft_and_clusters_are_clusters(samples, soft):
    tuning, embedded, *_ = samples
    events, embedded = tuning[:6], embedded[:6]
    params = soft.to_dict()
    hard = Associator.from_dict(params | {"mode": "hard", "least": 0.0})
    free = Associator.from_dict(params | {"least": 0.0})
    for e, a, b in zip(events, hard.predict(events, embedded), free.predict(events, embedded), strict=True):
        assert set(np.unique(a.share)) <= {0.0, 1.0}
        n = len(e.tracks)
        assert a.share[:n].any()
        assert a.share[n:].any()
        charged = a.share[:n].any(axis=0)
        np.testing.assert_array_equal(a.share[:n].argmax(axis=0)[charged], b.share[:n].argmax(axis=0)[charged])
        largest = np.concatenate([b.share, 1 - b.share.sum(axis=0, keepdims=True)]).argmax(axis=0)  # the last: nobody's
        np.testing.assert_array_equal(largest < n, charged)
    plain = Associator(mode="clusters", least=0.0).fit(tuning, samples[1])
    assert plain.sharing is None
    for e, c in zip(events, plain.predict(events, embedded), strict=True):
        charged = np.isin(e.particle_id, e.tracks.particle)
        np.testing.assert_array_equal(c.share[c.charged].sum(axis=0), charged)
        np.testing.assert_array_equal(c.labels == -1, e.particle_id < 0)


def test_state(samples, soft):
    *_, test, embedded = samples
    again = Associator.from_dict(json.loads(json.dumps(soft.to_dict())))
    assert again == soft
    for a, b in zip(soft.predict(test, embedded), again.predict(test, embedded), strict=True):
        np.testing.assert_array_equal(a.share, b.share)
        np.testing.assert_array_equal(a.momentum, b.momentum)
    fresh = Associator.from_dict(json.loads(json.dumps(Associator(vertex="tracks").to_dict())))
    assert fresh == Associator(vertex="tracks")


def test_empty_and_one_hit(soft):
    nothing = np.zeros((0, 4))
    empty = Event(np.zeros((0, 3)), [], tracks=([2.0], [[0, 0, 1.0]], [[0, 0, 150.0]], [-1]))
    (c,) = soft.predict([empty], [Prediction(np.zeros(0, int), nothing, np.array([-1]), np.ones((1, 4)))])
    assert c.pdg_id.tolist() == [211]
    assert c.share.shape == (1, 0)
    for label in (0, -1):
        lone = Event([[0, 0, 200.0]], [5.0], [2])
        (c,) = soft.predict([lone], [Prediction(np.array([label]), np.ones((1, 4)), np.zeros(0, int), nothing)])
        assert len(c) == label + 1
        assert not c.charged.any()


def test_errors(samples, soft):
    *_, test, embedded = samples
    with pytest.raises(RuntimeError, match="call fit"):
        Associator().predict(test, embedded)
    with pytest.raises(ValueError, match="mode is 'fuzzy', expected one of soft, hard, clusters"):
        Associator(mode="fuzzy")
    with pytest.raises(ValueError, match="least is -1"):
        Associator(least=-1)
    with pytest.raises(ValueError, match="10 events, but 9 embedded"):
        soft.predict(test, embedded[:-1])
    with pytest.raises(ValueError, match=r"event 0: .* labels and .* track_labels, expected"):
        soft.predict(test[:1], embedded[1:2])
    with pytest.raises(ValueError, match="temperature not known; there are mode"):
        Associator.from_dict({"temperature": 1.0})
