"""Networks of cells from events to shares: training, folders, invariance, edge cases."""

from dataclasses import replace

import numpy as np
import pytest

import cmlflow
from cmlflow import Event, simulate
from cmlflow.baselines.learned import NeutralConfig, NeutralRegressor, PointNetConfig, PointNetRegressor
from cmlflow.baselines.learned.focus import focus_clouds
from cmlflow.baselines.learned.neutral import event_cloud
from cmlflow.baselines.learned.pointnet import USUAL
from cmlflow.event import Tracks
from cmlflow.metrics import neutral_shares, track_shares
from cmlflow.sampling import focus_samples


@pytest.fixture(params=["pointnet", "graph", "convnet"])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def jets():
    return list(simulate("jets-test", 3, seed=4))


def without_tracks(event):
    none = np.zeros((0, 3), np.float32)
    return event.replace(tracks=Tracks(np.zeros(0, np.float32), none, none, np.zeros(0, np.int64)))


def test_training_makes_the_loss_smaller(pointnet, graph):
    for trained in (pointnet, graph):
        records = trained.history_.records
        assert records[-1]["loss"] < records[0]["loss"]
        assert {"loss_parts", "loss_balance"} <= records[0].keys()
    assert "loss_penalty" in pointnet.history_.records[0]


def test_saved_models_give_the_same_shares(model, rhos, tmp_path):
    model.save(tmp_path / "model")
    again = cmlflow.load(tmp_path / "model")
    assert type(again) is type(model)
    assert again.config == model.config
    for a, b in zip(model.predict(rhos[:4]), again.predict(rhos[:4]), strict=True):
        np.testing.assert_array_equal(a.share, b.share)


def test_answers_do_not_depend_on_other_events(model, rhos):
    together = model.predict(rhos[:5])
    for event, found in zip(rhos[:5], together, strict=True):
        np.testing.assert_allclose(model.predict([event])[0].share, found.share, atol=1e-4)


def test_answers_do_not_depend_on_the_order_of_hits(model, rhos):
    event = rhos[0]
    order = np.random.default_rng(0).permutation(event.n_hits)
    a, b = model.predict([event, event[order]])
    np.testing.assert_allclose(a.share[:, order], b.share, atol=1e-4)


def test_order_of_tracks_does_not_matter(model, jets):
    for event in jets:
        t = event.tracks
        order = np.arange(len(t))[::-1]
        turned = Tracks(t.momentum[order], t.direction[order], t.entry[order], t.particle[order], t.crossing[order])
        a, b = model.predict([event, event.replace(tracks=turned)])
        np.testing.assert_allclose(a.charged[order], b.charged, atol=1e-4)
        np.testing.assert_allclose(a.neutral, b.neutral, atol=1e-4)


def test_shares_are_of_tracks_in_their_order(model, jets):
    for event, found in zip(jets, model.predict(jets), strict=True):
        assert found.share.shape == (len(event.tracks) + 1, event.n_hits)
        assert found.share.dtype == np.float32
        assert found.share.sum(axis=0).max() <= 1 + 1e-5


def test_events_without_tracks_hits_or_both(model, rhos):
    event = rhos[1]
    bare, empty = without_tracks(event), event[:0]
    found = model.predict([bare, empty, without_tracks(empty)])
    assert [f.share.shape for f in found] == [(1, event.n_hits), (2, 0), (1, 0)]


def test_pointnet_calls_everything_neutral_without_tracks(pointnet, rhos):
    np.testing.assert_allclose(pointnet.predict([without_tracks(rhos[1])])[0].neutral, 1)


def test_a_cell_in_no_cone_is_neutral(pointnet, rhos):
    event = rhos[2]
    far = event.position.copy()
    far[0, 1] = 3000.0  # along the beam axis of the slab
    moved = event.replace(position=far)
    for mode in ("common", "iterative"):
        found = pointnet.cell_shares([moved], mode=mode)[0]
        assert found.neutral[0] == pytest.approx(1)
        assert found.charged[:, 0].max() == 0


def test_unknown_tracks_are_an_error(model, rhos):
    event = Event(rhos[0].position, rhos[0].energy, rhos[0].layer, detector="slab-hg")
    with pytest.raises(ValueError, match="has no tracks"):
        model.predict([event])
    with pytest.raises(ValueError, match="has no tracks"):
        model.fit([event])


def test_images_are_of_one_detector(convnet, rhos):
    with pytest.raises(ValueError, match="is of detector 'slab-lg', expected 'slab-hg'"):
        convnet.predict([rhos[0].replace(detector="slab-lg")])


def test_calibration_makes_sums_unbiased(pointnet, graph, rhos):
    sample = rhos[12:]
    true = sum(float(neutral_shares(e) @ e.energy) for e in sample)
    for trained in (pointnet, graph):
        got = sum(float(s.neutral @ e.energy) for e, s in zip(sample, trained.predict(sample), strict=True))
        assert got == pytest.approx(true, rel=0.02)


def test_parts_of_focus_clouds_are_the_truth(jets):
    event = jets[0]
    own, neutral = track_shares(event), neutral_shares(event)
    for t, cloud in enumerate(focus_clouds(event, focus_samples(event, 0.4))):
        cell = cloud.index >= 0
        hit = cloud.index[cell]
        np.testing.assert_allclose(cloud.parts[cell, 0], own[t, hit], atol=1e-6)
        np.testing.assert_allclose(cloud.parts[cell, 2], neutral[hit], atol=1e-6)
        np.testing.assert_allclose(cloud.parts[cell].sum(axis=1), 1, atol=1e-5)
        assert (cloud.parts[~cell] == 0).all()
        assert (cloud.energy[~cell] == 0).all()


