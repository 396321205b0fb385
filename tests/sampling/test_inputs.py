import numpy as np
import pytest

from cmlflow.event import Event
from cmlflow.sampling import Inputs, collate, event_points, grid_symmetry

TIME, FIT = [5.0, np.nan], [[1.0, 2.0], [3.0, 4.0]]


def event(**features):
    tracks = [7.0], [[0, 0, 1]], [[3, 4, 100]], [0]
    return Event([[0, 0, 110], [1, 2, 120]], [2.0, 3.0], [1, 2], [0, 1], features=features, tracks=tracks, number=9)


def test_what_is_asked_for_or_everything():
    one = event(time=TIME, fit=FIT, nothing=[np.nan, np.nan])
    everything = Inputs.of(None, [one])
    assert everything.names == ("position", "energy", "layer", "time", "fit")  # not what is known of no hit
    assert everything.columns() == ("x", "y", "z", "energy", "layer", "time", "fit__0", "fit__1")
    assert everything.columns(tracks=True)[5:9] == ("kind", "distance", "momentum", "time")
    some = Inputs.of(["hit_fit", "position"], [one])
    assert (some.names, some.own, some.hidden, some.n_own) == (("fit", "position"), ("fit",), (3, 4), 2)
    assert Inputs.of(None, [event()]) == Inputs.of(None, []) == Inputs()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["time", "charge"], "event 9 has no feature 'charge'; it has position, energy, layer, time"),
        ([], "no features asked for"),
        ("time", "features is 'time', expected a sequence of names"),
        (["time", "time"], "expected different names"),
    ],
)
def test_names_that_are_wrong(names, message):
    with pytest.raises(ValueError, match=message):
        Inputs.of(names, [event(time=TIME)])


def test_features_are_the_last_columns_of_points():
    one = event(time=TIME, fit=FIT)
    inputs = Inputs.of(["energy", "fit", "time"], [one])
    own = np.array([[1, 2, 5], [3, 4, np.nan]], np.float32)
    np.testing.assert_array_equal(event_points(one, inputs=inputs).x, np.concatenate([one.inputs(), own], axis=1))
    with_tracks = event_points(one, tracks=True, inputs=inputs).x
    np.testing.assert_array_equal(with_tracks[:, :8], event_points(one, tracks=True).x)
    np.testing.assert_array_equal(with_tracks[:2, 8:], own)
    assert np.isnan(with_tracks[2:, 8:]).all()
    batch = collate([one, one[:1]], inputs=inputs)
    np.testing.assert_array_equal(batch.x[:, 5:], np.concatenate([own, own[:1]]))
    assert event_points(event(time=TIME)).x.shape == (2, 5)


def test_events_without_the_features_are_refused():
    inputs = Inputs.of(None, [event(time=TIME, fit=FIT)])
    with pytest.raises(ValueError, match="event 9 has no feature 'fit'; it has position, energy, layer, time"):
        event_points(event(time=TIME), inputs=inputs)
    with pytest.raises(ValueError, match="event 9: feature 'fit' has 1 columns, expected 2"):
        event_points(event(time=TIME, fit=TIME), inputs=inputs)


def test_symmetries_keep_features():
    one = event(time=TIME, fit=FIT)
    for number in range(8):
        turned = grid_symmetry(one, number)
        np.testing.assert_array_equal(turned.features["time"], one.features["time"])
        assert turned.replace(position=one.position, tracks=one.tracks) == one
