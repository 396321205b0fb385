"""MetricClusterer: fit, predict, transform, tune, save and load."""

import copy
import json
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_clusterer
from sklearn.cluster import DBSCAN, KMeans
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.utils.validation import check_is_fitted

from cmlflow import Event, EventStore, MetricClusterer, simulate
from cmlflow.embedders.axes import fit_axis_finder
from cmlflow.evaluation import evaluate
from cmlflow.losses import SupCon
from cmlflow.methods import METHODS
from cmlflow.metrics import reconstruction_metrics
from cmlflow.nets.network import NetworkConfig
from cmlflow.prediction import distance, make_readout
from cmlflow.readouts import Density, build_readout
from cmlflow.refiners import Stages
from cmlflow.refiners.profile import reassign
from cmlflow.refiners.stages import HitAssigner, fit_hit_assigner
from cmlflow.training import TrainingConfig

SMALL = {"dim": 4, "network": NetworkConfig(k=6), "max_epochs": 6, "batch_size": 4, "learning_rate": 3e-3}
PROJECTIVE = NetworkConfig(k=6, scaling="projective")


def blobs(n_events, seed=0, n_hits=40, n_particles=3, number=0, detector=None):
    """Events of well separated gaussian clouds of hits in three dimensions."""
    rng = np.random.default_rng(seed)
    events = []
    for i in range(n_events):
        ids = rng.permutation(np.arange(n_hits) % n_particles)
        angle = rng.uniform(0, 6) + np.arange(n_particles) * 2 * np.pi / n_particles
        centre = np.stack([15 * np.cos(angle), 15 * np.sin(angle), np.full(n_particles, 345.0)], 1)
        position = centre[ids] + rng.normal(size=(n_hits, 3)) * [1.5, 1.5, 8]
        layer = np.clip((position[:, 2] - 319.8) / 2.5, 1, 50).astype(int)
        energy = np.array([50.0, 80.0, 60.0, 90.0])[:n_particles]
        direction = centre / np.linalg.norm(centre, axis=1, keepdims=True)
        particles = np.full(n_particles, 11), energy, direction
        hit_energy = rng.exponential(5, n_hits) + 0.5
        known = {"number": number + i, "particles": particles, "detector": detector}
        events.append(Event(position, hit_energy, layer, ids, **known))
    return events


def permuted(event, seed=0):
    order = np.random.default_rng(seed).permutation(event.n_hits)
    return order, Event(event.position[order], event.energy[order], event.layer[order], event.particle_id[order])


def same_clusters(a, b):
    """Whether two labellings are the same partition, noise included."""
    return len(set(zip(a.tolist(), b.tolist(), strict=True))) == len(set(a.tolist())) == len(set(b.tolist())) and (
        np.array_equal(a == -1, b == -1)
    )


@pytest.fixture(scope="module")
def trained():
    """One fitted model per head; tests must leave them as they are."""
    train = blobs(16, seed=1)
    return {
        head: MetricClusterer(head=head, **SMALL).fit(train, validation=blobs(4, seed=2)) for head in ("supcon", "oc")
    }


@pytest.fixture
def model(trained, tmp_path):
    """A copy of the fitted supcon model."""
    trained["supcon"].save(tmp_path / "copy")
    return MetricClusterer.load(tmp_path / "copy")


def test_separates_what_is_separate():
    events = blobs(10, seed=3)
    model = MetricClusterer(**SMALL | {"max_epochs": 20}, readout="ward").fit(blobs(16, seed=1))
    model.tune(blobs(6, seed=4))
    right = [same_clusters(found, e.particle_id) for found, e in zip(model.predict(events), events, strict=True)]
    assert sum(right) >= 8


@pytest.mark.parametrize("readout", ["density", "ward", "clue", "hdbscan"])
def test_labels_of_every_readout(model, readout):
    events = blobs(3, seed=5)
    labels = model.set_params(readout=readout).predict(events)
    assert [x.shape for x in labels] == [(40,)] * 3
    for x in labels:
        assert x.dtype == np.int64
        assert set(x.tolist()) - {-1} == set(range(x.max() + 1))


def test_transform_gives_unit_vectors_for_supcon_and_raw_coordinates_for_oc(trained):
    events = blobs(3, seed=5)
    for head, unit in (("supcon", True), ("oc", False)):
        z = trained[head].transform(events)
        assert [x.shape for x in z] == [(40, 4)] * 3
        assert all(x.dtype == np.float32 for x in z)
        np.testing.assert_array_equal(np.allclose(np.linalg.norm(np.concatenate(z), axis=1), 1, atol=1e-6), unit)