def test_features_of_focus_clouds(rhos):
    event = rhos[0]
    sample = focus_samples(event, 0.4)[0]
    x = next(focus_clouds(event, [sample])).x
    i = int(np.flatnonzero(sample.kind == 0)[0])
    entry = event.tracks.entry[0]
    want = [*(sample.position[i, :2] - entry[:2]) / 15, (sample.position[i, 2] - 200) / 60, sample.distance[i] / 10]
    want += [0.5 * np.log(max(sample.energy[i], 1e-3)), 1, 0, 0, sample.layer[i] / 6]
    np.testing.assert_allclose(x[i], want, rtol=1e-5, atol=1e-6)
    assert x[sample.kind == 1][:, 5:8].tolist() == [[0, 1, 0]] * int((sample.kind == 1).sum())


def test_unknown_focus_particles_teach_nothing(rhos):
    t = rhos[0].tracks
    event = rhos[0].replace(tracks=Tracks(t.momentum, t.direction, t.entry, np.array([-1]), t.crossing))
    (cloud,) = focus_clouds(event, focus_samples(event, 0.4))
    assert (cloud.parts == 0).all()
    with pytest.raises(ValueError, match="none of the training events has a cell with a known truth"):
        PointNetRegressor(PointNetConfig(width=0.1)).fit([event])


def test_event_clouds_hold_cells_then_tracks(rhos):
    event = rhos[0]
    cloud = event_cloud(event)
    assert cloud.index.tolist() == [*range(event.n_hits), -1]
    np.testing.assert_allclose(cloud.parts[:-1, 1], neutral_shares(event), atol=1e-6)
    assert cloud.x[-1, 5:].tolist() == [1, pytest.approx(event.tracks.momentum[0])]


@pytest.mark.parametrize(
    ("output", "kind"),
    [("binary", "focal"), ("binary", "dice"), ("binary", "cross_entropy"), ("share", "tssr"), ("energy", "squared")],
)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_every_output_and_loss_trains(rhos, output, kind, optimizer):
    training = replace(USUAL, max_epochs=1, batch_size=8, optimizer=optimizer, schedule="ramp")
    model = PointNetRegressor(PointNetConfig(output, kind, width=0.1), training).fit(rhos[:12])
    for event, found in zip(rhos[12:15], model.predict(rhos[12:15]), strict=True):
        assert found.share.shape == (2, event.n_hits)
        np.testing.assert_allclose(found.share.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("output", ["fraction", "parts"])
@pytest.mark.parametrize(("network", "variant", "width"), [("graph", "paper", 1), ("deepset", "joint", 2)])
def test_other_networks_train(rhos, network, variant, width, output):
    config = NeutralConfig(network, output, variant, width)
    model = NeutralRegressor(config, replace(USUAL, max_epochs=1, batch_size=8)).fit(rhos[:12])
    assert model.predict(rhos[12:13])[0].neutral.min() >= 0


def test_other_detectors_bring_their_scales(rhos):
    events = [e.replace(detector="mine", position=10 * e.position + [0, 0, 100]) for e in rhos[:8]]
    training = replace(USUAL, max_epochs=1, batch_size=8)
    model = PointNetRegressor(PointNetConfig(width=0.1, radius=0.5), training).fit(
        [
            e.replace(tracks=Tracks(t.momentum, t.direction, 10 * t.entry, t.particle))
            for e in events
            for t in [e.tracks]
        ]
    )
    assert model.config.scales[0] > 1000
    graph = NeutralRegressor(NeutralConfig("graph"), training).fit(events)
    assert graph.network.scaling.numbers[0] > 1000


def test_wrong_names_list_the_right_ones(tmp_path, pointnet):
    for wrong, message in (
        (lambda: PointNetConfig(mode="all"), "mode is 'all', expected one of common, iterative"),
        (lambda: NeutralConfig("resnet"), "network is 'resnet', expected one of graph"),
        (lambda: NeutralConfig("unet"), "output is 'parts', expected 'fraction' with network='unet'"),
        (lambda: PointNetRegressor(PointNetConfig("bits")), "output is 'bits', expected one of parts"),
        (lambda: PointNetRegressor(PointNetConfig("binary", "mse")), "loss is 'mse', expected one of focal"),
        (lambda: PointNetRegressor.load("rho-supcon"), "is not a network of cells; load it with cmlflow.load"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
    pointnet.save(tmp_path / "p")
    with pytest.raises(ValueError, match="is a pointnet, not a neutral"):
        NeutralRegressor.load(tmp_path / "p")
    with pytest.raises(ValueError, match="is a network of cells, not a clusterer"):
        cmlflow.MetricClusterer.load(tmp_path / "p")
    (tmp_path / "p" / "weights.safetensors").write_bytes(b"else")
    with pytest.raises(ValueError, match="not the weights of"):
        cmlflow.load(tmp_path / "p")


def test_particle_flow_has_shares_too(rhos):
    flow = cmlflow.ParticleFlow.load("rho-supcon")
    for event, found, candidates in zip(rhos[:3], flow.cell_shares(rhos[:3]), flow.predict(rhos[:3]), strict=True):
        assert found.share.shape == (2, event.n_hits)
        np.testing.assert_allclose(found.share.sum(axis=0), candidates.share.sum(axis=0), atol=1e-5)
