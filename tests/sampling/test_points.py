"""Points of hits and tracks: features, order, labels, weights, distances."""

import itertools

import numpy as np
import pytest

from cmlflow import Event, simulate
from cmlflow.sampling import collate, collate_points, event_points, grid_symmetry, n_points, nearest_tracks
from cmlflow.sampling.inputs import TRACK_FEATURES
from cmlflow.sampling.points import FARTHEST


def random_event(seed=0, n=30, n_tracks=4, n_layers=5, scale=20.0, crossing=True):
    rng = np.random.default_rng(seed)
    layer = rng.integers(0, n_layers + 2, n)  # 0 and the last one: layers that the tracks know nothing of
    position = np.stack([*rng.normal(0, scale, (2, n)), 100 + 5.0 * layer], 1)
    direction = rng.normal([0, 0, 1], 0.2, (n_tracks, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    entry = np.column_stack([rng.normal(0, scale, (n_tracks, 2)), np.full(n_tracks, 100.0)])
    points = entry[:, None] + 5.0 * np.arange(n_layers)[:, None] * direction[:, None] + rng.normal(0, 1, (n_layers, 3))
    points[rng.random((n_tracks, n_layers)) < 0.4] = np.nan
    points[:1] = np.nan
    tracks = (rng.exponential(5, n_tracks), direction, entry, rng.integers(-1, 3, n_tracks))
    tracks += (points,) if crossing else ()
    ids = rng.integers(-1, 3, n)
    return Event(
        position, rng.exponential(size=n), layer, ids, tracks=tracks, particles=([0] * 3, [1.0] * 3, np.eye(3))
    )


def slow_nearest(event, farthest):
    """Loops over hits and tracks."""
    out = []
    for position, layer in zip(event.position.astype(float), event.layer, strict=True):
        best = (farthest, 0.0, -1)
        for t in range(0 if event.tracks is None else len(event.tracks)):
            anchor = event.tracks.entry[t].astype(float)
            crossing = event.tracks.crossing
            if crossing is not None and 1 <= layer <= crossing.shape[1] and not np.isnan(crossing[t, layer - 1, 0]):
                anchor = crossing[t, layer - 1].astype(float)
            d = event.tracks.direction[t].astype(float)
            distance = np.linalg.norm(np.cross(position - anchor, d)) / np.linalg.norm(d)
            best = min(best, (distance, -float(event.tracks.momentum[t]), t))
        out.append(best)
    return np.array([b[0] for b in out]), np.array([b[2] for b in out])


def slow_points(event, farthest=FARTHEST):
    """Rows of features, labels, weights and tracks, one point at a time."""
    distance, track = slow_nearest(event, farthest)
    rows = []
    for i in range(event.n_hits):
        p = 0.0 if track[i] < 0 else event.tracks.momentum[track[i]]
        features = [*event.position[i], event.energy[i], event.layer[i], 0, distance[i], p]
        rows.append((features, event.particle_id[i], event.energy[i], -1))
    tracks = event.tracks
    for t in range(0 if tracks is None else len(tracks)):
        places = []
        if tracks.crossing is not None:
            places = [(n + 1, c) for n, c in enumerate(tracks.crossing[t]) if not np.isnan(c[0])]
        places = places or [(0, tracks.entry[t])]
        for layer, place in places:
            p = tracks.momentum[t]
            rows.append(([*place, p, layer, 1, 0.0, p], tracks.particle[t], p / len(places), t))
    return tuple(np.array(list(column)) for column in zip(*rows, strict=True))


@pytest.mark.parametrize("crossing", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_equal_to_loops(seed, crossing):
    event = random_event(seed, crossing=crossing)
    points = event_points(event, tracks=True)
    x, particle, weight, track = slow_points(event)
    np.testing.assert_allclose(points.x, x, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(points.particle_id, particle)
    np.testing.assert_allclose(points.weight, weight, rtol=1e-6)
    np.testing.assert_array_equal(points.track, track)
    assert (points.n_hits, points.n_tracks) == (30, 4)
    assert len(points) == n_points(event, tracks=True) == len(x)
    assert points.x.dtype == points.weight.dtype == np.float32
    assert points.particle_id.dtype == points.track.dtype == np.int64


def test_simulated_jets_equal_to_loops():
    for event in simulate("jets", 3, seed=4):
        points = event_points(event, tracks=True)
        x, particle, weight, track = slow_points(event)
        np.testing.assert_allclose(points.x, x, rtol=1e-5, atol=1e-3)
        for found, wanted in ((points.particle_id, particle), (points.track, track)):
            np.testing.assert_array_equal(found, wanted)
        np.testing.assert_allclose(points.weight, weight, rtol=1e-6)
        total = np.bincount(track[track >= 0], weight[track >= 0])
        np.testing.assert_allclose(total, event.tracks.momentum, rtol=1e-5)


def test_hits_alone_are_the_features_of_the_event():
    event = random_event()
    points = event_points(event)
    np.testing.assert_array_equal(points.x, event.inputs())
    np.testing.assert_array_equal(points.weight, event.energy)
    assert (points.track == -1).all()
    assert (points.n_hits, points.n_tracks, n_points(event)) == (30, 0, 30)


@pytest.mark.parametrize("n_hits", [0, 3])
@pytest.mark.parametrize("tracks", [None, ([], np.empty((0, 3)), np.empty((0, 3)), [])])
def test_events_without_tracks(n_hits, tracks):
    event = Event(np.ones((n_hits, 3)), [1.0] * n_hits, tracks=tracks)
    points = event_points(event, tracks=True)
    assert points.x.shape == (n_hits, len(TRACK_FEATURES))
    assert (points.x[:, 5:] == [0, FARTHEST, 0]).all()
    assert (len(points), points.n_tracks, n_points(event, tracks=True)) == (n_hits, 0, n_hits)


def test_an_event_of_a_track_alone():
    event = Event(np.empty((0, 3)), [], tracks=([3.0], [[0, 0, 1]], [[1, 2, 100]], [-1]))
    points = event_points(event, tracks=True)
    assert points.x.tolist() == [[1, 2, 100, 3, 0, 1, 0, 3]]
    assert (points.particle_id.tolist(), points.track.tolist(), points.n_hits) == ([-1], [0], 0)


def test_the_distance_does_not_depend_on_how_far_along_the_track():
    direction = np.array([0.3, 0.0, 1.0]) / np.hypot(0.3, 1)
    across = np.array([0.0, 7.0, 0.0])
    position = [np.array([1.0, 2.0, 100.0]) + s * direction + across for s in (0, 50, 300)]
    event = Event(position, [1.0] * 3, tracks=([2.0], [direction], [[1, 2, 100]], [-1]))
    distance, track = nearest_tracks(event)
    np.testing.assert_allclose(distance, 7, rtol=1e-5)
    assert (track == 0).all()
    distance, track = nearest_tracks(event, farthest=7.0 - 1e-3)
    np.testing.assert_allclose(distance, 7, atol=2e-3)
    assert (track == -1).all()
    assert (event_points(event, tracks=True, farthest=6).x[:3, 5:] == [0, 6, 0]).all()


def test_of_equally_near_tracks_that_with_the_largest_momentum():
    for momentum in itertools.permutations((1.0, 5.0, 3.0)):
        tracks = (momentum, [[0, 0, 1]] * 3, [[0, 0, 100]] * 3, [-1] * 3)
        points = event_points(Event([[0, 4, 105]], [1.0], tracks=tracks), tracks=True)
        assert points.x[0, 6:].tolist() == [4, 5]


def test_order_of_hits_and_tracks_does_not_matter():
    event, order, turn = random_event(3), np.random.default_rng(1).permutation(30), [2, 0, 3, 1]
    t = event.tracks
    turned = tuple(a[turn] for a in (t.momentum, t.direction, t.entry, t.particle, t.crossing))
    position, ids = event.position[order], event.particle_id[order]
    other = Event(position, event.energy[order], event.layer[order], ids, tracks=turned, particles=event.particles)
    a, b = event_points(event, tracks=True), event_points(other, tracks=True)
    np.testing.assert_array_equal(a.x[:30][order], b.x[:30])
    for t, was in enumerate(turn):
        np.testing.assert_array_equal(b.x[b.track == t], a.x[a.track == was])


@pytest.mark.parametrize("number", range(8))
def test_symmetries_of_the_grid_move_points_and_keep_distances(number):
    event = random_event(2)
    a, b = event_points(event, tracks=True), event_points(grid_symmetry(event, number), tracks=True)
    x, y = a.x[:, :2] * [-1 if number & 1 else 1, -1 if number & 2 else 1], b.x[:, :2]
    np.testing.assert_array_equal(x[:, ::-1] if number & 4 else x, y)
    np.testing.assert_allclose(a.x[:, 2:], b.x[:, 2:], rtol=1e-6)
    np.testing.assert_array_equal(a.track, b.track)


def test_batches_put_each_event_s_tracks_after_its_hits():
    events = [random_event(1), Event(np.empty((0, 3)), []), random_event(2, n=5, n_tracks=1)]
    batch, points = collate(events, tracks=True), [event_points(e, tracks=True) for e in events]
    assert batch.ptr.tolist() == [0, *itertools.accumulate(len(p) for p in points)]
    for p, a, b in zip(points, batch.ptr[:-1], batch.ptr[1:], strict=True):
        np.testing.assert_array_equal(batch.x[a:b], p.x)
        np.testing.assert_array_equal(batch.particle_id[a:b], p.particle_id)
        np.testing.assert_array_equal(batch.weight[a:b], p.weight)
    np.testing.assert_array_equal(collate_points(points).x, batch.x)


def test_a_distance_must_be_positive():
    with pytest.raises(ValueError, match="farthest is 0, expected a positive distance in cm"):
        nearest_tracks(random_event(), farthest=0)