def test_oc_readouts(trained, tmp_path):
    trained["oc"].save(tmp_path)
    model = MetricClusterer.load(tmp_path, readout="condensation")
    events = blobs(3, seed=5)
    labels = model.predict(events)
    assert all((x >= 0).all() for x in labels)
    model.tune(blobs(3, seed=6), readouts=["condensation", "density"])
    assert set(model.thresholds_) == {"condensation", "density"}
    assert set(model.thresholds_["condensation"]) == {"threshold", "radius"}


def test_oc_readout_needs_the_oc_head(model):
    with pytest.raises(ValueError, match="'condensation' needs beta, which this model's head does not give"):
        model.set_params(readout="condensation").predict(blobs(1))


def test_same_seed_same_weights_and_labels():
    train, events = blobs(6), blobs(2, seed=5)
    first, second, other = (
        MetricClusterer(**SMALL | {"max_epochs": 2}, random_state=seed).fit(train) for seed in (0, 0, 1)
    )
    a, b, c = (m.network_.state_dict() for m in (first, second, other))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)
    assert all(np.array_equal(x, y) for x, y in zip(first.predict(events), second.predict(events), strict=True))


def test_heads_start_from_the_same_backbone():
    states = [
        MetricClusterer(head=head, random_state=3)._build_embedder().network.backbone.state_dict()
        for head in ("supcon", "oc", "margin")
    ]
    assert all(torch.equal(states[0][name], s[name]) for s in states[1:] for name in s)


def test_order_of_hits_does_not_matter(trained):
    for event in blobs(3, seed=7):
        order, other = permuted(event)
        for model in trained.values():
            np.testing.assert_array_equal(model.transform([event])[0][order], model.transform([other])[0])
            assert same_clusters(model.predict([event])[0][order], model.predict([other])[0])


def test_other_events_of_the_sample_do_not_matter(model):
    events = blobs(4, seed=7)
    together = model.predict(events)
    for event, labels in zip(events, together, strict=True):
        np.testing.assert_array_equal(model.predict([event])[0], labels)
    for labels, expected in zip(model.predict(events[::-1]), together[::-1], strict=True):
        np.testing.assert_array_equal(labels, expected)


def test_empty_one_hit_and_one_particle_events(trained):
    events = [
        Event(np.empty((0, 3)), []),
        Event([[0, 0, 330]], [1.0], [3], [0]),
        Event([[0, 0, 330]] * 3, [1.0] * 3),
        blobs(1, n_particles=1)[0],
    ]
    for model in trained.values():
        for readout in ("density", "ward", "clue", "hdbscan"):
            m = copy.copy(model).set_params(readout=readout)
            labels = m.predict(events)
            assert [len(x) for x in labels] == [0, 1, 3, 40]
            assert labels[0].dtype == np.int64
        assert [z.shape for z in model.transform(events)] == [(0, 4), (1, 4), (3, 4), (40, 4)]


def test_training_with_empty_and_tiny_events():
    events = [Event(np.empty((0, 3)), []), Event([[0, 0, 330]], [1.0], [3], [0]), *blobs(3)]
    model = MetricClusterer(**SMALL | {"max_epochs": 1}).fit(events, validation=events)
    assert model.history_.best_epoch == 1


