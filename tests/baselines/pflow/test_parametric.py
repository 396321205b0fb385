"""Parametric subtraction: by hand, and ring by ring in a loop."""

import numpy as np
import pytest

import cmlflow
from cmlflow.baselines.pflow import (
    PionTemplates,
    Subtraction,
    parametric,
    parametric_candidates,
    pion_templates,
    topoclusters,
)
from cmlflow.baselines.pflow.extrapolation import distances, first_interaction, matched_clusters, rings
from cmlflow.baselines.pflow.parametric import ring_fractions
from cmlflow.baselines.pflow.templates import RINGS
from cmlflow.event import Event
from cmlflow.simulation import slab_detector

HG = slab_detector("slab-hg")
NONE = Subtraction(remnant=0)


def templates(response=1.0, spread=0.1):
    """Expected is `response` times the momentum; densest in ring 0 of layer 2, then 1, 2, ..., then others."""
    density = np.zeros((2, 6, 6, RINGS))
    density[:, :, 1] = np.exp2(-np.arange(RINGS))
    full = np.ones((2, 6))
    return PionTemplates(
        np.log([1.0, 10.0]), response * full, spread * full, density, np.ones((2, 6), int), "slab-hg"
    )  # fmt: skip


def event_of(cells, momenta, at=None, number=3):
    """Hits of layer 2 at (ix, iy, energy); straight tracks through the middle of cells `at` of layer 2."""
    ix, iy, energy = np.reshape(cells, (-1, 3)).T
    layer = np.full(len(ix), 2)
    n = len(momenta)
    points = HG.position(np.full(n, 2), *np.reshape([(16, 16)] * n if at is None else at, (-1, 2)).T)
    points[:, 2] = 150
    tracks = (momenta, np.tile([0.0, 0, 1], (n, 1)), points, np.full(n, -1))
    return Event(HG.position(layer, ix, iy), energy, layer, tracks=tracks, detector="slab-hg", number=number)


THREE_RINGS = [(16, 16, 3.0), (17, 16, 1.0), (16, 15, 3.0), (18, 16, 2.0), (16, 18, 2.0)]
"""Around cell (16, 16): 3 GeV in ring 0, 4 GeV in two cells of ring 1, 4 GeV in two cells of ring 2."""


