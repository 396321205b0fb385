import numpy as np
import pytest

from cmlflow import Event
from cmlflow.plots.colours import cluster_colours, palette


def slow_colours(labels, event):
    """For each particle, its best cluster out of those that share most with it; the rest get further numbers."""
    n = max(labels, default=-1) + 1
    shared = [[0.0] * event.n_particles for _ in range(n)]
    for hit, particle, energy in zip(event.deposits.hit, event.deposits.particle, event.deposits.energy, strict=True):
        if labels[hit] >= 0:
            shared[labels[hit]][particle] += float(energy)
    favourite = [max(range(event.n_particles), key=lambda p, c=c: (shared[c][p], -p)) for c in range(n)]
    out = [-1] * n
    for p in range(event.n_particles):
        mine = [c for c in range(n) if favourite[c] == p and shared[c][p] > 0]
        if mine:
            out[max(mine, key=lambda c: (shared[c][p], -c))] = p
    further = iter(range(event.n_particles, event.n_particles + n))
    return [next(further) if c < 0 else c for c in out]


@pytest.mark.parametrize("seed", range(20))
def test_colours_agree_with_the_slow_twin(seed):
    rng = np.random.default_rng(seed)
    n, p, c = 40, int(rng.integers(1, 5)), int(rng.integers(1, 7))
    event = Event(rng.normal(size=(n, 3)), rng.exponential(size=n), particle_id=rng.integers(0, p, n))
    labels = rng.integers(-1, c, n)
    found = cluster_colours(labels, event)
    assert found.tolist() == slow_colours(labels.tolist(), event)
    assert len(set(found.tolist())) == len(found)


def test_a_correct_clustering_has_the_colours_of_the_particles():
    particle = np.repeat([2, 0, 1], 5)
    event = Event(np.arange(45).reshape(15, 3), np.ones(15), particle_id=particle)
    labels = np.repeat([0, 1, 2], 5)
    assert (cluster_colours(labels, event)[labels] == particle).all()


def test_further_clusters_of_a_particle_and_clusters_of_none_have_numbers_of_their_own():
    event = Event(np.zeros((4, 3)), [3.0, 2.0, 1.0, 1.0], particle_id=[0, 0, 1, -1])
    assert cluster_colours([1, 0, 0, 2], event).tolist() == [2, 0, 3]


@pytest.mark.parametrize(
    ("event", "labels"),
    [
        (Event(np.empty((0, 3)), []), []),
        (Event([[0, 0, 0]], [1.0], particle_id=[0]), [-1]),
    ],
    ids=["empty", "noise"],
)
def test_without_clusters_there_are_no_colours(event, labels):
    assert cluster_colours(labels, event).shape == (0,)


def test_labels_of_the_wrong_length_are_named():
    event = Event(np.zeros((2, 3)), [1.0, 1.0], particle_id=[0, 0], number=7)
    with pytest.raises(ValueError, match="event 7: labels have length 1, but the event has 2 hits"):
        cluster_colours([0], event)


def test_palette_has_as_many_different_colours_as_asked_for():
    colours = palette(60)
    assert len(set(colours)) == 60
    assert all(len(c) == 7 and int(c[1:], 16) >= 0 for c in colours)
    assert palette(3) == colours[:3]
    assert palette(0) == []