def test_lists_stores_and_generators_are_alike(model):
    events = blobs(3, seed=5)
    expected = model.predict(events)
    for given in (tuple(events), EventStore(events), EventStore(events)[:], (e for e in events)):
        for found, wanted in zip(model.predict(given), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    fits = [
        MetricClusterer(**SMALL | {"max_epochs": 1}).fit(given) for given in (events, EventStore(events), iter(events))
    ]
    for other in fits[1:]:
        assert all(torch.equal(v, other.network_.state_dict()[k]) for k, v in fits[0].network_.state_dict().items())


def test_predict_all_runs_every_readout_on_the_same_embeddings(model):
    events = blobs(2, seed=5)
    z, labels = model.predict_all(events, ["density", "ward"])
    np.testing.assert_array_equal(z[1], model.transform(events)[1])
    for name, found in labels.items():
        np.testing.assert_array_equal(found[0], model.set_params(readout=name).predict(events)[0])


def test_hits_are_whole_where_nothing_shares_them(model):
    events = [*blobs(2, seed=5, detector="hgcal"), Event(np.empty((0, 3)), [])]
    columns = model.predict(events), model.predict_shares(events), model.predict_energies(events)
    for e, labels, shares, energies in zip(events, *columns, strict=True):
        assert shares.shape == (labels.max(initial=-1) + 1, e.n_hits)
        assert len(energies) > 0 or e.n_hits == 0
        weights = np.where(e.layer <= 28, 10.6e-3, 47.4e-3)
        for c, (row, energy) in enumerate(zip(shares, energies, strict=True)):
            np.testing.assert_array_equal(row, labels == c)
            assert energy == pytest.approx((e.energy * weights)[labels == c].sum(), rel=1e-5)


def test_tuning_keeps_the_chosen_setting(model):
    tuning = model.tune(blobs(4, seed=8), readouts=["density", "ward"])
    for name, result in tuning.items():
        chosen = result.best | {"distance": result.distance}
        assert any(chosen.items() <= row.items() for row in result.table)
        assert model.thresholds_[name] == result.best
    readout = make_readout("ward", True, model.thresholds_)
    assert readout.get_params()["height"] == tuning["ward"].best["height"]


def test_tuning_of_a_readout_object(model):
    readout = Density(threshold=0.9)
    model.set_params(readout=readout)
    (result,) = model.tune(blobs(3, seed=8), grid={"threshold": np.array([0.2, 0.4])}).values()
    assert model.readout.threshold == result.best["threshold"]
    assert readout.threshold == 0.9  # the caller's object is left alone
    model.set_params(readout=DBSCAN(min_samples=2))
    (result,) = model.tune([*blobs(3, seed=8), Event(np.empty((0, 3)), [])], grid={"eps": [0.1, 0.5]}).values()
    assert model.readout.eps == result.best["eps"]
    with pytest.raises(ValueError, match="grid: DBSCAN has none of its own"):
        model.tune(blobs(2))


def test_tuning_without_truth(model):
    without = [Event(e.position, e.energy, e.layer) for e in blobs(2)]
    for events in (without, []):
        with pytest.raises(ValueError, match=r"events: (none of the 2 events holds a hit of a known|there is none)"):
            model.tune(events)


def test_tuned_thresholds_of_numpy_numbers_can_be_saved(model, tmp_path):
    model.tune(blobs(2), grid={"k": np.array([4, 6]), "radius": np.array([0.3, 0.5], np.float32)})
    model.save(tmp_path)
    assert MetricClusterer.load(tmp_path).thresholds_ == model.thresholds_


def test_save_and_load(trained, tmp_path):
    events = blobs(3, seed=5)
    for head, model in trained.items():
        model.save(tmp_path / head)
        assert sorted(p.name for p in (tmp_path / head).iterdir()) == ["config.json", "weights.safetensors"]
        loaded = MetricClusterer.load(tmp_path / head)
        assert loaded.get_params() == model.get_params()
        for a, b in zip(model.transform(events), loaded.transform(events), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(model.predict(events), loaded.predict(events), strict=True):
            np.testing.assert_array_equal(a, b)


def test_reassignment_is_learned_saved_and_applied(tmp_path):
    train, events = blobs(12, seed=1), blobs(3, seed=5)
    settings = SMALL | {"network": PROJECTIVE}
    model = MetricClusterer(head="prototype", readout="clue", refine=1, **settings).fit(train)
    model.save(tmp_path / "model")
    loaded = MetricClusterer.load(tmp_path / "model")
    for a, b in zip(model.predict(events), loaded.predict(events), strict=True):
        np.testing.assert_array_equal(a, b)
    z = model.transform(events)
    without = loaded.set_params(refine=0).predict(events)
    for e, points, a, b in zip(events, z, model.predict(events), without, strict=True):
        np.testing.assert_array_equal(a, reassign(model.refiner_.profile, e, points, b))
        order, other = permuted(e)
        assert same_clusters(model.predict([other])[0], a[order])


def test_slopes_need_no_training(tmp_path):
    events = blobs(3, seed=5)
    model = MetricClusterer(head="slopes", readout="clue").fit(events)
    for e, z in zip(events, model.transform(events), strict=True):
        np.testing.assert_allclose(z, e.position[:, :2] / e.position[:, 2:] / 0.01, rtol=1e-6)
    model.tune(events, grid={"link_distance": [0.3, 0.6, 1.2]})
    model.save(tmp_path / "slopes")
    loaded = MetricClusterer.load(tmp_path / "slopes")
    for a, b in zip(model.predict(events), loaded.predict(events), strict=True):
        np.testing.assert_array_equal(a, b)


def test_axes_and_hits_of_them_are_learned_saved_and_applied(tmp_path, monkeypatch):
    monkeypatch.setattr("cmlflow.embedders.axes.fit_axis_finder", partial(fit_axis_finder, n_steps=150))
    monkeypatch.setattr("cmlflow.refiners.stages.fit_hit_assigner", partial(fit_hit_assigner, n_steps=100))
    train, events = blobs(12, seed=1), blobs(3, seed=5)
    model = MetricClusterer(head="axes", readout="condensation", refine=2).fit(train)
    model.tune(events, grid={"threshold": [0.3, 0.6], "radius": [0.5, 1.0]})
    model.save(tmp_path / "model")
    loaded = MetricClusterer.load(tmp_path / "model")
    for e, a, b in zip(events, model.predict(events), loaded.predict(events), strict=True):
        np.testing.assert_array_equal(a, b)
        order, other = permuted(e)
        assert same_clusters(model.predict([other])[0], a[order])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.refiner_.assigner = HitAssigner(2)  # untrained, so that it can be seen that it counts
    labels, without = model.predict(events), loaded.set_params(refine=0).predict(events)
    assert any(not same_clusters(a, b) for a, b in zip(labels, without, strict=True))
    for e, a, b in zip(events, labels, without, strict=True):
        with torch.no_grad():
            beta = model.embedder_.finder(torch.from_numpy(e.inputs()))["beta"].numpy()
        np.testing.assert_array_equal(a, model.refiner_.assigner.assign(e, model.embedder_.finder, beta, b, 2)[0])
    model.set_params(refine=Stages(2, min_share=0.4))
    columns = model.predict(events), model.predict_shares(events), model.predict_energies(events, np.full(50, 0.5))
    for e, b, a, shares, energies in zip(events, without, *columns, strict=True):
        with torch.no_grad():
            beta = model.embedder_.finder(torch.from_numpy(e.inputs()))["beta"].numpy()
        expected = model.refiner_.assigner.assign(e, model.embedder_.finder, beta, b, 2, 0.4)
        np.testing.assert_array_equal(a, expected[0])
        np.testing.assert_array_equal(shares, expected[1])
        np.testing.assert_allclose(energies, 0.5 * shares @ e.energy, rtol=1e-5)
    with pytest.raises(ValueError, match="passes is 3, but 2 stages were trained"):
        model.set_params(refine=3).predict(events)


@pytest.mark.parametrize("value", [1.0, -0.1])
def test_shares_that_cannot_be_asked_for(value):
    with pytest.raises(ValueError, match="min_share is"):
        Stages(1, min_share=value)


@pytest.mark.parametrize(
    ("head", "parameters", "message"),
    [
        ("axes", {"dim": 99}, "dim is 99, but head='axes' does not use it"),
        ("axes", {"max_epochs": 3}, "max_epochs is 3, but head='axes' does not use it"),
        ("axes", {"training": TrainingConfig()}, "training is .*, but head='axes' does not use it"),
        ("slopes", {"loss": "nonsense"}, "loss is 'nonsense', but head='slopes' does not use it"),
        ("slopes", {"network": NetworkConfig()}, "network is .*, but head='slopes' does not use it"),
        ("slopes", {"refine": Stages(1)}, "stages need the axes of showers"),
        ("supcon", {"refine": -1}, "refine is -1, expected 0 or more passes"),
    ],
)
def test_parameters_that_a_head_does_not_use_are_refused(head, parameters, message):
    with pytest.raises(ValueError, match=message):
        MetricClusterer(head=head, **parameters).fit(blobs(2))


@pytest.fixture
def fast_axes(monkeypatch):
    monkeypatch.setattr("cmlflow.embedders.axes.fit_axis_finder", partial(fit_axis_finder, n_steps=5))
    monkeypatch.setattr("cmlflow.refiners.stages.fit_hit_assigner", partial(fit_hit_assigner, n_steps=5))


@pytest.mark.usefixtures("fast_axes")
@pytest.mark.parametrize("head", ["axes", "slopes"])
def test_reassignment_that_was_not_trained(head):
    model = MetricClusterer(head=head, readout="clue").fit(blobs(2)).set_params(refine=1)
    with pytest.raises(ValueError, match="refine is 1, but the model was fitted with refine=0"):
        model.predict(blobs(1))


@pytest.mark.usefixtures("fast_axes")
@pytest.mark.parametrize("head", ["axes", "prototype"])
def test_random_numbers_of_others_are_left_alone(head, tmp_path):
    state = torch.get_rng_state()
    settings = {"max_epochs": 1} if METHODS[head].head else {}
    model = MetricClusterer(head=head, readout="clue", refine=1, **settings).fit(blobs(2))
    model.save(tmp_path)
    MetricClusterer.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


def test_axes_do_not_go_with_tracks():
    with pytest.raises(ValueError, match="tracks is True, but head='axes' does not use it"):
        MetricClusterer(head="axes", tracks=True).fit(blobs(1))


def test_thresholds_are_saved(model, tmp_path):
    model.tune(blobs(3, seed=8), readouts=["density", "ward"])
    model.save(tmp_path)
    loaded = MetricClusterer.load(tmp_path, readout="ward")
    assert loaded.thresholds_ == model.thresholds_
    events = blobs(2, seed=5)
    for a, b in zip(model.set_params(readout="ward").predict(events), loaded.predict(events), strict=True):
        np.testing.assert_array_equal(a, b)


def test_scikit_learn_conventions(model):
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not copy.__sklearn_is_fitted__()
    assert model.__sklearn_is_fitted__()
    assert is_clusterer(model)
    assert copy.set_params(dim=8, readout="ward").get_params()["dim"] == 8
    assert "MetricClusterer" in repr(copy)
    with pytest.raises(ValueError, match="Invalid parameter 'depth'"):
        copy.set_params(depth=3)


def test_without_weights():
    for call in ("predict", "transform", "tune"):
        with pytest.raises(NotFittedError, match="no weights yet: call fit"):
            getattr(MetricClusterer(), call)(blobs(1))
    with pytest.raises(NotFittedError, match="no weights yet"):
        MetricClusterer().save("nowhere")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"head": "triplet"}, "head is 'triplet', expected one of .*'supcon'"),
        ({"training": TrainingConfig(select="physics")}, "select='physics' needs a validation sample"),
        ({"max_epochs": 0}, "max_epochs is 0"),
        ({"readout": "kmeans"}, "readout: got 'kmeans', needs one of ward, condensation, density, clue, hdbscan"),
    ],
)
def test_wrong_parameters_are_told_before_training(parameters, message):
    with pytest.raises(ValueError, match=message):
        MetricClusterer(**parameters).fit(blobs(2))


