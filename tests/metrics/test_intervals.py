"""Bootstrap intervals: their arithmetic, and that they cover what they claim."""

import json
import pickle

import numpy as np
import pytest

from cmlflow.metrics.intervals import Interval, ratio_interval, resamples, statistic_interval


def test_interval_is_a_number_that_prints_its_limits():
    x = Interval(0.9834, 0.9751, 0.99)
    assert x > 0.98
    assert float(x) == x.value == 0.9834
    assert str(x) == "0.983 [0.975, 0.990]"
    assert f"{x}" == str(x)
    assert tuple(x) == (0.9834, 0.9751, 0.99)
    again = pickle.loads(pickle.dumps(x))
    assert tuple(again) == tuple(x)
    assert json.dumps(Interval(float("nan")).to_list()) == "[null, null, null]"
    assert str(Interval(0.5)) == "0.500"
    assert str(Interval(float("nan"))) == "-"


def test_ratio_agrees_with_drawing_events_one_by_one():
    rng = np.random.default_rng(1)
    den = rng.integers(1, 9, 30).astype(float)
    num = rng.binomial(den.astype(int), 0.8).astype(float)
    w = resamples(30, 400, seed=3)
    assert (w.sum(axis=1) == 30).all()
    replicas = []
    for counts in w:
        drawn = [i for i, n in enumerate(counts) for _ in range(n)]
        replicas.append(sum(num[i] for i in drawn) / sum(den[i] for i in drawn))
    x = ratio_interval(num, den, w, confidence=0.9)
    np.testing.assert_allclose(list(x), [num.sum() / den.sum(), *np.quantile(replicas, [0.05, 0.95])], atol=1e-12)


def test_statistic_draws_the_rows_of_an_event_together():
    values, event = np.array([1.0, 2.0, 4.0, 8.0]), np.array([0, 0, 1, 2])
    w = resamples(3, 50, seed=0)
    replicas = [np.average(values, weights=c[event]) for c in w]
    x = statistic_interval(lambda n: float(np.average(values, weights=n)), event, w)
    np.testing.assert_allclose(list(x), [3.75, *np.quantile(replicas, [0.025, 0.975])], atol=1e-12)


def test_same_seed_same_interval():
    np.testing.assert_array_equal(resamples(20, 10, seed=4), resamples(20, 10, seed=4))
    assert (resamples(20, 10, seed=4) != resamples(20, 10, seed=5)).any()


def test_covers_the_truth_as_often_as_it_claims():
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(300):
        den = np.full(60, 5.0)
        num = rng.binomial(5, 0.7, 60).astype(float)
        x = ratio_interval(num, den, resamples(60, 200, seed=trial), confidence=0.9)
        covered += x.low <= 0.7 <= x.high
    assert 0.83 <= covered / 300 <= 0.95


def test_one_event_and_no_event_have_no_limits():
    w = resamples(1, 100)
    x = ratio_interval(np.array([1.0]), np.array([2.0]), w)
    assert x == 0.5
    assert np.isnan([x.low, x.high]).all()
    empty = ratio_interval(np.zeros(0), np.zeros(0), resamples(0, 100))
    assert np.isnan(list(empty)).all()
    assert np.isnan(ratio_interval(np.ones(3), np.ones(3), resamples(3, 0)).low)


def test_confidence_must_be_a_probability():
    with pytest.raises(ValueError, match="confidence is 95"):
        ratio_interval(np.ones(3), np.ones(3), resamples(3, 10), confidence=95)
