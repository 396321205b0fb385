"""Core, bias and tails of residuals, quantiles of distances; against slow twins."""

import math
import statistics

import numpy as np
import pytest
from scipy import stats

from cmlflow.metrics import residual_figures, residuals_by_energy, sigma_eff
from cmlflow.metrics.intervals import resamples
from cmlflow.metrics.residuals import DISTANCES, TRUNCATED, core, statistic_of


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


def test_figures_of_distances_by_hand():
    value, times = np.array([1.0, 2.0, 3.0, 10.0]), np.array([1, 2, 1, 0])
    found = {name: statistic_of(name, value)(times) for name in DISTANCES}
    assert found == pytest.approx({"mean": 2.0, "median": 2.0, "quantile_68": 2.04})
    assert all(math.isnan(statistic_of(name, value)(0 * times)) for name in DISTANCES)