@pytest.mark.parametrize("events", [[], [Event(np.empty((0, 3)), [])], [Event([[0, 0, 330]], [1.0])]])
def test_nothing_to_train_on(events):
    with pytest.raises(ValueError, match="none of the training events has a hit with a known particle"):
        MetricClusterer(**SMALL).fit(events)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (blobs(1)[0], r"one Event given where several are taken: pass \[event\]"),
        ("showers.parquet", "'showers.parquet' given where events are taken: read the file with cmlflow.read"),
        ([1, 2], "entry 0 of the events is int, not an Event"),
    ],
)
def test_what_is_no_sequence_of_events(model, given, message):
    for call in (model.fit, model.predict, model.transform, model.tune):
        with pytest.raises(TypeError, match=message):
            call(given)


def test_select_physics():
    """Thresholds that suit the weights of an epoch: as good as those of the coarse grid on the kept weights."""
    validation = blobs(3, seed=2)
    settings = SMALL | {"max_epochs": 3, "readout": "density", "training": TrainingConfig(select="physics")}
    model = MetricClusterer(**settings).fit(blobs(4), validation=validation)
    scores = [r["score"] for r in model.history_.records]
    assert model.history_.best_epoch == 1 + int(np.argmin(scores))
    grid = {name: list(values)[1::3] for name, values in build_readout("density").tuning_grid().items()}
    table = model.tune(validation, grid=grid)["density"].table
    assert min(row["distance"] for row in table) == pytest.approx(min(scores), rel=1e-6)


