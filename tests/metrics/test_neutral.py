"""Neutral energy: residuals, their core and tails, barycentres; by hand and against slow twins."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cmlflow.event import Event
from cmlflow.metrics import (
    barycentre_distance,
    neutral_residual,
    neutral_scores,
    residual_figures,
    residuals_by_energy,
    sigma_eff,
)
from cmlflow.metrics.intervals import resamples
from cmlflow.metrics.neutral import TRUNCATED, core


def test_residual_by_hand():
    """Energies 4, 2, 2; true neutral 1 + 0 + 2 = 3, predicted 2 + 1 + 0 = 3 at first, then 6."""
    energy, true = [4.0, 2.0, 2.0], [0.25, 0, 1]
    assert neutral_residual([0.5, 0.5, 0], true, energy) == 0
    assert neutral_residual([1, 1, 0], true, energy) == 1
    assert neutral_residual([0, 0, 0], true, energy) == -1
    assert neutral_residual([1, 1, 0], true, energy, mask=[1, 0, 0]) == 3
    assert math.isnan(neutral_residual([1, 1, 0], [0, 0, 0], energy))
    assert math.isnan(neutral_residual([], [], []))
    with pytest.raises(ValueError, match=r"have shapes \(1,\), \(2,\), \(2,\), expected one length"):
        neutral_residual([1], [0, 1], [1, 1])
    with pytest.raises(ValueError, match=r"mask has shape \(1,\)"):
        neutral_residual([1, 1], [0, 1], [1, 1], [True])


def test_barycentres_by_hand():
    """True barycentre at x = 1, predicted at (1, 3): three apart; the cell elsewhere does not count."""
    position = [[0, 0, 5], [2, 0, 5], [1, 6, 5], [99, 0, 7]]
    true, predicted, energy = [1, 1, 0, 1], [0.5, 0.5, 1.0, 1], [2.0, 2.0, 2.0, 50.0]
    assert barycentre_distance(position, predicted, true, energy, mask=[1, 1, 1, 0]) == pytest.approx(3.0)
    assert math.isnan(barycentre_distance(position, [0] * 4, true, energy))
    assert math.isnan(barycentre_distance(position, predicted, true, energy, mask=[0] * 4))
    with pytest.raises(ValueError, match=r"position has shape \(4, 3\), expected \(3, 3\)"):
        barycentre_distance(position, [1] * 3, [1] * 3, [1] * 3)


@given(st.integers(0, 2**31), st.integers(1, 20))
def test_barycentre_equals_the_twin(seed, n):
    rng = np.random.default_rng(seed)
    x, p, t, e = rng.normal(size=(n, 3)), rng.random(n), rng.random(n), rng.random(n) + 0.1
    centres = []
    for part in (p, t):
        total = sum(part[i] * e[i] for i in range(n))
        centres.append([sum(part[i] * e[i] * x[i, k] for i in range(n)) / total for k in range(3)])
    assert barycentre_distance(x, p, t, e) == pytest.approx(math.dist(*centres), abs=1e-12)


def test_scores_of_an_event():
    """One track (particle 0), one neutral (1); a noise cell in which nothing is true."""
    event = Event(
        [[0, 0, 1], [1, 0, 1], [3, 0, 1], [0, 0, 2]],
        [4.0, 2.0, 1.0, 1.0],
        [2, 2, 2, 3],
        deposits=([0, 0, 1], [0, 1, 1], [3.0, 1.0, 2.0]),
        tracks=([5.0], [[0, 0, 1]], [[0, 0, 0]], [0]),
    )
    perfect = neutral_scores(event, [[0.75, 0, 1, 1]])
    assert perfect == pytest.approx({"residual": 0, "barycentre": 0, "energy": 3})
    always0 = neutral_scores(event, np.zeros((1, 4)))
    assert always0["residual"] == pytest.approx((8 - 3) / 3)
    assert always0["barycentre"] == pytest.approx(abs(5 / 7 - 2 / 3))
    assert neutral_scores(event, np.zeros((1, 4)), mask=[0, 1, 0, 0]) == {"residual": 0, "barycentre": 0, "energy": 2}
    assert math.isnan(neutral_scores(event, np.ones((1, 4)), mask=[0, 0, 1, 1])["energy"])
    with pytest.raises(ValueError, match=r"predicted has shape \(4,\), expected \(1, 4\)"):
        neutral_scores(event, np.zeros(4))


def core_slowly(values):
    mean, sigma = statistics.median(values), sigma_eff(values)
    for _ in range(200):
        inside = [v for v in values if mean - 2 * sigma <= v <= mean + 2 * sigma]
        if not inside:
            break
        new = sum(inside) / len(inside)
        width = math.sqrt(sum((v - new) ** 2 for v in inside) / len(inside)) / TRUNCATED
        if abs(new - mean) + abs(width - sigma) <= 1e-9 * (abs(mean) + sigma):
            break
        mean, sigma = new, width
    return mean, sigma


def test_correction_is_that_of_a_gaussian_cut_at_two():
    assert pytest.approx(stats.truncnorm(-2, 2).std(), rel=1e-9) == TRUNCATED


@pytest.mark.parametrize("seed", range(8))
def test_core_equals_the_twin(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0.1, 0.2, 150), rng.normal(0.5, 1.5, 30)]).tolist()
    np.testing.assert_allclose(core(values), core_slowly(values), rtol=1e-6)
    times = rng.integers(0, 3, 180)
    drawn = [v for v, n in zip(values, times, strict=True) for _ in range(n)]
    np.testing.assert_allclose(core(values, times), core_slowly(drawn), rtol=1e-6)
    shifted = core(np.array(values) + 1000.0)
    np.testing.assert_allclose(shifted, [1000 + core(values)[0], core(values)[1]], rtol=1e-6)


def test_core_of_a_gaussian_is_its_width_and_tails_do_not_widen_it():
    rng = np.random.default_rng(0)
    gaussian = rng.normal(0.05, 0.3, 40000)
    mean, sigma = core(gaussian)
    assert abs(mean - 0.05) < 0.01
    assert abs(sigma / 0.3 - 1) < 0.02
    tailed = np.concatenate([gaussian, rng.uniform(2, 6, 1200)])
    assert abs(core(tailed)[1] / 0.3 - 1) < 0.03
    assert np.std(tailed) > 0.6
    figures = residual_figures(tailed, bootstrap=0)
    assert abs(figures["tails"] - (1200 + 0.0027 * 40000) / 41200) < 0.002
    assert abs(figures["bias"] - 0.05) < 0.01


def test_core_of_few_and_of_equal_values():
    assert np.isnan(core([])).all()
    assert core([0.3]) == (0.3, 0)
    assert core([0.3] * 5) == pytest.approx((0.3, 0))
    assert core([5.0, 0.0], [0, 3]) == (0, 0)


def test_figures_with_intervals():
    rng = np.random.default_rng(2)
    value, event = rng.normal(0, 1, 40), np.repeat(np.arange(20), 2)
    value[5] = np.nan
    figures = residual_figures(value, event, bootstrap=40, confidence=0.9, seed=3)
    kept, number = np.delete(value, 5), np.delete(event, 5)
    drawn = [np.repeat(kept, n[number]) for n in resamples(20, 40, seed=3)]
    for name, twin in (("median", np.median), ("sigma_eff", sigma_eff), ("bias", lambda v: core_slowly(v)[0]),
                       ("core_sigma", lambda v: core_slowly(v)[1])):  # fmt: skip
        limits = np.quantile([twin(d.tolist()) for d in drawn], [0.05, 0.95])
        np.testing.assert_allclose(list(figures[name]), [twin(kept.tolist()), *limits], rtol=1e-6, atol=1e-9)
    assert all(math.isnan(x) for x in residual_figures([]).values())
    with pytest.raises(ValueError, match="expected one number for each"):
        residual_figures([1.0, 2.0], [1])


def test_figures_by_energy():
    residual, energy = np.array([0.0, 0.2, np.nan, 1.0, 9.0]), np.array([3.0, 4.0, 4.0, 15.0, 99.0])
    rows = residuals_by_energy(residual, energy, [2, 5, 10, 15], bootstrap=0, event=[0, 1, 2, 3, 4])
    assert [(r["low"], r["high"], r["n"]) for r in rows] == [(2, 5, 2), (10, 15, 1)]
    assert rows[0]["median"] == pytest.approx(0.1)
    assert rows[1]["bias"] == 1
