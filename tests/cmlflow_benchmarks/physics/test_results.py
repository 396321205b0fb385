"""Figures, intervals and differences agree with slow twins, and verdicts with their rule."""

from dataclasses import replace

import numpy as np
import pytest

import cmlflow
from cmlflow.metrics import Interval, embedding_metrics
from cmlflow.metrics.resolution import resolution
from cmlflow_benchmarks.physics.matrix import SIZES, Run, sets_to_test
from cmlflow_benchmarks.physics.results import Estimate, Query
from cmlflow_benchmarks.physics.rows import figure, joined, rows_of
from cmlflow_benchmarks.physics.testing import TEST_SEED, score
from cmlflow_benchmarks.verdicts import FAILS, HOLDS, NOT_RUN, OPEN, Test, verdict

BINS = SIZES["compact"].energy_bins


@pytest.fixture(scope="module")
def scored():
    """A packaged model on a few events: what is kept, and what `evaluate` says of the same events."""
    which = next(t for t in sets_to_test(SIZES["compact"].with_events(8), "em") if t.n_particles == 2)
    model = cmlflow.MetricClusterer.load("compact-em-supcon")
    events = cmlflow.simulate(which.sample, which.n_events, TEST_SEED, n_particles=2)
    kept = score(model, which, ["density", "ward"])
    tables = {}
    for name in kept["readouts"]:
        labels = model.set_params(readout=name).predict(events)
        tables[name] = cmlflow.evaluate(events, labels, energy_bins=BINS)
    z = model.transform(events[:1])[0]
    return kept, tables, embedding_metrics(z, events[0].particle_id, events[0].energy)


def test_responses_are_of_the_energies_of_the_model():
    which = next(t for t in sets_to_test(SIZES["compact"].with_events(3), "had") if t.n_particles == 8)
    model = cmlflow.MetricClusterer.load("compact-had-best")
    events = cmlflow.simulate(which.sample, which.n_events, TEST_SEED, n_particles=8)
    kept = score(model, which, ["condensation"])["readouts"]["condensation"]["response"]
    labels, energies = model.predict(events), model.predict_energies(events)
    table, whole = cmlflow.evaluate(events, labels, energies=energies), cmlflow.evaluate(events, labels)
    there = [value for value in kept if value is not None]
    assert np.mean(there) == pytest.approx(table.response.value, rel=1e-3)
    assert np.mean(there) != pytest.approx(whole.response.value, rel=1e-2)


@pytest.mark.parametrize("readout", ["density", "ward"])
def test_kept_rows_give_what_evaluate_gives(scored, readout):
    kept, tables, _ = scored
    rows = rows_of("em-02", kept, readout)
    once = np.ones((1, rows.n_events), int)
    names = {"floor": "resolution_floor"} | {n: n for n in ("efficiency", "purity", "ratio", "resolution")}
    for own, name in names.items():
        assert figure(rows, own, once, BINS)[0] == pytest.approx(tables[readout][name].value, rel=1e-3), own
    for row in tables[readout].by_energy:
        part = rows.within(row["low"], row["high"])
        for own in ("efficiency", "purity"):
            assert figure(part, own, once, BINS)[0] == pytest.approx(row[own].value, nan_ok=True)


def test_kept_embedding_figures_are_those_of_each_event(scored):
    kept, _, first = scored
    for name, value in first.items():
        assert kept["embedding"][name][0] == pytest.approx(value, rel=1e-3)


def test_resampled_figures_agree_with_events_repeated_one_by_one(results, em_run):
    rows = rows_of("em-04", results.tests[em_run]["em-04"], "ward")
    times = np.random.default_rng(1).multinomial(rows.n_events, np.full(rows.n_events, 1 / rows.n_events), 3)
    for w in times:
        events = [i for i in range(rows.n_events) for _ in range(w[i])]
        particles = [j for i in events for j in np.flatnonzero(rows.event == i)]
        twin = {
            "efficiency": np.mean([rows.found[j] for j in particles]),
            "purity": sum(rows.pure_clusters[i] for i in events) / sum(rows.clusters[i] for i in events),
            "ratio": sum(rows.clusters[i] for i in events) / len(particles),
            "resolution": resolution(rows.response[particles], rows.energy[particles], BINS),
            "auc": np.mean([rows.embedding["auc"][i] for i in events]),
            "median_margin": np.median([rows.embedding["margin"][i] for i in events]),
            "spread_d_intra": np.subtract(*np.quantile([rows.embedding["d_intra"][i] for i in events], (0.75, 0.25))),
            "negative_margin": np.mean([rows.embedding["margin"][i] < 0 for i in events]),
        }
        for name, value in twin.items():
            assert figure(rows, name, w[None], BINS)[0] == pytest.approx(value, rel=1e-9), name