def test_select_physics_takes_a_readout_without_a_grid_as_it_is():
    readout = DBSCAN(eps=0.5, min_samples=2)
    model = MetricClusterer(**SMALL | {"readout": readout, "training": TrainingConfig(select="physics")})
    validation = blobs(2, seed=2)
    score = model.fit(blobs(4), validation=validation).history_.best_score
    m = reconstruction_metrics(validation, model.predict(validation))
    assert score == pytest.approx(distance(m["efficiency"], m["purity"], m["ratio"]), rel=1e-6)


def test_select_last():
    model = MetricClusterer(**SMALL | {"max_epochs": 3}, training=TrainingConfig(select="last"))
    assert model.fit(blobs(4), validation=blobs(2, seed=2)).history_.best_epoch == 3
    assert all("validation_loss" in record for record in model.history_.records)


def test_dropout_of_the_heads():
    def rates(head, **changes):
        model = MetricClusterer(**SMALL | {"head": head, "max_epochs": 1} | changes).fit(blobs(2))
        return {module.p for module in model.network_.modules() if isinstance(module, torch.nn.Dropout)}

    assert rates("supcon") == rates("prototype") == {0.01}
    assert rates("oc", readout="condensation") == {0.0}
    assert rates("oc", readout="condensation", network=NetworkConfig(k=6, dropout=0.2)) == {0.2}


def test_select_physics_scores_the_network_that_is_trained():
    """Also with a refiner, which is fitted only after the network."""
    validation = blobs(2, seed=2)
    settings = SMALL | {"max_epochs": 3, "network": PROJECTIVE, "training": TrainingConfig(select="physics")}
    readout = DBSCAN(eps=0.5, min_samples=2)
    model = MetricClusterer("prototype", readout, refine=1, **settings).fit(blobs(4), validation=validation)
    scores = [record["score"] for record in model.history_.records]
    assert -model.set_params(refine=0).score(validation) == pytest.approx(min(scores))


