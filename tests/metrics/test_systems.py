"""Several systems on the same events: intervals and comparisons against resampling by hand."""

import json
import math

import numpy as np
import pytest

from cmlflow.metrics.intervals import resamples
from cmlflow.metrics.systems import Sample, SystemFigures, compare_systems, residual_sample, sum_ratio


def samples(seed=0, n=60):
    rng = np.random.default_rng(seed)
    event = np.sort(rng.integers(0, 20, n))
    energy = rng.uniform(0, 10, n)
    found, wide = rng.random((2, n)) < [[0.9], [0.6]], rng.normal(0, [[0.1], [0.4]], (2, n))
    out = {}
    for k, name in enumerate(("good", "bad")):
        rate = Sample(event, energy, (found[k].astype(float), np.ones(n)), sum_ratio)
        out[name] = {"rate": rate, "sigma_eff": residual_sample("sigma_eff", wide[k], event, energy, ratio=True)}
    return out, event, energy, found, wide


def half_shortest(values):
    v = sorted(values)
    k = max(1, math.ceil(0.683 * len(v) - 1e-9))
    return min(v[i + k - 1] - v[i] for i in range(len(v) - k + 1)) / 2


def test_figures_and_comparisons_equal_the_twin():
    given, event, _, found, wide = samples()
    table = compare_systems(given, 20, against="bad", bootstrap=60, confidence=0.9, seed=4)
    rates, widths = ([], []), ([], [])
    for w in resamples(20, 60, seed=4):
        rows = [i for i, e in enumerate(event) for _ in range(w[e])]
        for k in range(2):
            rates[k].append(np.mean([found[k][i] for i in rows]))
            widths[k].append(half_shortest([wide[k][i] for i in rows]))
    expected = {
        "rate": (found[0].mean(), *np.quantile(rates[0], [0.05, 0.95])),
        "sigma_eff": (half_shortest(wide[0]), *np.quantile(widths[0], [0.05, 0.95])),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(list(table["good"][name]), value, rtol=1e-9)
    difference, ratio = np.subtract(*rates), np.array(widths[1]) / widths[0]
    versus = table.versus["good"]
    np.testing.assert_allclose(
        list(versus["rate_difference"]),
        [found[0].mean() - found[1].mean(), *np.quantile(difference, [0.05, 0.95])],
        rtol=1e-9, atol=1e-12,
    )  # fmt: skip
    np.testing.assert_allclose(
        list(versus["sigma_eff_ratio"]),
        [half_shortest(wide[1]) / half_shortest(wide[0]), *np.quantile(ratio, [0.05, 0.95])],
        rtol=1e-9,
    )
    assert set(table.versus) == {"good"}


def test_bins_hold_their_rows_only():
    given, _, energy, found, _ = samples()
    table = compare_systems(given, 20, bins=[0, 2, 5, 6], against="good", bootstrap=10)
    assert [(part.low, part.high) for part in table.by_energy] == [(0, 2), (2, 5), (5, 6)]
    for part in table.by_energy:
        inside = (energy >= part.low) & (energy < part.high)
        assert part.n == {"good": inside.sum(), "bad": inside.sum()}
        assert part["bad"]["rate"] == pytest.approx(found[1][inside].mean())
        assert part.versus["bad"]["rate_difference"].low <= part.versus["bad"]["rate_difference"].high
    far = compare_systems(given, 20, bins=[20, 30], bootstrap=0)
    assert far.by_energy == []


def test_a_system_against_itself_is_no_different():
    given, *_ = samples()
    table = compare_systems({"a": given["good"], "b": given["good"]}, 20, against="a", bootstrap=20)
    assert list(table.versus["b"]["rate_difference"]) == [0, 0, 0]
    assert list(table.versus["b"]["sigma_eff_ratio"]) == [1, 1, 1]


def test_one_event_and_none():
    row = Sample(np.zeros(2, int), np.ones(2), (np.ones(2), np.full(2, 4.0)), sum_ratio)
    nothing = row.chosen(np.zeros(2, bool))
    table = compare_systems({"a": {"x": row}, "b": {"x": nothing}, "c": {}}, 1, against="c", bootstrap=10)
    assert table["a"]["x"] == 0.25
    assert math.isnan(table["a"]["x"].low)
    assert math.isnan(table["b"]["x"])
    assert math.isnan(table.versus["a"]["x_difference"])
    assert compare_systems({}, 0).figures == {}
    assert str(compare_systems({}, 0)) == "figure\n------"


def test_views():
    given, *_ = samples()
    table = compare_systems(given, 20, bins=[0, 5, 10], against="bad", bootstrap=10)
    assert dict(table) == table.figures
    assert len(table) == 2
    head, rows = table.table(["rate"])
    assert head == ["figure", "good", "bad"]
    assert rows == [["rate", table["good"]["rate"], table["bad"]["rate"]]]
    head, rows = table.energy_table("rate_difference")
    assert head == ["energy [GeV]", "good", "bad"]
    assert [row[0] for row in rows] == ["0-5", "5-10"]
    assert rows[0][1] == table.by_energy[0].versus["good"]["rate_difference"]
    assert math.isnan(rows[0][2])
    text = str(table)
    assert "sigma eff ratio" in text
    assert "against bad" in text
    saved = json.loads(json.dumps(table.to_dict()))
    assert saved["figures"]["good"]["rate"][0] == table["good"]["rate"].value
    assert len(saved["by_energy"]) == 2
    again = SystemFigures.from_dict(saved)
    assert again.to_dict() == saved
    assert str(again) == text
    assert again.energy_table("rate")[1][0][1].low == table.by_energy[0]["good"]["rate"].low
    with pytest.raises(KeyError, match="'other' is none of the systems; there are good, bad"):
        table["other"]
    with pytest.raises(ValueError, match="against is 'other', expected one of good, bad"):
        compare_systems(given, 20, against="other")
    with pytest.raises(ValueError, match="rising edges"):
        compare_systems(given, 20, bins=[3, 1])
