"""Axes, distances and pairs of hits and answers."""

import numpy as np
import pytest

from cmlflow import Event
from cmlflow.association import Ownership, assign_tracks
from cmlflow.association.features import (
    CHARGED,
    NAMES,
    NEUTRAL,
    NOBODY,
    REMNANT,
    axes,
    layer_groups,
    line_distances,
    make_pairs,
)
from cmlflow.event import vertex_of


def event(seed=0, n=12, t=2):
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(t, 3)) * 0.1 + [0, 0, 1]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return Event(
        rng.normal(size=(n, 3)) * 10 + [0, 0, 200],
        rng.uniform(0.1, 2, n),
        rng.integers(1, 4, n),
        tracks=(rng.uniform(1, 5, t), direction, direction * 150 / direction[:, 2:], np.full(t, -1)),
    )


def test_distance_from_a_line_by_hand():
    lateral, along = line_distances(
        np.array([[3.0, 4.0, 7.0], [0, 0, -1]]), np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]])
    )
    np.testing.assert_allclose(lateral, [[5.0, 0.0]])
    np.testing.assert_allclose(along, [[7.0, -1.0]])


def test_axes():
    e = event()
    owned = Ownership(np.array([0] * 4 + [2] * 5 + [-1] * 3), np.array([0, 1, -1, -1]))
    start, direction = axes(e, owned, (1.0, 2.0, 3.0))
    np.testing.assert_allclose(start[:2], e.tracks.entry)
    np.testing.assert_allclose(direction[:2], e.tracks.direction, rtol=1e-6)
    middle = np.average(e.position[4:9].astype(float), axis=0, weights=e.energy[4:9]) - [1, 2, 3]
    np.testing.assert_allclose(direction[2], middle / np.linalg.norm(middle))
    np.testing.assert_allclose(start[2:], [[1, 2, 3], [1, 2, 3]])


def test_vertex():
    e = event()
    np.testing.assert_array_equal(vertex_of(e, (1, 2, 3)), [1, 2, 3])
    np.testing.assert_allclose(vertex_of(e, "tracks"), [0, 0, 0], atol=1e-4)
    off = Event([[0, 0, 200]], [1.0], tracks=([1.0, 3.0], [[0, 0, 1]] * 2, [[4, 0, 150], [8, 4, 150]], [-1, -1]))
    np.testing.assert_allclose(vertex_of(off, "tracks"), [7, 3, 0])
    np.testing.assert_array_equal(vertex_of(Event([[0, 0, 1]], [1.0]), "tracks"), np.zeros(3))
    with pytest.raises(ValueError, match="vertex is 'beam', expected x, y, z"):
        vertex_of(e, "beam")
    with pytest.raises(ValueError, match=r"vertex has shape \(2,\)"):
        vertex_of(e, (1, 2))


def test_layer_groups():
    assert layer_groups([event()]) == (2, 3)
    many = Event(np.zeros((500, 3)), np.ones(500), np.arange(500) % 50 + 1)
    edges = layer_groups([many], most=5)
    np.testing.assert_array_equal(np.bincount(np.searchsorted(edges, many.layer, side="right")), [100] * 5)
    assert layer_groups([]) == ()


@pytest.mark.parametrize("seed", range(4))
def test_pairs_as_in_loops(seed):
    rng = np.random.default_rng(seed)
    e = event(seed, 14, 3)
    z, zt = rng.normal(size=(14, 2)), rng.normal(size=(3, 2))
    owned = assign_tracks(rng.integers(-1, 6, 14), rng.integers(-1, 6, 3), z, zt, e.energy)
    centre = []
    for c in range(len(owned)):
        mine = owned.owner == c
        mean = np.average(z[mine], axis=0, weights=e.energy[mine]) if mine.any() else None
        if c < 3:
            mean = zt[c] if mean is None else 0.8 * mean + 0.2 * zt[c]
        centre.append(mean)
    expected = []
    for h in range(14):
        d2 = [float(np.sum((z[h] - m) ** 2)) for m in centre]
        near = set(np.argsort(d2)[:2].tolist()) | ({int(owned.owner[h])} - {-1})
        expected += [(h, c, CHARGED if c < 3 else NEUTRAL, d2[c]) for c in sorted(near)]
        if 0 <= owned.owner[h] < 3:
            expected.append((h, len(owned), REMNANT, d2[owned.owner[h]]))
        expected.append((h, len(owned) + 1, NOBODY, 0.0))
    for simple in (True, False):
        pairs = make_pairs(e, owned, z, zt, simple=simple, nearest=2, track_weight=0.2, edges=(2, 3))
        found = list(zip(pairs.hit, pairs.answer, pairs.kind, strict=True))
        assert found == [row[:3] for row in expected]
        known = pairs.kind != NOBODY
        np.testing.assert_allclose(pairs.features[known, 1], np.array([r[3] for r in expected])[known], rtol=1e-6)
        assert np.isfinite(pairs.features).all()
        assert pairs.features.shape[1] == (2 if simple else len(NAMES) + 2)


def test_no_candidates_and_no_hits():
    lone = Event([[0, 0, 200.0]], [1.0])
    pairs = make_pairs(lone, Ownership(np.array([-1]), np.zeros(0, np.int64)), [[0.0]], np.zeros((0, 1)))
    assert pairs.kind.tolist() == [NOBODY]
    empty = Event(np.zeros((0, 3)), [], tracks=([1.0], [[0, 0, 1.0]], [[0, 0, 150.0]], [-1]))
    owned = assign_tracks([], [-1], np.zeros((0, 2)), np.zeros((1, 2)))
    assert len(make_pairs(empty, owned, np.zeros((0, 2)), np.zeros((1, 2))).hit) == 0