def test_grid_search_runs():
    search = GridSearchCV(MetricClusterer(**SMALL | {"max_epochs": 1}), {"dim": [3, 4]}, cv=2)
    search.fit(blobs(6))
    assert search.best_params_["dim"] in (3, 4)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    check_is_fitted(search.best_estimator_)
    with pytest.raises(NotFittedError):
        check_is_fitted(MetricClusterer())


def test_executor_gives_the_same(model):
    events = [*blobs(5, seed=5), Event(np.empty((0, 3)), [])]
    with ThreadPoolExecutor(2) as executor:
        for a, b in zip(model.iter(events), model.iter(iter(events), executor), strict=True):
            np.testing.assert_array_equal(a.labels, b.labels)


def test_interrupted_fit_continues(tmp_path):
    events, validation = blobs(6), blobs(2, seed=2)
    whole = MetricClusterer(**SMALL).fit(events, validation=validation, folder=tmp_path / "whole")
    calls = []

    def breaks(self, *args):
        calls.append(1)
        if len(calls) > 20:
            raise KeyboardInterrupt
        return supcon(self, *args)

    supcon = SupCon.__call__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SupCon, "__call__", breaks)
        with pytest.raises(KeyboardInterrupt):
            MetricClusterer(**SMALL).fit(events, validation=validation, folder=tmp_path / "broken")
    again = MetricClusterer(**SMALL).fit(events, validation=validation, folder=tmp_path / "broken")
    assert all(torch.equal(v, again.network_.state_dict()[k]) for k, v in whole.network_.state_dict().items())


def test_verbose_shows_progress(capsys):
    model = MetricClusterer(**SMALL | {"max_epochs": 1}, verbose=True).fit(blobs(4))
    model.predict(blobs(3))
    shown = capsys.readouterr().err
    assert "1/1" in shown
    assert "3/3" in shown


