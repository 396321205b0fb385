import json

import numpy as np
import pytest

import cmlflow
from cmlflow import MetricClusterer, ParticleFlow
from cmlflow.association import Associator
from cmlflow.event import Event
from cmlflow.nets.network import NetworkConfig
from cmlflow.training import TrainingConfig


@pytest.fixture(scope="module")
def events():
    return list(cmlflow.simulate("rho", n_events=60, seed=3))


@pytest.fixture(scope="module")
def flow(events):
    clusterer = MetricClusterer(tracks=True, readout="ward", network=NetworkConfig(k=8), max_epochs=1, batch_size=8)
    clusterer.fit(events[:16])
    return ParticleFlow(clusterer, Associator(least=0.1)).fit(events)


def test_every_track_has_a_candidate_and_shares_are_shares(flow, events):
    for event, c in zip(events[:20], flow.predict(events[:20]), strict=True):
        assert c.track[: len(event.tracks)].tolist() == list(range(len(event.tracks)))
        assert (c.track[len(event.tracks) :] == -1).all()
        assert c.share.sum(axis=0).max() <= 1 + 1e-4
        np.testing.assert_allclose(c.momentum[0, 3], np.hypot(event.tracks.momentum[0], 0.13957), rtol=1e-4)


def test_hard_shares_are_zero_or_one(flow, events):
    hard = flow.with_mode("hard").predict(events[:5])
    assert all(np.isin(c.share, (0, 1)).all() for c in hard)
    assert flow.associator.mode == "soft"


def test_a_saved_model_gives_the_same_candidates(flow, events, tmp_path):
    flow.save(tmp_path / "flow")
    again = ParticleFlow.load(tmp_path / "flow")
    for a, b in zip(flow.predict(events[:4]), again.predict(events[:4]), strict=True):
        np.testing.assert_array_equal(a.share, b.share)
        np.testing.assert_array_equal(a.momentum, b.momentum)
    assert not list((tmp_path / "flow").glob("*.tmp"))


def test_events_without_hits_or_tracks(flow):
    empty = Event(np.zeros((0, 3)), [], detector="slab-hg")
    alone = Event([[0, 0, 160], [1, 0, 160]], [1.0, 0.5], [1, 1], detector="slab-hg")
    track = Event(np.zeros((0, 3)), [], tracks=([5.0], [[0, 0, 1]], [[0, 0, 150]], [-1]), detector="slab-hg")
    none, neutral, charged = flow.predict([empty, alone, track])
    assert len(none) == 0
    assert (neutral.track == -1).all()
    assert charged.track.tolist() == [0]
    assert charged.share.shape == (1, 0)


def test_before_fit_and_without_tracks(flow, events, tmp_path):
    with pytest.raises(ValueError, match="clusterer: takes hits alone, expected one with tracks=True"):
        ParticleFlow(MetricClusterer())
    with pytest.raises(RuntimeError, match="call fit"):
        ParticleFlow(flow.clusterer).predict(events[:1])
    flow.clusterer.save(tmp_path)
    with pytest.raises(ValueError, match=r"has no association\.json: not a model of particle flow"):
        ParticleFlow.load(tmp_path)
    (tmp_path / "association.json").write_text(json.dumps({"fashion": 1}))
    with pytest.raises(ValueError, match=r"association\.json: cannot be read \(.*associator: fashion not known"):
        ParticleFlow.load(tmp_path)


@pytest.mark.parametrize("balance", [0.0, 2.0])
def test_sums_are_in_the_loss_where_they_are_asked_for(balance):
    settings = {"network": NetworkConfig(k=8), "training": TrainingConfig(balance=balance)}
    model = cmlflow.MetricClusterer(tracks=True, max_epochs=1, batch_size=4, **settings)
    (record,) = model.fit(cmlflow.simulate("pi-gun-5-10", 4, seed=1)).history_.records
    assert ("loss_balance" in record) == (balance > 0)
    assert record["loss_origin"] > 0
