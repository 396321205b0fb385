"""Topo-clusters: by hand, and against a search that visits one cell after another."""

import numpy as np
import pytest

import cmlflow
from cmlflow.baselines.pflow import topoclusters
from cmlflow.event import Event
from cmlflow.simulation import Selection, slab_detector


def event_of(cells, name="slab-hg"):
    """Hits at (layer, ix, iy, energy over noise)."""
    detector = slab_detector(name)
    layer, ix, iy, significance = np.reshape(cells, (-1, 4)).T
    layer = layer.astype(int)
    return Event(
        detector.position(layer, ix, iy), significance * detector.noise[layer - 1], layer, detector=name, number=7
    )


def twin(event, selection):
    """One seed after another, one cell after another."""
    detector = slab_detector(event.detector)
    n = event.n_hits
    half = np.array([detector.width / detector.n_cells[k - 1] / 2 for k in event.layer])
    level = [float(e) / detector.noise[k - 1] * (1 + 1e-6) for e, k in zip(event.energy, event.layer, strict=True)]

    def neighbours(i):
        for j in range(n):
            apart = np.abs(event.position[i, :2].astype(float) - event.position[j, :2]).max()
            if event.layer[i] == event.layer[j]:
                if j != i and apart < 5 * half[i]:  # two sides, and not three
                    yield j
            elif abs(event.layer[i] - event.layer[j]) == 1 and apart < half[i] + half[j] + 1e-3:
                yield j

    group = [-1] * n
    for seed in range(n):
        if level[seed] < selection.seed or group[seed] >= 0:
            continue
        group[seed] = seed
        queue = [seed]
        while queue:
            for j in neighbours(queue.pop()):
                if level[j] >= selection.grow and group[j] < 0:
                    group[j] = seed
                    queue.append(j)
    rim = {}
    for i in range(n):
        if group[i] < 0 and selection.edge <= level[i] < selection.grow:
            found = [(-level[j], j) for j in neighbours(i) if group[j] >= 0]
            if found:
                rim[i] = group[min(found)[1]]
    for i, g in rim.items():
        group[i] = g
    energy = {g: sum(float(e) for e, k in zip(event.energy, group, strict=True) if k == g) for g in group if g >= 0}
    rank = {g: r for r, g in enumerate(sorted(energy, key=lambda g: -energy[g]))}
    return [rank.get(g, -1) for g in group]


def test_two_apart_and_the_larger_first():
    """In one layer cells two apart are neighbours, three apart are not."""
    event = event_of([(1, 10, 10, 6), (1, 12, 8, 3), (1, 15, 10, 50), (1, 17, 12, 2)])
    assert topoclusters(event).tolist() == [1, 1, 0, 0]


def test_without_a_seed_there_is_none():
    assert topoclusters(event_of([(2, 5, 5, 4.9), (2, 6, 5, 4.9)])).tolist() == [-1, -1]
    assert topoclusters(event_of([(2, 5, 5, 5), (2, 6, 5, 4.9)])).tolist() == [0, 0]


def test_two_seeds_that_meet_are_one():
    """Seeds six cells apart, joined by cells of three sigma; without the middle one they are two."""
    chain = [(1, 10, 10, 9), (1, 12, 10, 3), (1, 14, 10, 3), (1, 16, 10, 8)]
    assert topoclusters(event_of(chain)).tolist() == [0] * 4
    assert topoclusters(event_of(chain[:1] + chain[2:])).tolist() == [1, 0, 0]


def test_a_cell_below_two_sigma_does_not_lead_on():
    """With a lower edge it joins, the more significant neighbour's, and does not merge; the one behind it stays out."""
    cells = [(1, 10, 10, 9), (1, 12, 10, 1), (1, 14, 10, 8), (1, 30, 30, 6), (1, 32, 30, 1.5), (1, 34, 30, 3)]
    assert topoclusters(event_of(cells)).tolist() == [0, -1, 1, 2, -1, -1]
    assert topoclusters(event_of(cells), Selection(edge=1)).tolist() == [0, 0, 1, 2, 2, -1]


def test_neighbours_of_other_layers_touch():
    """Cell 10 of 64 lies in cell 5 of 32, and touches 4; cell 11 touches 6."""
    for beside, together in ((3, False), (4, True), (5, True), (6, False)):
        labels = topoclusters(event_of([(1, 10, 10, 9), (2, beside, 5, 3)]))
        assert labels.tolist() == ([0, 0] if together else [0, -1]), beside
        assert topoclusters(event_of([(2, beside, 5, 9), (1, 10, 10, 3)])).tolist() == labels.tolist()
    assert topoclusters(event_of([(1, 11, 10, 9), (2, 6, 5, 3)])).tolist() == [0, 0]
    assert topoclusters(event_of([(2, 7, 7, 9), (3, 8, 6, 3)])).tolist() == [0, 0]
    assert topoclusters(event_of([(2, 7, 7, 9), (3, 9, 7, 3)])).tolist() == [0, -1]
    assert topoclusters(event_of([(1, 10, 10, 9), (3, 5, 5, 9)])).tolist() == [1, 0]


def test_at_the_border_nothing_is_a_neighbour_across_it():
    assert topoclusters(event_of([(1, 0, 0, 9), (1, 63, 63, 8), (1, 63, 0, 7)])).tolist() == [0, 1, 2]
    assert topoclusters(event_of([(6, 7, 7, 9), (5, 15, 15, 3), (5, 0, 15, 3)])).tolist() == [0, 0, -1]


@pytest.mark.parametrize("name", ["slab-hg", "slab-lg"])
@pytest.mark.parametrize("selection", [Selection(), Selection(6, 3, 0.5)])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_twin(name, selection, seed):
    rng = np.random.default_rng(seed)
    detector = slab_detector(name)
    cells = []
    for layer, n in enumerate(detector.n_cells, 1):
        few = min(n, 16)
        number = rng.choice(few * few, 12, replace=False)
        cells += [(layer, *divmod(int(i), few), s) for i, s in zip(number, rng.exponential(2.5, 12), strict=True)]
    event = event_of(cells, name)
    labels = topoclusters(event, selection)
    assert labels.tolist() == twin(event, selection)
    order = rng.permutation(event.n_hits)
    assert topoclusters(event_of(np.array(cells)[order], name), selection).tolist() == labels[order].tolist()


def test_every_read_out_cell_is_in_one():
    for event in cmlflow.simulate("jets", 5, seed=2):
        labels = topoclusters(event)
        assert labels.min() == 0
        energy = np.bincount(labels, event.energy)
        assert (np.diff(energy) <= 0).all()


def test_nothing_and_wrong():
    assert topoclusters(event_of([])).shape == (0,)
    with pytest.raises(ValueError, match="event 7: hits 0 and 1 are in the same cell of slab-hg"):
        topoclusters(event_of([(1, 3, 3, 5), (1, 3, 3, 6)]))
    with pytest.raises(ValueError, match="has no detector"):
        topoclusters(Event([[0, 0, 150]], [1.0], [1]))
    with pytest.raises(ValueError, match="no noise"):
        topoclusters(Event([[0, 0, 150]], [1.0], [1], detector="slab-base"))
    with pytest.raises(ValueError, match=r"layers 7\.\.7, but slab-hg has 1\.\.6"):
        topoclusters(Event([[0, 0, 150]], [1.0], [7], detector="slab-hg"))
    with pytest.raises(ValueError, match=r"position of hit 0 is .* within 62.5 cm"):
        topoclusters(Event([[70, 0, 150]], [1.0], [1], detector="slab-hg"))