def test_objects_are_saved_as_what_they_were(tmp_path):
    model = MetricClusterer(**SMALL | {"max_epochs": 1}, loss=SupCon(temperature=0.05)).fit(blobs(4))
    model.set_params(readout=Density(radius=0.3))
    model.save(tmp_path / "model")
    back = MetricClusterer.load(tmp_path / "model")
    assert (back.readout, back.thresholds_["density"]["radius"], back.loss) == ("density", 0.3, None)
    assert back.trained_on_["loss"] == "SupCon(temperature=0.05)"
    for ours, theirs in zip(model.predict(blobs(2)), back.predict(blobs(2)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match=r"readout KMeans\(.*\) can't be saved, expected one of"):
        model.set_params(readout=KMeans(2)).save(tmp_path / "other")


def test_events_of_another_detector_are_told(tmp_path):
    MetricClusterer(**SMALL | {"max_epochs": 1}).fit(blobs(4, detector="hgcal")).save(tmp_path / "model")
    model = MetricClusterer.load(tmp_path / "model")
    assert model.trained_on_ == {"sample": None, "detector": "hgcal"}
    model.predict(blobs(4, detector="hgcal-testbeam"))
    with pytest.warns(UserWarning, match="events of 'slab-hg', but the model was trained on 'hgcal'") as told:
        model.predict(blobs(4, detector="slab-hg"))
    assert len(told) == 1


def test_a_folder_comes_before_a_packaged_model_of_its_name(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save("compact-em-supcon")
    own = MetricClusterer.load("compact-em-supcon")
    assert own.get_params()["network"] == model.network


def test_unknown_model():
    with pytest.raises(FileNotFoundError, match=r"compact-xx: neither a folder with a config.json nor a packaged"):
        MetricClusterer.load("compact-xx")


@pytest.fixture
def folder(trained, tmp_path):
    trained["supcon"].save(tmp_path / "model")
    return tmp_path / "model"


def edited(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def test_folder_of_another_format(folder):
    edited(folder, lambda c: c.update(format=99, cmlflow="9.9"))
    with pytest.raises(
        ValueError, match=r"model format 99, written by cmlflow 9.9; this is cmlflow .* reads formats 1 and 2"
    ):
        MetricClusterer.load(folder)


def test_folder_with_an_unknown_parameter(folder):
    edited(folder, lambda c: c["parameters"].update(depth=3))
    with pytest.raises(ValueError, match=r"config.json has unknown parameters \['depth'\]"):
        MetricClusterer.load(folder)


def test_folder_with_other_weights(folder):
    edited(folder, lambda c: c["parameters"].update(dim=7))
    with pytest.raises(ValueError, match="the weights do not fit the configuration"):
        MetricClusterer.load(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        "3",
        '{"format": 1}',
        '{"format": 2}',
        '{"format": 1, "parameters": 3, "thresholds": {}}',
        '{"format": 2, "parameters": {}, "thresholds": {}, "weights": 3}',
    ],
)
def test_damaged_configuration(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config.json: not the configuration of a cmlflow model"):
        MetricClusterer.load(folder)


@pytest.mark.parametrize("keep", [0, 7, 1000, -10])
def test_truncated_weights(folder, keep):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"weights.safetensors: cannot be read"):
        MetricClusterer.load(folder)


def test_missing_weights(folder):
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ValueError, match=r"weights.safetensors: cannot be read"):
        MetricClusterer.load(folder)


@pytest.mark.parametrize("failing", ["weights", "config"])
def test_full_disk_leaves_the_old_files(trained, folder, monkeypatch, failing):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes" if failing == "weights" else "pathlib.Path.write_text", full)
    other = MetricClusterer(**SMALL | {"max_epochs": 1}, random_state=4).fit(blobs(2))
    with pytest.raises(OSError, match=f"{failing}.* cannot be written .*No space left"):
        other.save(folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_no_warnings_on_the_whole_way(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = MetricClusterer(**SMALL | {"max_epochs": 1}).fit(blobs(3))
        model.tune(blobs(2))
        model.save(tmp_path)
        MetricClusterer.load(tmp_path).predict(blobs(2))


def test_a_readout_can_have_thresholds_of_several_tunings():
    model = MetricClusterer.load("compact-em-supcon")
    events = simulate("compact-em-tuning", 1, seed=3)
    usual = dict(model.thresholds_["density"])
    model.tune(events, readouts=["density@few"], grid={"radius": [0.2], "threshold": [0.9]})
    assert model.thresholds_["density"] == usual
    assert model.thresholds_["density@few"] == {"radius": 0.2, "threshold": 0.9}
    _, labels = model.predict_all(events, ["density", "density@few"])
    assert (labels["density"][0] == model.predict(events)[0]).all()
    assert (labels["density@few"][0] == model.set_params(readout="density@few").predict(events)[0]).all()


def blobs_with_tracks(n_events, seed=0, no_tracks=False):
    """The clouds of `blobs`; the first two of three particles have a track through their cloud."""
    out = []
    for e in blobs(n_events, seed=seed, n_hits=30):
        direction = e.particles.direction[:2]
        layers = np.arange(325.0, 365.0, 10)
        crossing = layers[:, None] * (direction / direction[:, 2:])[:, None]
        tracks = (e.particles.energy[:2], direction, crossing[:, 0], [0, 1], crossing)
        layer = ((e.position[:, 2] - 320) / 10).astype(int).clip(1, 4)
        more = {"particles": e.particles, "number": e.number, "tracks": None if no_tracks else tracks}
        out.append(Event(e.position, e.energy, layer, e.particle_id, **more))
    return out


STRANGE = [
    Event(np.empty((0, 3)), [], tracks=([2.0], [[0, 0, 1]], [[0, 0, 320]], [-1])),
    Event(np.empty((0, 3)), []),
    Event([[0, 0, 330]], [1.0], [3], [0]),
    Event([[0, 0, 330]] * 3, [1.0] * 3, tracks=([], np.empty((0, 3)), np.empty((0, 3)), [])),
    Event([[0, 0, 330]] * 3, [1.0] * 3, tracks=([1.0] * 2, [[0, 0, 1]] * 2, [[0, 0, 320]] * 2, [-1, -1])),
]


@pytest.fixture(scope="module")
def with_tracks():
    settings = SMALL | {"max_epochs": 10, "learning_rate": 6e-3, "tracks": True}
    settings["network"] = NetworkConfig(k=6, scaling="hgcal")
    settings["training"] = TrainingConfig(select="last")  # three events are too few to choose an epoch
    train, validation = blobs_with_tracks(12, seed=1), blobs_with_tracks(3, seed=2)
    models = {}
    for head, readout in (("supcon", "ward"), ("oc", "condensation")):
        models[head] = MetricClusterer(head, readout, **settings).fit([*train, *STRANGE], validation=validation)
        models[head].tune(blobs_with_tracks(6, seed=4))
    return models


def test_tracks_are_clustered_with_the_hits_of_their_particle(with_tracks):
    events = blobs_with_tracks(10, seed=3)
    model = with_tracks["supcon"]
    right = []
    for event, labels, of_tracks in zip(events, model.predict(events), model.predict_tracks(events), strict=True):
        found = [np.bincount(event.particle_id[labels == c]).argmax() if c in labels else -1 for c in of_tracks]
        right.append(found == [0, 1])
    assert sum(right) >= 8


def test_clusters_of_tracks_alone_have_no_energy(with_tracks):
    events = [*blobs_with_tracks(3, seed=3), *STRANGE]
    for model in with_tracks.values():
        labels, energies = model.predict(events), model.predict_energies(events)
        assert any(
            t.max(initial=-1) > y.max(initial=-1) for t, y in zip(model.predict_tracks(events), labels, strict=True)
        )
        for y, e, shares in zip(labels, energies, model.predict_shares(events), strict=True):
            assert len(e) == len(shares) == y.max(initial=-1) + 1
        evaluate(events, labels, energies=energies)


def test_predictions_are_what_the_other_methods_give(with_tracks, tmp_path):
    events = [*blobs_with_tracks(2, seed=3), *STRANGE]
    for head, model in with_tracks.items():
        model.save(tmp_path / head)
        loaded = MetricClusterer.load(tmp_path / head)
        assert loaded.tracks
        several = model.predict_all(events, [model.readout])
        columns = model.transform(events), model.transform_tracks(events), model.predict(events)
        columns += model.predict_tracks(events), loaded.iter(events), *several[:1], several[1][model.readout]
        for event, one, *arrays in zip(events, model.iter(events), *columns, strict=True):
            z, z_tracks, labels, of_tracks, again, z_again, labels_again = arrays
            for a, b in ((one.z_hits, z), (one.z_hits, z_again), (one.z_hits, again.z_hits), (one.z_tracks, z_tracks)):
                np.testing.assert_array_equal(a, b)
            for a, b in ((one.labels, labels), (one.labels, labels_again), (one.track_labels, of_tracks)):
                np.testing.assert_array_equal(a, b)
            n_tracks = 0 if event.tracks is None else len(event.tracks)
            assert (z.shape, z_tracks.shape) == ((event.n_hits, 4), (n_tracks, 4))
            assert (labels.shape, of_tracks.shape) == ((event.n_hits,), (n_tracks,))
            both = np.concatenate([labels, of_tracks])
            assert set(both.tolist()) - {-1} == set(range(both.max(initial=-1) + 1))
            assert set(labels.tolist()) - {-1} == set(range(labels.max(initial=-1) + 1))
            if head == "supcon":
                np.testing.assert_allclose(np.linalg.norm(z_tracks, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("readout", ["density", "ward", "clue", "hdbscan"])
def test_every_readout_takes_tracks(with_tracks, readout):
    for model in with_tracks.values():
        m = copy.copy(model).set_params(readout=readout)
        for event, one in zip(STRANGE, m.iter(STRANGE), strict=True):
            assert len(one.labels) == event.n_hits


def test_a_model_with_tracks_takes_events_without(with_tracks):
    for a, b in zip(
        with_tracks["supcon"].iter(blobs_with_tracks(2, no_tracks=True)),
        with_tracks["supcon"].predict([permuted(e)[1] for e in blobs_with_tracks(2)]),
        strict=True,
    ):
        assert a.z_tracks.shape == (0, 4)
        order = np.random.default_rng(0).permutation(len(b))
        assert same_clusters(a.labels[order], b)


def test_order_of_hits_does_not_matter_with_tracks(with_tracks):
    (event,) = blobs_with_tracks(1, seed=9)
    order = np.random.default_rng(0).permutation(event.n_hits)
    hits = (a[order] for a in (event.position, event.energy, event.layer, event.particle_id))
    other = Event(*hits, tracks=event.tracks, particles=event.particles)
    for model in with_tracks.values():
        a, b = model.iter([event, other])
        np.testing.assert_array_equal(a.z_hits[order], b.z_hits)
        np.testing.assert_array_equal(a.z_tracks, b.z_tracks)
        both = (np.concatenate([x, y]) for x, y in ((a.labels[order], a.track_labels), (b.labels, b.track_labels)))
        assert same_clusters(*both)


def test_a_model_without_tracks_does_not_look_at_them(trained):
    for model in trained.values():
        a, b = (model.predict(blobs_with_tracks(2, no_tracks=left_out)) for left_out in (False, True))
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
        for call in (model.transform_tracks, model.predict_tracks):
            with pytest.raises(ValueError, match="tracks is False: this model knows hits alone"):
                call(blobs_with_tracks(1))


def test_no_refinement_with_tracks():
    with pytest.raises(ValueError, match="refine is 1, expected 0 with tracks=True"):
        MetricClusterer(tracks=True, refine=1).fit(blobs_with_tracks(2))


def test_tuning_with_tracks_scores_hits(with_tracks):
    events = blobs_with_tracks(4, seed=6)
    model = copy.deepcopy(with_tracks["supcon"])
    (result,) = model.tune(events, readouts=["clue"], grid={"link_distance": [0.2, 0.5]}).values()
    for row in result.table:
        model.thresholds_ = {"clue": {"link_distance": row["link_distance"]}}
        m = reconstruction_metrics(events, model.set_params(readout="clue").predict(events))
        for name in ("efficiency", "purity", "ratio"):
            assert row[name] == pytest.approx(m[name], nan_ok=True)
