"""Comparisons of clusterings against evaluate, and against a loop over the same resamples."""

import csv

import numpy as np
import pytest

from cmlflow import Event, compare, evaluate
from cmlflow.metrics.intervals import resamples


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(0)
    events, labels = [], {"good": [], "bad": [], "one": []}
    for _ in range(12):
        particle = rng.integers(0, 3, 40)
        particles = (np.full(3, 22), rng.uniform(10, 60, 3), rng.normal(size=(3, 3)))
        events.append(
            Event(rng.normal(size=(40, 3)), rng.exponential(size=40), particle_id=particle, particles=particles)
        )
        for name, wrong in (("good", 0.05), ("bad", 0.3)):
            labels[name].append(np.where(rng.random(40) < wrong, rng.integers(0, 5, 40), particle))
        labels["one"].append(np.zeros(40, int))
    return events, labels


def test_figures_are_those_of_evaluate(sample):
    events, labels = sample
    table = compare(events, labels, against="bad", bootstrap=50)
    assert list(table) == ["good", "bad", "one"]
    for name, own in labels.items():
        alone = evaluate(events, own, bootstrap=50)
        for figure in ("efficiency", "purity", "ratio", "completeness", "response", "resolution"):
            np.testing.assert_allclose(list(table[name][figure]), list(alone[figure]), rtol=1e-9)


def test_differences_are_paired(sample):
    events, labels = sample
    table = compare(events, labels, against="bad", bootstrap=200)
    sums = {}
    for name in ("good", "bad"):
        rows = [evaluate([e], [y], bootstrap=0) for e, y in zip(events, labels[name], strict=True)]
        sums[name] = np.array([[r.efficiency * r.n_particles, r.n_particles] for r in rows])
    replicas = []
    for w in resamples(12, 200, 0):
        a, b = (w @ sums[name] for name in ("good", "bad"))
        replicas.append(a[0] / a[1] - b[0] / b[1])
    wanted = np.quantile(replicas, [0.025, 0.975])
    found = table.versus["good"]["efficiency_difference"]
    np.testing.assert_allclose([found.low, found.high], wanted, atol=1e-12)
    assert found == pytest.approx(table["good"]["efficiency"] - table["bad"]["efficiency"])
    assert "bad" not in table.versus


def test_the_first_one_is_the_reference_by_default(sample):
    events, labels = sample
    assert compare(events, labels, bootstrap=5).against == "good"


def test_files(sample, tmp_path):
    events, labels = sample
    table = compare(events, {"a_b": labels["good"], "one": labels["one"]}, bootstrap=20)
    table.to_csv(tmp_path / "t.csv")
    with open(tmp_path / "t.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    first = next(r for r in rows if (r["system"], r["figure"]) == ("one", "purity_difference"))
    assert first["against"] == "a_b"
    assert float(first["value"]) == table.versus["one"]["purity_difference"].value
    text = table.to_latex(tmp_path / "t.tex")
    assert (tmp_path / "t.tex").read_text() == text
    assert text.count(r"\begin{tabular}{l") == text.count(r"\end{tabular}") == 2
    assert r"a\_b" in text
    assert f"${table['one']['ratio'].value:.3f}_" in text


def test_frame_needs_pandas_and_says_so(sample):
    events, labels = sample
    table = compare(events, labels, bootstrap=5)
    try:
        import pandas  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match="pip install pandas"):
            table.to_frame()
    else:
        frame = table.to_frame()
        assert list(frame.columns) == ["system", "against", "figure", "value", "low", "high"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e, y: compare(e, y, against="x"), "against is 'x', expected one of good, bad, one"),
        (lambda e, y: compare(e, y["good"]), "labels: got list, needs"),
        (
            lambda e, y: compare(e, {"short": [y["good"][0][:3], *y["good"][1:]]}),
            "short: event 0: labels have length 3",
        ),
        (lambda e, y: compare(e, {"few": y["good"][:5]}), "few: there are 12 events, but labels for 5 only"),
        (lambda e, y: compare([Event(x.position, x.energy) for x in e], y), "particle_id is -1 everywhere"),
    ],
)
def test_errors(sample, change, message):
    with pytest.raises(ValueError, match=message):
        change(*sample)
