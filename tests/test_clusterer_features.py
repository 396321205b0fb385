"""MetricClusterer with features of the events' own."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

import cmlflow
from cmlflow import Event, NetworkConfig


def timed(n_events, seed=0, **more):
    """Two particles at one place, 20 ns apart."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n_events):
        particle = rng.integers(0, 2, 80)
        position = np.c_[rng.normal(0, 1, (80, 2)), rng.uniform(300, 320, 80)]
        time = particle * 20.0 + rng.normal(0, 0.1, 80)
        out.append(Event(position, np.ones(80), np.ones(80), particle, features={"time": time} | more, number=i))
    return out


def test_features_of_ones_own_are_learned_saved_and_checked(tmp_path):
    events = timed(12)
    how = {"max_epochs": 15, "batch_size": 2, "learning_rate": 3e-3, "network": NetworkConfig(k=8)}
    model = cmlflow.MetricClusterer(**how).fit(events)  # all features that the events have
    labels = model.predict(timed(4, seed=1))
    assert min(adjusted_rand_score(e.particle_id, x) for e, x in zip(timed(4, seed=1), labels, strict=True)) > 0.9
    blind = cmlflow.MetricClusterer(features=("position", "energy", "layer"), max_epochs=1).fit(events)
    assert blind.network_.backbone.scaling.offset.shape == (5,)
    assert "features" not in blind.trained_on_
    model.save(tmp_path / "m")
    back = cmlflow.MetricClusterer.load(tmp_path / "m")
    assert back.features == ["position", "energy", "layer", "time"]
    assert back.trained_on_["features"] == {"position": None, "energy": None, "layer": None, "time": 1}
    for a, b in zip(labels, back.predict(timed(4, seed=1)), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="has no feature 'time'; it has position, energy, layer"):
        back.predict([events[0].replace(features=None)])
    with pytest.raises(ValueError, match="event 0 has no feature 'charge'; it has position, energy, layer, time"):
        cmlflow.MetricClusterer(features=("position", "charge")).fit(events)
    with pytest.raises(ValueError, match=r"features is \('time',\), but head='slopes' does not use them"):
        cmlflow.MetricClusterer("slopes", "clue", features=("time",)).fit(events)


def test_only_the_features_that_are_asked_for_are_seen():
    events = timed(3)
    model = cmlflow.MetricClusterer(features=("time", "energy"), max_epochs=1).fit(events)
    z = model.transform(events)
    moved = [e.replace(position=e.position + np.array([3, 4, 5]), layer=e.layer + 7) for e in events]
    for a, b in zip(z, model.transform(moved), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    later = [e.replace(features={"time": e.features["time"] + 30}) for e in events]
    assert max(np.abs(a - b).max() for a, b in zip(z, model.transform(later), strict=True)) > 1e-3


def test_network_with_further_columns():
    net = cmlflow.build_network(in_features=7, scaling="standard")
    x = torch.rand(30, 7)
    x[3, 6] = float("nan")
    z = net(x)["embedding"]
    assert z.shape == (30, 16)
    assert bool(torch.isfinite(z).all())
    assert sum(p.numel() for p in net.parameters()) == 48_560 + 2 * 64