def test_no_width_from_a_few_responses(results, em_run):
    rows = rows_of("em-04", results.tests[em_run]["em-04"], "ward")
    few = rows.within(10, 20)
    assert 0 < len(few.energy) < 20
    w = np.zeros((2, rows.n_events), int)
    w[0, np.unique(few.event)[:2]] = 1
    w[1] = 1
    assert np.isnan(figure(few, "resolution", w, BINS)[0])
    assert figure(rows, "resolution", w, BINS)[1] > 0
    assert figure(few, "efficiency", w, BINS)[0] >= 0


def test_joined_sets_are_resampled_within_each(results, em_run):
    parts = [rows_of(n, results.tests[em_run][n], "ward") for n in ("em-04", "em-30")]
    both = joined(parts)
    assert both.n_events == 60
    w = both.weights(20)
    assert (w[:, :40].sum(1) == 40).all()
    assert (w[:, 40:].sum(1) == 20).all()
    np.testing.assert_array_equal(w[:, 40:], parts[1].weights(20))
    once = np.ones((1, 60), int)
    found = sum(p.found.sum() for p in parts) / sum(len(p.found) for p in parts)
    assert figure(both, "efficiency", once, BINS)[0] == pytest.approx(found)


def test_differences_are_paired_and_seeds_are_averaged(results):
    a = Query("em", "supcon", "em", "purity", (8,))
    b = replace(a, system="oc")
    one, two, less = results.estimate(a), results.estimate(b), results.difference(a, b)
    assert set(one.seeds) == {1, 2}
    assert one.value.value == pytest.approx(np.mean(list(one.seeds.values())))
    assert one.spread == pytest.approx(abs(one.seeds[1] - one.seeds[2]) / np.sqrt(2))
    assert less.value.value == pytest.approx(one.value.value - two.value.value)
    assert less.value.low < less.value.value < less.value.high
    assert all(less.seeds[s] == pytest.approx(one.seeds[s] - two.seeds[s]) for s in (1, 2))
    same = results.difference(a, a)
    assert tuple(same.value) == (0, 0, 0)


def test_what_is_missing_is_none(results, make, matrix, size):
    assert results.estimate(Query("had", "supcon", "had", "purity", (8,))) is None
    assert results.estimate(Query("em", "best", "em", "purity", (8,))) is None
    assert results.estimate(Query("em", "supcon", "em", "purity", (7,))) is None
    assert results.estimate(Query("em", "supcon", "em", "purity", (8,), "kmeans")) is None
    assert results.estimate(Query("em", "supcon", "em", "purity", (8,), dim=4)) is None
    assert make(matrix, size, {"oc": "poor"}).difference(
        Query("em", "supcon", "em", "purity", (8,)), Query("em", "oc", "em", "purity", (8,))
    ) is None  # fmt: skip


def test_only_seeds_that_both_have_are_compared(make, matrix, size):
    found = make(matrix, size, {"supcon": "good", "oc": "poor"})
    found.tests.pop(Run("em", "oc", 16, 2))
    a = Query("em", "supcon", "em", "purity", (8,))
    assert set(found.difference(a, replace(a, system="oc")).seeds) == {1}


def estimate(value, low, high, *seeds):
    return Estimate(Interval(value, low, high), dict(enumerate(seeds or (value,))))


def test_verdicts():
    holds, fails = Test("", estimate(0.2, 0.1, 0.3)), Test("", estimate(-0.2, -0.3, -0.1))
    assert holds.outcome == HOLDS
    assert fails.outcome == FAILS
    assert Test("", estimate(0.2, -0.1, 0.3)).outcome == OPEN
    assert Test("", estimate(0.2, 0.1, 0.3, 0.5, -0.1)).outcome == OPEN  # one seed disagrees
    assert Test("", estimate(0.2, np.nan, np.nan)).outcome == OPEN  # no interval
    absent = Test("", None)
    assert absent.outcome == NOT_RUN
    assert verdict([]) == verdict([absent]) == NOT_RUN
    assert verdict([holds, absent]) == HOLDS
    assert verdict([holds, fails]) == FAILS
    assert verdict([holds, Test("", estimate(0, -1, 1))]) == OPEN
