"""Points as arrays are clustered as the events they come from."""

import numpy as np
import pytest

import cmlflow
from cmlflow import MetricClusterer
from cmlflow.export.points import predict_points, track_numbers
from cmlflow.sampling import event_points

RNG = np.random.default_rng(6)
SAMPLES = {
    "compact-em-oc": cmlflow.simulate("compact-em-test", 2, seed=3, n_particles=2),
    "compact-em-best": cmlflow.simulate("compact-em-test", 2, seed=3, n_particles=2),
    "rho-oc": cmlflow.simulate("rho-test", 20, seed=3),
    "jets-supcon": cmlflow.simulate("jets-test", 10, seed=3),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_labels_are_those_of_predict_in_any_order(name):
    model, events = MetricClusterer.load(name), list(SAMPLES[name])
    points = [event_points(e, model.tracks).x for e in events]
    orders = [RNG.permutation(len(x)) for x in points]
    ptr = np.cumsum([0, *map(len, points)])
    z, labels = predict_points(model, np.concatenate([x[o] for x, o in zip(points, orders, strict=True)]), ptr)
    found = zip(events, orders, ptr[:-1], model.predict(events), model.transform(events), strict=True)
    for event, order, start, want, embedding in found:
        rows = start + np.argsort(order)[: event.n_hits]
        np.testing.assert_array_equal(labels[rows], want)
        np.testing.assert_allclose(z[rows], embedding, atol=1e-4)


def test_tracks_are_told_apart():
    for event in SAMPLES["jets-supcon"]:
        points = event_points(event, tracks=True)
        own = points.track >= 0
        x, track = points.x[own], points.track[own]
        order = RNG.permutation(len(x))
        number = track_numbers(x[order])
        assert len(np.unique(np.stack([number, track[order]], 1), axis=0)) == len(event.tracks)
    twins = np.zeros((5, 8), np.float32)
    twins[:, 3], twins[:, 4] = [5, 5, 5, 5, 7], [1, 1, 2, 2, 1]
    assert track_numbers(twins).tolist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize(
    ("x", "ptr", "message"),
    [
        (np.ones((4, 5)), [0, 3], r"ptr must rise from 0 to the number of points 4, got \[0, 3\]"),
        (np.ones((4, 8)), [0, 4], r"points has shape \(4, 8\), expected \(n, 5\): x, y, z, energy, layer"),
        (np.ones((4, 5)), [[0, 4]], r"ptr has shape \(1, 2\), expected \(n_events \+ 1,\)"),
        (np.full((4, 5), 1.5), [0, 2, 4], "event 0 has layers that are not whole numbers"),
        (np.full((4, 5), np.nan), [0, 4], "event 0"),
    ],
)
def test_points_that_make_no_event_are_refused(x, ptr, message):
    with pytest.raises(ValueError, match=message):
        predict_points(MetricClusterer.load("compact-em-oc"), x.astype(np.float32), np.array(ptr))


def test_points_of_tracks_that_are_not_finite_are_refused():
    x = np.full((2, 8), np.nan, np.float32)
    with pytest.raises(ValueError, match="event 1 has values that are not finite"):
        predict_points(MetricClusterer.load("rho-oc"), x, np.array([0, 0, 2]))
