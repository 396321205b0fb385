"""Pion templates: exact on events made by hand, and the packaged ones against new pions."""

import numpy as np
import pytest

from cmlflow.baselines.pflow import PionTemplates, SinglePion, pion_templates
from cmlflow.baselines.pflow.templates import PRIOR, RINGS, make_templates, ring_volumes
from cmlflow.event import Event
from cmlflow.simulation import SlabSample, simulate, slab_detector

HG = slab_detector("slab-hg")


def pion(momentum, energies, number=0, n_tracks=1):
    """Along x = y = 125 / 64: cells (16, 16) and (17, 16) of layer 2 are in rings 0 and 1; first interaction 2."""
    axis = np.array([125 / 64, 125 / 64, 150.0])
    cells = HG.position([2, 2], [16, 17], [16, 16])
    tracks = (np.full(n_tracks, momentum), np.tile([0.0, 0, 1], (n_tracks, 1)), np.tile(axis, (n_tracks, 1)))
    return Event(cells, energies, [2, 2], tracks=(*tracks, np.full(n_tracks, -1)), detector="slab-hg", number=number)


def test_fit_by_hand():
    """Pions of 2 and 8 GeV leave 0.4 or 0.6 of their momentum, three quarters of it in ring 0 of layer 2."""
    events = [pion(p, p * f * np.array([0.75, 0.25])) for p in (2, 8) for f in (0.4, 0.6) for _ in range(4)]
    nothing = Event([], [], tracks=([5.0], [[0, 0, 1]], [[0, 0, 150]], [-1]), detector="slab-hg")
    t = PionTemplates.fit([*events, nothing], bins=2)
    np.testing.assert_allclose(np.exp(t.log_momentum), [2, 8])
    assert t.count.tolist() == [[0, 8, 0, 0, 0, 0]] * 2
    np.testing.assert_allclose(t.response, 0.5)
    np.testing.assert_allclose(t.spread[:, 1], 0.1)
    for p in (2, 4, 8, 20, 0.5):
        np.testing.assert_allclose(t.expected(p, 2), (0.5 * p, 0.1 * p))
    side = 125 / 32
    volume = np.pi * side**2 * 16 * 3.9
    d = t.densities(8, 2)
    assert d.shape == (6, RINGS)
    np.testing.assert_allclose(d[1, :3], [8 * 0.5 * 0.75 / volume, 8 * 0.5 * 0.25 / (3 * volume), 0])
    assert np.count_nonzero(d) == 2
    np.testing.assert_allclose(ring_volumes(HG)[1, :2], [volume, 3 * volume])


def test_few_pions_lean_on_the_bin():
    """One pion of first interaction 5 among four of 2: its response is drawn to the mean of all, weight 5."""
    late = Event(
        HG.position([5], [8], [8]), [9.0], [5], tracks=([10.0], [[0, 0, 1]], [[1, 1, 150]], [-1]), detector="slab-hg"
    )
    t = PionTemplates.fit([pion(10, [3.0, 1.0])] * 4 + [late], bins=1)
    whole = (4 * 0.4 + 0.9) / 5
    assert t.count[0].tolist() == [0, 4, 0, 0, 1, 0]
    want = [whole, (4 * 0.4 + PRIOR * whole) / (4 + PRIOR), whole, whole, (0.9 + PRIOR * whole) / (1 + PRIOR), whole]
    np.testing.assert_allclose(t.response[0], want)


def test_wrong_events():
    with pytest.raises(ValueError, match="there are 1 single pions with a topo-cluster, expected at least 10"):
        PionTemplates.fit([pion(2, [1, 1])])
    with pytest.raises(ValueError, match="event 4 has 2 tracks"):
        PionTemplates.fit([pion(2, [1, 1], number=4, n_tracks=2)])
    coarse = Event([], [], tracks=([], [], [], []), detector="slab-lg")
    with pytest.raises(ValueError, match="detectors slab-hg, slab-lg, expected one"):
        PionTemplates.fit([pion(2, [1, 1]), coarse])
    with pytest.raises(ValueError, match="always has 1"):
        SinglePion().draw(np.random.default_rng(0), "train", 2)


def test_saved_and_read(tmp_path):
    t = PionTemplates.fit([pion(2, [1, 1])] * 10, bins=2)
    t.save(tmp_path / "t.npz")
    for name, value in vars(PionTemplates.load(tmp_path / "t.npz")).items():
        np.testing.assert_array_equal(value, getattr(t, name))


def test_packaged_are_true_of_other_pions():
    """Pions of the test split: their mean energy in the topo-cluster agrees with what is expected."""
    t = pion_templates("slab-hg")
    assert t.detector == "slab-hg"
    assert t.count.sum() > 3000
    pions = simulate(SlabSample("pions", SinglePion((3.0, 40.0)), split="test"), 60, seed=4)
    new = PionTemplates.fit(pions, bins=1)
    p = np.array([float(e.tracks.momentum[0]) for e in pions if len(e.tracks)])
    expected = np.mean([t.expected(x, 1)[0] / x for x in p])
    assert np.average(new.response[0], weights=new.count[0]) == pytest.approx(expected, abs=0.08)
    assert np.average(new.spread[0], weights=new.count[0]) == pytest.approx(0.2, abs=0.08)
    assert new.density[0, 0, 1, 0] > 3 * new.density[0, 0, 1, 2] > 0


def test_made_for_another_detector():
    t = make_templates("slab-lg", 30, seed=1)
    assert t.detector == "slab-lg"
    assert (t.response > 0).all()
    assert (t.response < 1.2).all()
