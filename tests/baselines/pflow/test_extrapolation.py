"""Tracks among cells: places, rings, the matched topo-cluster and the first interaction, by hand and by loops."""

import math

import numpy as np
import pytest

from cmlflow.baselines.pflow import Matching
from cmlflow.baselines.pflow.extrapolation import distances, first_interaction, matched_clusters, rings, track_points
from cmlflow.event import Event
from cmlflow.simulation import slab_detector

HG = slab_detector("slab-hg")


def event_of(cells, tracks, number=3):
    """Hits at (layer, ix, iy, energy); tracks at (x, y) on the front face with direction (dx, dy, 1)."""
    layer, ix, iy, energy = np.reshape(cells, (-1, 4)).T
    layer = layer.astype(int)
    t = np.reshape(tracks, (-1, 4)).astype(float)
    direction = np.column_stack([t[:, 2:], np.ones(len(t))])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    entry = np.column_stack([t[:, :2], np.full(len(t), HG.front[0])])
    own = np.full(len(t), -1)
    return Event(
        HG.position(layer, ix, iy), energy, layer, tracks=(np.ones(len(t)), direction, entry, own),
        detector="slab-hg", number=number,
    )  # fmt: skip


def test_places_are_in_the_middle_of_the_layers():
    points = track_points(event_of([], [(1, -2, 0, 0), (0, 0, 0.1, 0.0)]), HG)
    assert points[0].tolist() == [[1, -2]] * 6
    np.testing.assert_allclose(points[1, :, 0], 0.1 * (HG.z - 150), rtol=1e-6)
    np.testing.assert_allclose(points[1, 0], [0.1 * 3 * 3.9 / 2, 0], rtol=1e-6)


def test_distances_by_hand():
    """Cell (32, 32) of 64 has its centre half a base cell from the axis; a track backwards reaches nothing."""
    event = event_of([(1, 32, 32, 1), (2, 16, 16, 1)], [(0, 0, 0, 0)])
    np.testing.assert_allclose(distances(event)[0], [125 / 128 * math.sqrt(2), 125 / 64 * math.sqrt(2)], rtol=1e-6)
    t = event.tracks
    back = Event(
        event.position, event.energy, event.layer, tracks=(t.momentum, -t.direction, t.entry, t.particle),
        detector="slab-hg",
    )  # fmt: skip
    assert np.isinf(distances(back)).all()
    assert matched_clusters(back, np.zeros(2, int), distances(back)).tolist() == [-1]
    with pytest.raises(ValueError, match="event 5: has no tracks"):
        distances(Event([], [], number=5, detector="slab-hg"))


def test_rings_are_as_wide_as_a_cell():
    distance = np.array([0, 1.9, 2.0, 3.8, 4.0, 15.5, 15.7, np.inf])
    assert rings(distance, np.ones(8, int), HG)[:7].tolist() == [0, 0, 1, 1, 2, 7, 8]
    assert rings(distance, np.full(8, 2), HG)[:7].tolist() == [0, 0, 0, 0, 1, 3, 4]
    far = rings(distance, np.full(8, 6), HG)
    assert far[:7].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert far[7] > 8


def test_the_nearest_topocluster_is_matched():
    """Two topo-clusters in ring 0, in different layers: that with more energy there; not a large one farther off."""
    cells = [(1, 32, 32, 1), (2, 16, 16, 2), (1, 34, 32, 50), (1, 60, 60, 9)]
    event = event_of(cells, [(1, 1, 0, 0), (56, 56, 0, 0), (-40, -40, 0, 0)])
    labels = np.array([0, 1, 2, 3])
    assert matched_clusters(event, labels, distances(event)).tolist() == [1, 3, -1]
    assert matched_clusters(event, np.array([0, -1, 2, 1]), distances(event)).tolist() == [0, 1, -1]
    assert matched_clusters(event, np.full(4, -1), distances(event)).tolist() == [-1] * 3
    assert matched_clusters(event_of(cells, []), labels, np.zeros((0, 4))).shape == (0,)


def test_reach():
    """Three cells off is ring 3."""
    event = event_of([(1, 35, 32, 1)], [(125 / 128, 125 / 128, 0, 0)])
    found = [matched_clusters(event, np.zeros(1, int), distances(event), Matching(reach=k))[0] for k in (2, 3)]
    assert found == [-1, 0]
    with pytest.raises(ValueError, match="reach is -1"):
        Matching(reach=-1)


def first_twin(energy, distance, layer, width):
    best, found, before, density_before = -math.inf, 0, 0.0, 0.0
    depth = 0.0
    for k in range(1, 7):
        side = HG.width / HG.n_cells[k - 1]
        volume = side * side * HG.thickness[k - 1]
        density = 0.0
        for e, d, j in zip(energy, distance, layer, strict=True):
            if j == k:
                density += e * math.exp(-d * d / (2 * width * width)) / volume
        length = HG.thickness[k - 1] / (37.5 if k <= 3 else 17.4)
        middle = depth + length / 2
        rise = (density - density_before) / (middle - before)
        if rise > best:
            best, found = rise, k
        depth, before, density_before = depth + length, middle, density
    return found


@pytest.mark.parametrize("seed", range(20))
def test_first_interaction_equals_the_twin(seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 30)
    cells = rng.exponential(1, n), rng.exponential(6, n), rng.integers(1, 7, n)
    assert first_interaction(*cells, HG, 5.25) == first_twin(*cells, 5.25)


def test_first_interaction_by_hand():
    """A line of minimum-ionising energy up to the shower; far energy does not count."""
    layer, distance = np.arange(1, 7), np.zeros(6)
    ionising = HG.thickness * 0.005
    for k in range(1, 7):
        energy = ionising.copy()
        energy[k - 1] += 3000 * HG.thickness[k - 1] / HG.n_cells[k - 1] ** 2
        assert first_interaction(energy, distance, layer, HG) == k
    distance[1] = 60
    energy = ionising + np.array([0, 1000, 0, 100, 0, 0])
    assert first_interaction(energy, distance, layer, HG) == 4
