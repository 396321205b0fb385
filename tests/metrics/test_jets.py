"""Jets: by hand, against loops, and what perfect pattern recognition leaves."""

import math

import numpy as np
import pytest

import cmlflow
from cmlflow.event import Event
from cmlflow.metrics import compare_jets, jet_residual, true_candidates, true_jet
from cmlflow.metrics.truth import entering, true_momenta


@pytest.fixture(scope="module")
def events():
    return list(cmlflow.simulate("jets-test", 25, seed=3))


def test_residual_by_hand():
    """Two candidates of 3 and 4 along x and y: energy 7, momentum 5, mass sqrt(24), against 10 along x without mass."""
    found = jet_residual([[3, 0, 0, 3], [0, 4, 0, 4]], [10.0, 0, 0, 10])
    assert found.energy == pytest.approx(-0.3)
    assert found.momentum == pytest.approx(-0.5)
    assert found.mass == pytest.approx(math.sqrt(24))
    assert found.angle == pytest.approx(1000 * math.atan2(4, 3))
    assert found.true_energy == 10


def test_no_candidates_and_no_truth():
    lost = jet_residual(np.zeros((0, 4)), [0, 0, 3, 5])
    assert (lost.energy, lost.momentum, lost.mass) == (-1, -1, -4)
    assert math.isnan(lost.angle)
    assert jet_residual([], [0, 0, 3, 5])[:3] == lost[:3]
    assert all(math.isnan(x) for x in jet_residual([[0, 0, 1, 1]], np.zeros(4)))
    with pytest.raises(ValueError, match=r"shapes \(1, 3\) and \(4,\), expected \(C, 4\) and \(4,\)"):
        jet_residual([[0, 0, 1]], np.zeros(4))


def test_small_angles_are_exact():
    assert jet_residual([[1e-7, 0, 1, 1]], [0, 0, 1, 1]).angle == pytest.approx(1e-4)
    assert jet_residual([[0, 0, -1, 1]], [0, 0, 1, 1]).angle == pytest.approx(1000 * math.pi)


def test_true_jet_is_the_sum_of_what_enters(events):
    for event in events:
        total = np.zeros(4)
        for p in range(event.n_particles):
            if entering(event)[p]:
                total += true_momenta(event)[p]
        np.testing.assert_allclose(true_jet(event), total)
        assert true_jet(event)[3] <= event.particles.energy.sum() + 1e-3


def test_figures_are_those_of_the_rows(events):
    perfect = [true_candidates(e) for e in events]
    twice = [2 * c.momentum for c in perfect]
    table = compare_jets(events, {"perfect": perfect, "twice": twice}, against="twice", bins=[10, 30, 60], bootstrap=20)
    rows = [jet_residual(c.momentum, true_jet(e)) for e, c in zip(events, perfect, strict=True)]
    assert table["perfect"]["energy_median"] == pytest.approx(np.median([r.energy for r in rows]))
    assert table["perfect"]["mass_median"] == pytest.approx(np.median([r.mass for r in rows]))
    assert table["perfect"]["angle_mean"] == pytest.approx(np.mean([r.angle for r in rows]))
    assert table["twice"]["energy_sigma_eff"] == pytest.approx(2 * table["perfect"]["energy_sigma_eff"])
    np.testing.assert_allclose(list(table.versus["perfect"]["energy_sigma_eff_ratio"]), [2, 2, 2], rtol=1e-6)
    np.testing.assert_allclose(list(table.versus["perfect"]["angle_mean_ratio"]), [1, 1, 1], rtol=1e-6)
    low = [r.energy for r in rows if 10 <= r.true_energy < 30]
    assert table.by_energy[0]["perfect"]["energy_median"] == pytest.approx(np.median(low))
    assert table.by_energy[0].n["perfect"] == len(low)


def test_perfect_pattern_recognition_is_close(events):
    """Tracks measure the charged part; of the rest some is below the cell threshold: the response is below 1."""
    table = compare_jets(events, {"perfect": [true_candidates(e) for e in events]}, bootstrap=0)
    assert -0.25 < table["perfect"]["energy_median"] < 0.02
    assert table["perfect"]["energy_sigma_eff"] < 0.15
    assert table["perfect"]["angle_median"] < 25


def test_one_event_and_what_does_not_fit(events):
    e = events[0]
    alone = compare_jets(e, {"a": true_candidates(e).momentum})
    assert alone["a"]["energy_median"] == jet_residual(true_candidates(e).momentum, true_jet(e)).energy
    with pytest.raises(ValueError, match="there are 25 events, but candidates of a for 1 only"):
        compare_jets(events, {"a": [np.zeros((0, 4))]})


def test_order_of_candidates_does_not_matter():
    rng = np.random.default_rng(0)
    p = rng.normal([0, 0, 5, 9], size=(7, 4))
    np.testing.assert_allclose(jet_residual(p, p[0]), jet_residual(p[::-1], p[0]))


def test_events_without_particles():
    nothing = Event(np.zeros((0, 3)), [], tracks=([], np.zeros((0, 3)), np.zeros((0, 3)), []))
    assert true_jet(nothing).tolist() == [0, 0, 0, 0]
    table = compare_jets([nothing], {"a": [np.zeros((0, 4))]})
    assert all(math.isnan(x) for x in table["a"].values())
