"""Perfect pattern recognition: what it has, worked out by hand and as loops."""

import numpy as np
import pytest

import cmlflow
from cmlflow.detectors import slab_detector
from cmlflow.event import Event, vertex_of
from cmlflow.metrics import true_candidates
from cmlflow.metrics.truth import entering, true_momenta
from cmlflow.particles import MASS, neutral_classes
from cmlflow.simulation.decays import invariant_mass


def shared_event():
    """A track of a negative pion (0), one without truth, a photon (1), a neutron (2), and one that is not seen (3)."""
    return Event(
        [[0, 0, 200], [0, 0, 200], [3, 4, 200]],
        [2.0, 1.0, 5.0],
        [1, 1, 2],
        deposits=([0, 0, 1, 2, 2], [0, 1, 1, 2, -1], [1.5, 0.5, 1.0, 4.0, 1.0]),
        particles=([-211, 22, -2112, 130], [3.0, 2.0, 6.0, 1.0], [[0, 0, 1]] * 4),
        tracks=([2.9, 1.0], [[0, 0, 1], [0, 0.6, 0.8]], [[0, 0, 150], [0, 1, 150]], [0, -1]),
    )


def test_worked_example():
    c = true_candidates(shared_event())
    np.testing.assert_allclose(c.share, [[0.75, 0, 0], [0, 0, 0], [0.25, 1, 0], [0, 0, 0.8]])
    assert c.pdg_id.tolist() == [-211, 211, 22, 2112]
    assert c.track.tolist() == [0, 1, -1, -1]
    np.testing.assert_allclose(c.momentum[0], [0, 0, 2.9, np.hypot(2.9, MASS[211])], rtol=1e-6)
    np.testing.assert_allclose(c.momentum[1, :3], [0, 0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(c.momentum[2], [0, 0, 1.5, 1.5])
    way = np.array([3, 4, 200]) / np.linalg.norm([3, 4, 200])
    np.testing.assert_allclose(c.momentum[3], [*(4 * way), 4])


def test_calibration_is_that_of_another_system():
    def doubled(event, share, pdg_id):
        return 2 * (share @ event.energy) * (pdg_id == 22)

    c = true_candidates(shared_event(), doubled, vertex=[0, 0, 100])
    assert c.momentum[2:, 3].tolist() == [3, 0]
    np.testing.assert_allclose(c.momentum[0, 3], np.hypot(2.9, MASS[211]), rtol=1e-6)


def test_events_with_little_in_them():
    empty = Event(np.zeros((0, 3)), [], tracks=([], np.zeros((0, 3)), np.zeros((0, 3)), []))
    c = true_candidates(empty)
    assert (c.share.shape, c.momentum.shape, c.pdg_id.shape, c.track.shape) == ((0, 0), (0, 4), (0,), (0,))
    alone = Event(np.zeros((0, 3)), [], tracks=([1.0], [[0, 0, 1]], [[0, 0, 1]], [-1]))
    assert true_candidates(alone).share.shape == (1, 0)
    noise = Event([[0, 0, 1]], [1.0], tracks=([], np.zeros((0, 3)), np.zeros((0, 3)), []))
    assert true_candidates(noise).share.shape == (0, 1)
    with pytest.raises(ValueError, match="event 3: has no tracks"):
        true_candidates(Event([[0, 0, 1]], [1.0], number=3))


def test_momenta_have_the_masses_of_their_particles():
    p = true_momenta(shared_event())
    np.testing.assert_allclose(invariant_mass(p), [MASS[211], 0, MASS[2112], MASS[130]], atol=1e-6)
    np.testing.assert_allclose(p[:, 3], [3, 2, 6, 1])
    odd = Event([[0, 0, 1]], [1.0], particle_id=[0], particles=([15], [4.0], [[1, 0, 0]]))
    np.testing.assert_allclose(true_momenta(odd), [[4, 0, 0, 4]])


def test_who_enters_is_who_has_a_track():
    """In the sample of pions from the corners of a square: the charged one enters where it has a track."""
    for event in cmlflow.simulate("pi-gun-2-20", 20, seed=5):
        start = vertex_of(event)
        np.testing.assert_allclose(np.abs(start[:2]), 10, atol=1e-4)
        assert start[2] == 0
        np.testing.assert_array_equal(entering(event), entering(event, start))
        assert entering(event)[event.tracks.particle].all()


def test_entering_as_a_loop():
    rng = np.random.default_rng(0)
    slab = slab_detector("slab-hg")
    d = rng.normal(size=(50, 3)) * [0.3, 0.3, 1]
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    event = Event([[0, 0, 160]], [1.0], [1], [0], particles=(np.full(50, 22), np.ones(50), d), detector="slab-hg")
    half, front = slab.width / 2, slab.front[0]
    for i, inside in enumerate(entering(event)):
        x, y, z = event.particles.direction[i].astype(float)
        assert inside == (z > 0 and abs(x / z * front) < half and abs(y / z * front) < half)
    assert 5 < entering(event).sum() < 45
    assert not entering(event, [900.0, 0, 0]).all()
    elsewhere = Event([[0, 0, 160]], [1.0], [1], [0], particles=(np.full(50, 22), np.ones(50), d))
    assert entering(elsewhere).all()
    assert vertex_of(elsewhere).tolist() == [0, 0, 0]


def test_classes():
    assert neutral_classes([22, -11, 111, 2112, -2112, 130, 0]).tolist() == [22, 22, 22, 2112, 2112, 2112, 2112]
