"""Clusters and tracks to owners, against loops."""

import numpy as np
import pytest

from cmlflow.association import assign_tracks


def slow(labels, track_labels, z, z_tracks, energy, rounds, pull):
    """The same in loops: owner of each hit, number of neutral candidates."""
    neutral = sorted({int(c) for c in labels if c >= 0} - {int(c) for c in track_labels})
    centre = [np.array(t, float) for t in z_tracks]
    for turn in range(rounds + 1):
        owner = []
        for i, c in enumerate(labels):
            tracks = [t for t, k in enumerate(track_labels) if k == c]
            if c < 0:
                owner.append(-1)
            elif not tracks:
                owner.append(len(track_labels) + neutral.index(c))
            else:
                owner.append(min(tracks, key=lambda t, i=i: np.sum((centre[t] - z[i]) ** 2)))
        for t in range(len(track_labels) if turn < rounds else 0):
            mine = [i for i, o in enumerate(owner) if o == t]
            centre[t] = np.array(z_tracks[t], float)
            if mine:
                mean = sum(energy[i] * z[i] for i in mine) / sum(energy[i] for i in mine)
                centre[t] = pull * mean + (1 - pull) * z_tracks[t]
    return np.array(owner), len(neutral)


@pytest.mark.parametrize("rounds", [0, 1, 3])
@pytest.mark.parametrize("seed", range(8))
def test_as_in_loops(seed, rounds):
    rng = np.random.default_rng(seed)
    n, t = int(rng.integers(1, 40)), int(rng.integers(0, 6))
    labels, track_labels = rng.integers(-1, 6, n), rng.integers(-1, 8, t)
    z, zt, energy = rng.normal(size=(n, 3)), rng.normal(size=(t, 3)), rng.random(n)
    found = assign_tracks(labels, track_labels, z, zt, energy, rounds=rounds, pull=0.7)
    owner, n_neutral = slow(labels, track_labels, z, zt, energy, rounds, 0.7)
    np.testing.assert_array_equal(found.owner, owner)
    np.testing.assert_array_equal(found.track, [*range(t), *[-1] * n_neutral])
    np.testing.assert_array_equal(found.share.sum(axis=0), owner >= 0)
    order = rng.permutation(n)
    again = assign_tracks(labels[order], track_labels, z[order], zt, energy[order], rounds=rounds, pull=0.7)
    np.testing.assert_array_equal(again.owner, owner[order])


def test_by_hand():
    """Cluster 0 without a track, 1 with two, 2 with one; track 3 in a cluster without hits, track 4 in none; noise."""
    labels = [1, 1, 1, 0, 2, -1]
    z = [[0.1], [0.9], [0.6], [5.0], [7.0], [0.0]]
    found = assign_tracks(labels, [1, 1, 2, 4, -1], z, [[0.0], [1.0], [8.0], [0.0], [0.6]])
    np.testing.assert_array_equal(found.owner, [0, 1, 1, 5, 2, -1])
    np.testing.assert_array_equal(found.track, [0, 1, 2, 3, 4, -1])
    assert found.n_tracks == 5
    assert found.share[3].sum() == found.share[4].sum() == 0


def test_near_hits_move_the_place_of_a_track():
    """The second track lies beyond its own hits: from their mean, the hit in between is nearer to it."""
    z, anchors, energy = [[0.0], [1.2], [2.0], [2.0]], [[0.0], [2.6]], [10.0, 0.1, 1.0, 1.0]
    np.testing.assert_array_equal(assign_tracks([0] * 4, [0, 0], z, anchors, energy).owner, [0, 0, 1, 1])
    moved = assign_tracks([0] * 4, [0, 0], z, anchors, energy, rounds=1, pull=1.0)
    np.testing.assert_array_equal(moved.owner, [0, 1, 1, 1])
    still = assign_tracks([0] * 4, [0, 0], z, anchors, energy, rounds=1, pull=0.0)
    np.testing.assert_array_equal(still.owner, [0, 0, 1, 1])


def test_empty():
    nothing = assign_tracks([], [], np.zeros((0, 4)), np.zeros((0, 4)))
    assert len(nothing) == 0
    tracks = assign_tracks([], [0], np.zeros((0, 4)), np.zeros((1, 4)))
    assert len(tracks) == 1
    assert tracks.share.shape == (1, 0)
    one = assign_tracks([0], [], np.zeros((1, 4)), np.zeros((0, 4)))
    np.testing.assert_array_equal(one.track, [-1])
    np.testing.assert_array_equal(assign_tracks([-1], [], [[0.0]], []).owner, [-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0, -2]}, "labels of entry 1 is -2"),
        ({"labels": [0.5, 1]}, "labels has shape"),
        ({"z": [[0.0], [np.nan]]}, "z of entry 1 is not finite"),
        ({"z": [[0.0]]}, r"z has shape \(1, 1\), expected \(2, D\)"),
        ({"z_tracks": [[0.0, 1.0]]}, "z has 1 dimensions, but z_tracks 2"),
        ({"energy": [1.0]}, r"energy has shape \(1,\), expected \(2,\)"),
        ({"pull": 2.0}, "expected rounds of 0 or more and pull in 0..1"),
    ],
)
def test_errors(change, message):
    values = {"labels": [0, 0], "track_labels": [0], "z": [[0.0], [1.0]], "z_tracks": [[0.0]]}
    with pytest.raises(ValueError, match=message):
        assign_tracks(**(values | change))