def test_ring_one_and_half_of_the_next():
    """Of 5 GeV, 3 are in ring 0; the 2 missing are half of ring 1's 4, taken alike from both of its cells."""
    event = event_of(THREE_RINGS, [5.0])
    np.testing.assert_allclose(parametric(event, templates(), NONE), [[1, 0.5, 0.5, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(parametric(event, templates(0.6), NONE), [[1, 0, 0, 0, 0]], atol=1e-6)
    found = parametric_candidates(event, templates(), NONE)
    assert (found.track.tolist(), found.cluster.tolist(), len(found)) == ([0, -1], [0, 0], 2)
    np.testing.assert_allclose(found.share, [[1, 0.5, 0.5, 0, 0], [0, 0.5, 0.5, 1, 1]], atol=1e-6)
    np.testing.assert_allclose(found.energy, [5, 6], rtol=1e-6)


def test_less_energy_than_expected():
    """All of the topo-cluster is the track's, and nothing is neutral."""
    found = parametric_candidates(event_of(THREE_RINGS, [20.0]), templates(), NONE)
    assert found.share.tolist() == [[1] * 5]
    assert found.track.tolist() == [0]
    np.testing.assert_allclose(found.energy, [11])


def test_the_densest_ring_comes_first_wherever_it_is():
    t = templates()
    t.density[:, :, 1, 0] = 0.1
    got = parametric(event_of(THREE_RINGS, [5.0]), t, NONE)
    np.testing.assert_allclose(got, [[0, 1, 1, 0.25, 0.25]], atol=1e-6)


@pytest.mark.parametrize(("spread", "removed"), [(0.5, True), (0.3, False)])
def test_remnant(spread, removed):
    """9 of 11 GeV are expected and 2 are left: within 1.5 times 4.5 GeV they go too, within 1.5 times 0.9 GeV not."""
    event = event_of(THREE_RINGS, [9.0])
    got = parametric(event, templates(1.0, spread / 3 if not removed else spread))
    np.testing.assert_allclose(got, [[1, 1, 1, 1, 1] if removed else [1, 1, 1, 0.5, 0.5]], atol=1e-6)
    assert len(parametric_candidates(event, templates(1.0, spread / 3 if not removed else spread))) == 2 - removed


def test_remnant_at_its_limit():
    """2 GeV are left of 11; 1.5 standard deviations of 9 GeV times 0.1482 are 2.0007, of 0.1481 1.9994."""
    event = event_of(THREE_RINGS, [9.0])
    assert parametric(event, templates(1.0, 0.1482)).min() == 1
    assert parametric(event, templates(1.0, 0.1481)).min() < 0.6


def test_two_tracks_of_one_topocluster():
    """The harder one first: it takes its cell and half of its ring 1, the softer what is left, from its own middle.

    Cells 16..20 in a row, 4 GeV each but 1 GeV in the third. Track 1 (6 GeV, at 16): ring 0 has 4, ring 1 (cell 17) 4.
    Track 0 (5 GeV, at 20): ring 0 has 4, ring 1 (cell 19) 4.
    """
    row = [(16, 16, 4.0), (17, 16, 4.0), (18, 16, 1.0), (19, 16, 4.0), (20, 16, 4.0)]
    event = event_of(row, [5.0, 6.0], [(20, 16), (16, 16)])
    assert topoclusters(event).max() == 0
    got = parametric(event, templates(), NONE)
    np.testing.assert_allclose(got, [[0, 0, 0, 0.25, 1], [1, 0.5, 0, 0, 0]], atol=1e-6)
    softer_first = parametric(event_of(row[:2], [3.0, 6.0]), templates(), NONE)
    np.testing.assert_allclose(softer_first, [[0, 0.5], [1, 0.5]], atol=1e-6)
    # left are 6 GeV; one deviation of both is 0.7 of (5, 6) GeV in quadrature, 5.47 GeV; rests go to the nearest
    rest = parametric(event, templates(1.0, 0.7), Subtraction(remnant=1.2))
    np.testing.assert_allclose(rest.sum(axis=0), 1)
    np.testing.assert_allclose(rest[:, [1, 3]], [[0, 1], [1, 0]], atol=1e-6)
    assert parametric(event, templates(1.0, 0.7), Subtraction(remnant=1.0)).sum() < 3


def test_tracks_without_cells_and_cells_without_tracks():
    """A track far from everything takes nothing; a topo-cluster without tracks is neutral; noise is nobody's."""
    event = event_of([*THREE_RINGS, (2, 2, 1.0), (30, 30, 0.1)], [5.0, 7.0], [(16, 16), (28, 5)])
    got = parametric_candidates(event, templates(), NONE)
    assert got.track.tolist() == [0, 1, -1, -1]
    assert got.cluster.tolist() == [0, -1, 0, 1]
    np.testing.assert_allclose(got.share.sum(axis=0), [1, 1, 1, 1, 1, 1, 0], atol=1e-6)
    assert got.share[1].sum() == 0
    assert got.share[3].tolist() == [0, 0, 0, 0, 0, 1, 0]
    assert got.labels.tolist() == [0, 0, 0, 0, 0, 1, -1]
    assert parametric(event_of([], [5.0]), templates()).shape == (1, 0)
    assert len(parametric_candidates(event_of([], []), templates())) == 0
    lone = parametric_candidates(event_of(THREE_RINGS, []), templates())
    assert (lone.track.tolist(), lone.share.tolist()) == ([-1], [[1] * 5])


def twin(event, t, remnant):
    """The algorithm, one ring after another, one cell after another."""
    labels, distance = topoclusters(event), distances(event)
    matched = matched_clusters(event, labels, distance)
    left = [float(e) for e in event.energy]
    taken = np.zeros(distance.shape)
    sigma = {}
    for i in sorted(range(len(matched)), key=lambda i: -event.tracks.momentum[i]):
        if matched[i] < 0:
            continue
        cells = [j for j in range(event.n_hits) if labels[j] == matched[i]]
        full = event.energy[cells].astype(float)
        first = first_interaction(full, distance[i, cells], event.layer[cells], HG)
        wanted, sigma[i] = t.expected(float(event.tracks.momentum[i]), first)
        density = t.densities(float(event.tracks.momentum[i]), first)
        found = {}
        for j in cells:
            k = int(rings(distance[i, j : j + 1], event.layer[j : j + 1], HG)[0])
            found.setdefault((event.layer[j], k), []).append(j)

        def place(ring):
            return -density[ring[0] - 1, min(ring[1], RINGS - 1)], min(distance[i, j] for j in found[ring])  # noqa: B023

        for ring in sorted(found, key=place):
            energy = sum(left[j] for j in found[ring])
            part = min(1.0, wanted / energy) if energy > 0 else 0.0
            for j in found[ring]:
                taken[i, j] += part * left[j]
                left[j] *= 1 - part
            wanted -= part * energy
    for c in set(matched) - {-1}:
        cells, own = np.flatnonzero(labels == c), [i for i in sigma if matched[i] == c]
        if sum(left[j] for j in cells) <= remnant * sum(sigma[i] ** 2 for i in own) ** 0.5:
            for j in cells:
                taken[min(own, key=lambda i: distance[i, j]), j] += left[j]
    return taken / event.energy


@pytest.mark.parametrize("sample", ["rho", "jets"])
@pytest.mark.parametrize("remnant", [0, 1.5])
def test_equals_the_twin(sample, remnant):
    t = pion_templates()
    for event in cmlflow.simulate(sample, 4, seed=5):
        got = parametric(event, t, Subtraction(remnant=remnant))
        np.testing.assert_allclose(got, twin(event, t, remnant), atol=1e-6)
        assert got.sum(axis=0).max() <= 1 + 1e-9
        found = parametric_candidates(event, t, Subtraction(remnant=remnant))
        np.testing.assert_array_equal(found.share[: len(got)], got)
        np.testing.assert_allclose(found.share.sum(axis=0), 1)
        np.testing.assert_allclose(found.energy.sum(), event.energy.sum(dtype=float))


def test_order_of_hits_and_tracks():
    (event,) = cmlflow.simulate("jets", 1, seed=8)
    hit, track = np.random.default_rng(0).permutation(event.n_hits), np.arange(len(event.tracks))[::-1]
    tracks = (a[track] for a in (event.tracks.momentum, event.tracks.direction, event.tracks.entry))
    turned = Event(
        event.position[hit], event.energy[hit], event.layer[hit], tracks=(*tracks, np.full(len(track), -1)),
        detector=event.detector,
    )  # fmt: skip
    np.testing.assert_allclose(parametric(turned), parametric(event)[np.ix_(track, hit)], atol=1e-9)


def test_rings_without_energy():
    """A ring from which all has been taken is passed; with nothing wanted nothing is taken."""
    cells = (np.ones(3, int), np.arange(3), np.array([3.0, 2, 1]), np.arange(3.0))
    np.testing.assert_allclose(ring_fractions(np.array([0.0, 0, 2]), *cells, 1.0), [1, 1, 0.5])
    assert ring_fractions(np.array([1.0, 0, 2]), *cells, 0.0).tolist() == [0, 0, 0]
    empty = np.zeros(0)
    assert ring_fractions(empty, empty.astype(int), empty.astype(int), empty, empty, 1.0).shape == (0,)


def test_wrong_arguments():
    other = PionTemplates(**{**vars(templates()), "detector": "slab-lg"})
    with pytest.raises(ValueError, match="event 3: is of slab-hg, but the templates are of slab-lg"):
        parametric(event_of(THREE_RINGS, [1.0]), other)
    with pytest.raises(ValueError, match="event 3: has no tracks"):
        parametric(Event([], [], detector="slab-hg", number=3))
    with pytest.raises(ValueError, match="remnant is -1"):
        Subtraction(remnant=-1)
