"""Batches, splits and the symmetries of the grid."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cmlflow import Event, EventStore
from cmlflow.sampling import collate, grid_symmetry, pack, split_events


def event(n, seed=0, **more):
    rng = np.random.default_rng(seed)
    return Event(
        rng.normal(size=(n, 3)), rng.exponential(size=n), rng.integers(1, 9, n), rng.integers(-1, 3, n), **more
    )


def test_collate_puts_hits_one_after_the_other():
    events = [event(4), event(0), event(3, seed=1)]
    batch = collate(events)
    assert batch.ptr.tolist() == [0, 4, 4, 7]
    for e, a, b in zip(events, batch.ptr[:-1], batch.ptr[1:], strict=True):
        np.testing.assert_array_equal(batch.x[a:b], e.inputs())
        np.testing.assert_array_equal(batch.particle_id[a:b], e.particle_id)
        np.testing.assert_array_equal(batch.weight[a:b], e.energy)
    assert batch.ptr.dtype == torch.int64
    assert torch.equal(batch.to("cpu").x, batch.x)


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 80))
def test_pack_keeps_order_and_budget(sizes, budget):
    groups = pack(sizes, budget)
    assert [i for group in groups for i in group] == list(range(len(sizes)))
    for group in groups:
        assert sum(sizes[i] for i in group) <= budget or len([i for i in group if sizes[i]]) == 1
    for first, second in itertools.pairwise(groups):  # no group could have taken the next event
        assert sum(sizes[i] for i in first) + sizes[second[0]] > budget


def test_pack_needs_a_budget():
    with pytest.raises(ValueError, match="budget is 0, expected at least one hit"):
        pack([1], 0)


@given(st.integers(0, 40), st.integers(0, 5))
def test_split_is_disjoint_and_complete(n, seed):
    store = EventStore([Event([], [], number=i) for i in range(n)])
    parts = split_events(store, [0.5, 0.3, 0.2], seed)
    found = [e.number for part in parts for e in part]
    assert sorted(found) == list(range(n))
    assert [len(part) for part in parts] == np.diff(np.round(np.cumsum([0, 0.5, 0.3, 0.2]) * n)).astype(int).tolist()
    again = split_events(list(store), [0.5, 0.3, 0.2], seed)
    assert [e.number for part in again for e in part] == found


def test_split_refuses_more_than_the_whole():
    for fractions in ([0.8, 0.3], [-0.1, 0.5]):
        with pytest.raises(ValueError, match="fractions are"):
            split_events([event(1)], fractions)


def test_symmetries_are_the_eight_of_the_square():
    e = event(20, particles=([11] * 3, [50.0] * 3, np.eye(3)))
    seen = []
    for number in range(8):
        moved = grid_symmetry(e, number)
        seen.append(tuple(moved.position[:, :2].flatten().tolist()))
        np.testing.assert_array_equal(np.sort(np.abs(moved.position[:, :2])), np.sort(np.abs(e.position[:, :2])))
        np.testing.assert_array_equal(moved.position[:, 2], e.position[:, 2])
        np.testing.assert_array_equal(moved.particles.direction[2], [0, 0, 1])
        for name in ("energy", "layer", "particle_id", "purity"):
            np.testing.assert_array_equal(getattr(moved, name), getattr(e, name))
        cosines = e.position @ e.particles.direction.T
        np.testing.assert_allclose(moved.position @ moved.particles.direction.T, cosines, atol=1e-6)
    assert len(set(seen)) == 8
    np.testing.assert_array_equal(grid_symmetry(e, 0).position, e.position)


def test_symmetries_keep_deposits_and_names():
    e = event(3, deposits=([0, 0, 1], [0, 1, 2], [1.0, 2.0, 3.0]), detector="hgcal", number=5)
    moved = grid_symmetry(e, 6)
    np.testing.assert_array_equal(moved.fractions, e.fractions)
    assert (moved.has_deposits, moved.has_purity, moved.detector, moved.number) == (True, False, "hgcal", 5)


@pytest.mark.parametrize("number", range(8))
def test_symmetries_move_tracks_with_the_hits(number):
    e = event(6)
    there = ([1.0] * 6, e.position, e.position, [-1] * 6, np.stack([e.position, np.full((6, 3), np.nan)], axis=1))
    moved = grid_symmetry(event(6, tracks=there), number)
    for name in ("direction", "entry"):
        np.testing.assert_array_equal(getattr(moved.tracks, name), moved.position)
    np.testing.assert_array_equal(moved.tracks.crossing[:, 0], moved.position)
    assert np.isnan(moved.tracks.crossing[:, 1]).all()
    plain = grid_symmetry(event(6, tracks=there[:4]), number).tracks
    assert plain.crossing is None
    assert (plain.momentum.tolist(), plain.particle.tolist()) == ([1.0] * 6, [-1] * 6)


def test_unknown_symmetries_are_refused():
    with pytest.raises(ValueError, match=r"symmetry is 8, expected 0..7"):
        grid_symmetry(event(2), 8)
