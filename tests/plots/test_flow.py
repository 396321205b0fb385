"""Figures of particle flow show the numbers they are given; reliability against a loop."""

import math

import numpy as np
import pytest

from cmlflow.metrics import Interval
from cmlflow.metrics.systems import compare_systems, residual_sample
from cmlflow.plots import bar_figure, energy_figure, reliability_figure, residual_figure
from cmlflow.plots.reliability import reliability


@pytest.fixture(scope="module")
def systems():
    rng = np.random.default_rng(0)
    energy, event = rng.uniform(10, 60, 200), np.arange(200)
    samples = {
        name: {f: residual_sample(f, rng.normal(0, width, 200), event, energy, ratio=f != "bias")
               for f in ("bias", "sigma_eff")}
        for name, width in (("good", 0.1), ("bad", 0.3))
    }  # fmt: skip
    return compare_systems(samples, 200, bins=[10, 30, 40, 60, 90], against="bad", bootstrap=20)


def drawn(figure):
    figure.savefig("/dev/null", format="svg")


def test_lines_and_bands_are_the_figures(systems):
    figure = energy_figure(systems, ("bias", "sigma_eff"))
    left, right = figure.axes
    lines = [line for line in right.lines if line.get_label() in systems]
    assert [line.get_label() for line in lines] == ["good", "bad"]
    for line, name in zip(lines, systems, strict=True):
        np.testing.assert_allclose(line.get_xdata(), [20, 35, 50])
        np.testing.assert_allclose(line.get_ydata(), [part[name]["sigma_eff"] for part in systems.by_energy])
    band = right.collections[0].get_paths()[0].vertices
    for part in systems.by_energy:
        own = part["good"]["sigma_eff"]
        inside = band[band[:, 0] == (part.low + part.high) / 2, 1]
        np.testing.assert_allclose([inside.min(), inside.max()], [own.low, own.high])
    assert right.get_ylim()[0] == 0
    assert left.get_ylabel() == "bias of the neutral residual"
    drawn(figure)


def test_comparisons_by_energy(systems):
    figure = energy_figure(systems, ["sigma_eff_ratio"], versus=True)
    (ax,) = figure.axes
    (line,) = [line for line in ax.lines if line.get_label() == "good"]
    expected = [part.versus["good"]["sigma_eff_ratio"] for part in systems.by_energy]
    np.testing.assert_allclose(line.get_ydata(), expected)
    drawn(figure)
    with pytest.raises(ValueError, match="'sigma' is not known; there are bias, sigma_eff"):
        energy_figure(systems, ["sigma"])


def test_residuals_are_shares_of_the_events_and_none_is_lost():
    figure = residual_figure({"a": [0.0, 0.1, -0.1, 50.0, np.nan], "none": [], "lost": [-1.0] * 4})
    (ax,) = figure.axes
    outlines = {str(p.get_label()).split("\n")[0]: p for p in ax.patches if "core σ" in str(p.get_label())}
    assert set(outlines) == {"a", "lost"}
    assert outlines["lost"].get_label().endswith("core σ 0.000, bias -1.000, tails 0.0 %")
    heights = outlines["a"].get_xy()
    assert heights[:, 1].max() == pytest.approx(0.25)
    assert heights[np.isclose(heights[:, 0], 2.0), 1].max() == pytest.approx(0.25)  # 50 is in the last bin
    drawn(figure)
    drawn(residual_figure({}))


def test_bars_have_their_heights_and_intervals():
    rows = {"a": {"f1": Interval(0.9, 0.85, 0.93), "weighted_f1": Interval(0.95)}, "b": {"f1": Interval(0.5, 0.4, 0.6)}}
    figure = bar_figure(rows)
    (ax,) = figure.axes
    bars = {c.get_label(): [b.get_height() for b in c] for c in ax.containers if len(c) and hasattr(c[0], "get_height")}
    np.testing.assert_allclose(bars["a"], [0.9, 0.95])
    assert bars["b"][0] == 0.5
    assert math.isnan(bars["b"][1])
    assert [t.get_text() for t in ax.texts] == ["0.900", "0.950", "0.500"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["F1", "F1, weighted with energy"]
    ends = [s[:, 1] for c in ax.collections for s in c.get_segments() if len(s)]
    np.testing.assert_allclose(ends[0], [0.85, 0.93])
    drawn(figure)
    drawn(bar_figure({}))


def test_reliability_equals_the_twin():
    rng = np.random.default_rng(1)
    p, e = rng.random(300), rng.exponential(size=300)
    t = np.clip(p**2 + rng.normal(0, 0.1, 300), 0, 1)
    p[:2], t[5] = (0.0, 1.0), np.nan
    rows = reliability(p, t, e, 5)
    for k in range(5):
        low, high = k / 5, (k + 1) / 5
        own = [i for i in range(300) if (low <= p[i] < high or (k == 4 and p[i] == 1)) and np.isfinite(t[i])]
        w = sum(e[i] for i in own)
        mean = sum(e[i] * t[i] for i in own) / w
        error = math.sqrt(sum((e[i] * (t[i] - mean)) ** 2 for i in own)) / w
        np.testing.assert_allclose(rows[k], [sum(e[i] * p[i] for i in own) / w, mean, error, w], rtol=1e-9)
    assert reliability([], [], None, 3).shape == (3, 4)
    with pytest.raises(ValueError, match="predicted shares have shape"):
        reliability([0.5], [0.5, 0.1])


def test_unbiased_shares_lie_on_the_diagonal():
    rng = np.random.default_rng(2)
    p = rng.random((2, 4000))
    true = (rng.random((2, 4000)) < p).astype(float)
    figure = reliability_figure({"fair": (p, true), "bold": (np.where(p > 0.5, 1.0, 0.0), true)})
    off = {h.get_label().split(": off by ")[0]: float(h.get_label().split("by ")[1]) for h in figure.axes[0].containers}
    assert off["fair"] < 0.02
    assert 0.2 < off["bold"] < 0.3
    drawn(figure)
    drawn(reliability_figure({}))
