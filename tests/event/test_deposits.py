import numpy as np
import pytest

import cmlflow
from cmlflow.event import Event, particle_shares, tracked_particles
from cmlflow.event.deposits import origins


def test_parts_by_hand():
    deposits = [0, 0, 1, 2, 2], [0, 1, 1, -1, 2], [3.0, 1.0, 2.0, 1.0, 1.0]
    tracks = [5.0, 1.0], [[0, 0, 1]] * 2, [[0, 0, 0]] * 2, [0, -1]
    e = Event(np.zeros((4, 3)), [4, 2, 2, 1], deposits=deposits, tracks=tracks)
    np.testing.assert_allclose(origins(e), [[0.75, 0.25, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 0]])
    bare = Event(np.zeros((4, 3)), [4, 2, 2, 1], deposits=deposits)
    np.testing.assert_allclose(origins(bare), [[0, 1, 0], [0, 1, 0], [0, 0.5, 0.5], [0, 0, 0]])
    assert origins(Event(np.zeros((0, 3)), [])).shape == (0, 3)


@pytest.mark.parametrize("seed", range(5))
def test_shares_and_tracked_particles_equal_loops(seed):
    (event,) = cmlflow.simulate("jets", 1, seed=seed)
    share = np.zeros((event.n_particles, event.n_hits))
    for hit, particle, fraction in zip(event.deposits.hit, event.deposits.particle, event.fractions, strict=True):
        if particle >= 0:
            share[particle, hit] += fraction
    np.testing.assert_allclose(particle_shares(event), share, atol=1e-12)
    tracked = [p in event.tracks.particle for p in range(event.n_particles)]
    np.testing.assert_array_equal(tracked_particles(event), tracked)
