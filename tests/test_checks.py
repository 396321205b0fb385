"""Each warning says the cause that is there, and no other."""

import warnings

import numpy as np
import pytest

import cmlflow
from cmlflow import Event, MetricClusterer, check
from cmlflow.checks import CheckWarning, slopes, summary


@pytest.fixture(scope="module")
def model():
    return MetricClusterer.load("compact-em-supcon")


@pytest.fixture(scope="module")
def event():
    return cmlflow.simulate("compact-em-test", n_events=1, seed=1, n_particles=4)[0]


def kinds(found):
    return [f.kind for f in found]


def test_nothing_about_events_like_those_of_the_training(model):
    for sample in ("compact-em", "compact-em-test"):
        assert check(cmlflow.simulate(sample, n_events=5, seed=3), model) == []


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        (lambda e: e.replace(position=e.position * 10), "position", "positions are in mm: divided by 10"),
        (lambda e: e.replace(position=e.position / 100), "position", "positions are in m: divided by 0.01"),
        (
            lambda e: e.replace(position=e.position + np.array([0, 0, 900])),
            "position",
            r"z is 12\d\d.* cm, in the training 320",
        ),
        (lambda e: e.replace(energy=e.energy * 0.01), "energy", "the median hit energy is 0.0.*, in the training 2.7"),
        (lambda e: e.replace(layer=e.layer - 1), "layer", "layers count from 0, those of the training from 1: add 1"),
        (lambda e: e.replace(layer=None), "layer", "all hits are in layer 0, those of the training in 1 to 28"),
        (
            lambda e: e.replace(detector="slab-hg"),
            "detector",
            "events of 'slab-hg', but the model was trained on 'hgcal'",
        ),
        (lambda e: e[::20], "hits per particle", "particles have .* hits .median., those of the training 669"),
    ],
)
def test_what_is_unlike_the_training(model, event, change, kind, message):
    found = check(change(event), model)
    assert kinds(found) == [kind]
    with pytest.warns(CheckWarning, match=message):
        model.predict([change(event)])


def test_predict_warns_once_for_many_events(model, event):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.predict([event.replace(layer=event.layer - 1)] * 3)
    assert len(said) == 1


def one_hit_each(n=8):
    rng = np.random.default_rng(0)
    return [Event(rng.uniform(-20, 20, (30, 3)), np.ones(30), particle_id=np.arange(30)) for _ in range(n)]


def test_nothing_to_learn_from():
    assert "every particle has one hit" in str(check(one_hit_each())[0])
    single = [Event(e.position, e.energy, particle_id=np.zeros(30, int)) for e in one_hit_each()]
    assert "every event has one particle" in str(check(single)[0])
    both = [Event(e.position, e.energy, particle_id=np.arange(30) // 2) for e in one_hit_each()]
    assert check(both) == []
    with pytest.warns(CheckWarning, match="no two hits of the same particle"):
        MetricClusterer(max_epochs=1).fit(one_hit_each())


def barrel(seed=0):
    rng = np.random.default_rng(seed)
    angle, z = rng.uniform(-np.pi, np.pi, 60), rng.uniform(-100, 100, 60)
    return Event(np.c_[150 * np.cos(angle), 150 * np.sin(angle), z], np.ones(60), particle_id=np.arange(60) // 12)


def test_slopes_in_a_barrel_a_plane_and_on_two_sides():
    plane = barrel().replace(position=barrel().position * [1, 1, 0])
    sides = barrel().replace(position=np.c_[barrel().position[:, :2] / 10, np.sign(barrel().position[:, 2]) * 300])
    for one, message in ((barrel(), "slopes above 3"), (plane, "the plane z = 0"), (sides, "hits on either")):
        assert message in str(slopes([one], "prototype")[0])
        assert slopes([one], "supcon") == []
    with pytest.warns(CheckWarning, match="head='slopes' is built on x/z and y/z"):
        MetricClusterer("slopes").fit([barrel()])


def test_positions_far_from_the_origin():
    near = np.random.default_rng(0).uniform(-50, 50, (200, 3))
    assert check(Event(near + 1e4, np.ones(200))) == []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        far = Event(near + np.array([4.7e8, 6.1e8, 0]), np.ones(200))
    assert "subtract an origin first" in str(check(far)[0])


def test_directions_without_length():
    tracks = ([5.0, 5.0], [[0, 0, 1], [0, 0, 0]], [[0, 0, 100], [1, 0, 100]], [-1, -1])
    assert "direction of track 1 is (0, 0, 0)" in str(check(Event([[0, 0, 1]], [1.0], tracks=tracks))[0])


def test_summary_is_that_of_the_hits(event):
    found = summary([event])
    for name, column in zip(("x", "y", "z", "energy", "layer"), event.inputs().T, strict=True):
        np.testing.assert_allclose(found["ranges"][name], np.quantile(column, [0.001, 0.5, 0.999]), rtol=1e-4)
    counts = [int((event.particle_id == p).sum()) for p in range(event.n_particles)]
    assert found["hits_per_particle"] == np.median(counts)
    assert summary([]) == {}


def test_saved_with_the_model(tmp_path):
    events = [barrel(seed) for seed in range(3)]
    fitted = MetricClusterer(max_epochs=1).fit(events)
    fitted.save(tmp_path / "m")
    again = MetricClusterer.load(tmp_path / "m")
    assert again.seen_ == fitted.seen_
    assert kinds(check(barrel(9).replace(position=barrel(9).position * 10), again)) == ["position"]
