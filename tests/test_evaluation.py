"""`evaluate` against its parts run one by one, its views, and what it says of bad input."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from cmlflow.evaluation import evaluate, evaluate_embeddings
from cmlflow.event import Event, EventStore
from cmlflow.metrics import (
    association_scores,
    calibrated,
    embedding_metrics,
    particle_response,
    reconstruction_metrics,
    resolution,
    sigma_eff,
)
from cmlflow.metrics.matching import match


def make_event(seed, n_hits=120):
    rng = np.random.default_rng(seed)
    n_particles = int(rng.integers(1, 5))
    hit = np.concatenate([np.arange(n_hits), np.sort(rng.choice(n_hits, n_hits // 4, replace=False))])
    particle, deposit = rng.integers(0, n_particles, len(hit)), rng.exponential(2.0, len(hit))
    return Event(
        rng.normal(size=(n_hits, 3)), np.bincount(hit, deposit, n_hits), rng.integers(1, 51, n_hits),
        deposits=(hit, particle, deposit),
        particles=(np.full(n_particles, 11), rng.uniform(5, 250, n_particles), np.zeros((n_particles, 3))),
        detector="hgcal", number=100 + seed,
    )  # fmt: skip


@pytest.fixture(scope="module")
def sample():
    events = [make_event(seed) for seed in range(25)]
    rng = np.random.default_rng(7)
    labels = [np.where(rng.random(e.n_hits) < 0.12, rng.integers(-1, 5, e.n_hits), e.particle_id) for e in events]
    return events, labels


def slow_rows(events, labels, preset="paper"):
    """Energy, response, floor of every particle."""
    rows = []
    for e, y in zip(events, labels, strict=True):
        response, floor = particle_response(match(y, e), e, preset)
        rows += list(zip(e.particles.energy.astype(float), response, floor, strict=True))
    return np.array(rows)


@pytest.mark.parametrize("preset", ["paper", "ticl"])
def test_overall_figures_are_those_of_the_parts(sample, preset):
    table = evaluate(*sample, preset=preset, bootstrap=20)
    for name, value in reconstruction_metrics(*sample, preset=preset).items():
        assert table[name] == pytest.approx(value, abs=1e-12), name
    rows = slow_rows(*sample, preset)
    there = rows[np.isfinite(rows[:, 1])]
    assert table.response == pytest.approx(there[:, 1].mean(), abs=1e-12)
    assert table.resolution == pytest.approx(resolution(there[:, 1], there[:, 0]), abs=1e-12)
    assert table.resolution_floor == pytest.approx(resolution(rows[:, 2], rows[:, 0]), abs=1e-12)
    assert table.n_events == 25
    assert table.n_particles == len(rows)


def test_energies_of_clusters_make_the_response(sample):
    events, labels = sample
    rng = np.random.default_rng(3)
    energies = [rng.uniform(1, 9, y.max() + 1) for y in labels]
    table, usual = evaluate(events, labels, energies=iter(energies), bootstrap=0), evaluate(events, labels, bootstrap=0)
    assert (table.efficiency, table.purity, table.resolution_floor) == (
        usual.efficiency, usual.purity, usual.resolution_floor,
    )  # fmt: skip
    rows = []
    for e, y, given in zip(events, labels, energies, strict=True):
        scores = association_scores(y, e)
        for p in range(e.n_particles):
            c = scores["shared"][:, p].argmax()
            if scores["shared"][c, p] > 0 and scores["r2s"][c, p] < 0.2:
                rows.append(given[c] / float(e.particles.energy[p]))
    assert table.response == pytest.approx(np.mean(rows))
    assert table.response != pytest.approx(usual.response, rel=1e-2)
    one = evaluate(events[0], labels[0], energies=energies[0], bootstrap=0)
    assert one.response == pytest.approx(evaluate(events[:1], labels[:1], energies=energies[:1], bootstrap=0).response)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e[:-1], r"event 24 \(number 124\): there are no energies of its \d clusters"),
        (lambda e: [*e, e[0]], "energies for more events than labels"),
        (lambda e: [e[0][:-1], *e[1:]], r"event 0 \(number 100\): energies have shape .*, but there are \d clusters"),
        (lambda e: [np.where(np.arange(len(e[0])) == 1, np.nan, e[0]), *e[1:]], "energy of cluster 1 is not finite"),
    ],
)
def test_energies_that_do_not_fit(sample, change, message):
    events, labels = sample
    with pytest.raises(ValueError, match=message):
        evaluate(events, labels, energies=change([np.ones(y.max() + 1) for y in labels]))


def test_groups_by_multiplicity(sample):
    events, labels = sample
    table = evaluate(events, labels, bootstrap=20)
    rows = slow_rows(events, labels)
    use = np.isfinite(rows[:, 1])
    scaled = np.full(len(rows), np.nan)
    scaled[use] = calibrated(rows[use, 1], rows[use, 0])
    of = np.repeat([e.n_particles for e in events], [e.n_particles for e in events])
    assert sorted(table.by_multiplicity) == sorted(set(of.tolist()))
    for p, scores in table.by_multiplicity.items():
        chosen = [i for i, e in enumerate(events) if e.n_particles == p]
        alone = reconstruction_metrics([events[i] for i in chosen], [labels[i] for i in chosen])
        for name, value in alone.items():
            assert scores[name] == pytest.approx(value, abs=1e-12)
        own = scaled[use & (of == p)]
        assert scores["resolution"] == pytest.approx(sigma_eff(own / own.mean()), abs=1e-12)
        assert scores["response"] == pytest.approx(rows[use & (of == p), 1].mean(), abs=1e-12)


def test_bins_of_energy(sample):
    events, labels = sample
    bins = (10.0, 60.0, 120.0, 1000.0, 2000.0)
    table = evaluate(events, labels, energy_bins=bins, bootstrap=20)
    assert [(r["low"], r["high"]) for r in table.by_energy] == [(10, 60), (60, 120), (120, 1000)]
    for row in table.by_energy:
        n = found = clusters = pure = 0
        for e, y in zip(events, labels, strict=True):
            m = match(y, e)
            inside = [row["low"] <= energy < row["high"] for energy in e.particles.energy]
            n += sum(inside)
            found += sum(m.shared[:, s].max() / m.particle_energy[s] > 0.7 for s in range(e.n_particles) if inside[s])
            for r in range(len(m.r2s)):
                if m.cluster_hits[r] and inside[int(m.shared[r].argmax())]:
                    clusters += 1
                    pure += m.r2s[r].min() < 0.2
        assert row["n_particles"] == n
        assert row["efficiency"] == pytest.approx(found / n, abs=1e-12)
        assert row["purity"] == pytest.approx(pure / clusters, abs=1e-12)
        rows = slow_rows(events, labels)
        own = rows[(rows[:, 0] >= row["low"]) & (rows[:, 0] < row["high"])]
        there = own[np.isfinite(own[:, 1]), 1]
        assert row["resolution"] == pytest.approx(sigma_eff(there / there.mean()), abs=1e-12)


def test_intervals_hold_their_values_and_follow_the_seed(sample):
    table = evaluate(*sample, seed=1, bootstrap=100)
    for name in ("efficiency", "purity", "ratio", "response", "resolution_floor"):
        assert table[name].low <= table[name] <= table[name].high, name
    assert table.purity.low < table.purity.high
    again, other = evaluate(*sample, seed=1, bootstrap=100), evaluate(*sample, seed=2, bootstrap=100)
    assert again.to_dict() == table.to_dict()
    assert tuple(other.purity) != tuple(table.purity)
    narrow = evaluate(*sample, seed=1, bootstrap=100, confidence=0.68)
    assert narrow.purity.high - narrow.purity.low < table.purity.high - table.purity.low


def test_truth_as_labels_is_perfect_and_meets_the_floor(sample):
    events, _ = sample
    single = [Event(e.position, e.energy, e.layer, e.particle_id, particles=e.particles) for e in events]
    table = evaluate(single, [e.particle_id for e in single], bootstrap=10)
    assert (table.efficiency, table.purity, table.ratio, table.merge_rate) == (1.0, 1.0, 1.0, 0.0)
    assert table.resolution == pytest.approx(float(table.resolution_floor), abs=1e-12)


def test_views(sample):
    table = evaluate(*sample, bootstrap=20)
    assert dict(table)["efficiency"] == table["efficiency"] == table.efficiency
    assert len(list(table)) == len(table)
    text = json.loads(json.dumps(table.to_dict(), allow_nan=False))
    assert text["efficiency"] == list(table.efficiency)
    assert text["preset"]["efficiency"] == 0.7
    assert text["by_multiplicity"]["2"]["ratio"] == list(table.by_multiplicity[2]["ratio"])
    shown = str(table)
    assert str(table.efficiency) in shown
    assert "energy [GeV]" in shown
    assert max(map(len, shown.splitlines())) < 160
    assert table._repr_html_().count("<table>") == 3
    assert str(table.purity) in repr(table)
    with pytest.raises(KeyError, match="efficiency, purity"):
        table["accuracy"]


def test_streams_events_and_labels(sample):
    events, labels = sample
    table = evaluate(EventStore(events), iter(labels), bootstrap=20)
    assert table.to_dict() == evaluate(events, labels, bootstrap=20).to_dict()


def test_order_of_events_does_not_change_the_figures(sample):
    events, labels = sample
    order = np.random.default_rng(0).permutation(len(events))
    shuffled = evaluate([events[i] for i in order], [labels[i] for i in order], bootstrap=0)
    table = evaluate(events, labels, bootstrap=0)
    for name in table:
        assert shuffled[name] == pytest.approx(float(table[name]), abs=1e-12)
        assert math.isnan(table[name].low)


def test_empty_and_noise_events():
    empty = Event(np.zeros((0, 3)), [])
    full = Event(np.zeros((2, 3)), [1.0, 1.0], particle_id=[0, 0])
    table = evaluate([empty, full, full], [[], [0, 0], [-1, -1]])
    assert (table.efficiency, table.ratio, table.purity) == (0.5, 0.5, 1.0)
    assert math.isnan(table.resolution)
    assert table.by_energy == []
    nothing = evaluate([empty], [[]])
    assert math.isnan(nothing.efficiency)
    assert "0 particles" in str(nothing)
    json.dumps(nothing.to_dict(), allow_nan=False)


def test_one_event_will_do():
    event = make_event(3)
    assert evaluate(event, event.particle_id).n_events == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: [y[0], y[1][:-1]], r"event 1 \(number 101\): labels have length 119, but the event has 120 hits"),
        (lambda y: y[:1], "2 events, but labels for 1 only"),
        (lambda y: [*y, y[0]], "2 events, but labels for more"),
    ],
)
def test_mismatch_is_named(change, message):
    events = [make_event(0), make_event(1)]
    with pytest.raises(ValueError, match=message):
        evaluate(events, change([e.particle_id for e in events]))


def test_events_without_truth_are_refused():
    event = Event(np.zeros((2, 3)), [1.0, 1.0])
    with pytest.raises(ValueError, match="none of the 1 events holds a hit of a known particle"):
        evaluate([event], [[0, 0]])
    with pytest.raises(ValueError, match="none of the 1 events holds a hit of a known particle"):
        evaluate_embeddings([event], [np.ones((2, 3))])
    with pytest.raises(ValueError, match="rising edges"):
        evaluate([event], [[0, 0]], energy_bins=(5,))


def test_embeddings_average_over_events(sample):
    events, _ = sample
    events = [*events, Event(np.zeros((0, 3)), [])]
    rng = np.random.default_rng(0)
    z = [rng.normal(size=(e.n_hits, 4)) + np.eye(4)[e.particle_id] for e in events]
    table = evaluate_embeddings(EventStore(events), iter(z), bootstrap=50)
    each = [embedding_metrics(v, e.particle_id, e.energy) for v, e in zip(z, events, strict=True)]
    for name in table:
        assert table[name] == pytest.approx(np.nanmean([m[name] for m in each]), abs=1e-12)
        assert table[name].low <= table[name] <= table[name].high
    two = [m["auc"] for m, e in zip(each, events, strict=True) if e.n_particles == 2]
    assert table.by_multiplicity[2]["auc"] == pytest.approx(np.mean(two), abs=1e-12)
    assert math.isnan(table.by_multiplicity[1]["auc"])
    json.dumps(table.to_dict(), allow_nan=False)
    assert "recall at 1" in str(table)
    with pytest.raises(ValueError, match=r"event 0 .*embeddings have length 3"):
        evaluate_embeddings(events[:1], [z[0][:3]])


def test_needs_numpy_alone():
    code = (
        "import sys, cmlflow.evaluation, cmlflow.metrics; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_hot_shares_give_exactly_the_table_of_labels(sample):
    events, labels = sample
    shares = [np.arange(6)[:, None] == y for y in labels]
    soft, hard = (evaluate(events, given, bootstrap=10) for given in (shares, labels))
    assert soft.to_dict() == hard.to_dict()


def test_says_that_energies_are_zero_and_not_that_truth_is_missing():
    event = Event(np.random.default_rng(0).normal(size=(6, 3)), np.zeros(6), particle_id=[0, 0, 0, 1, 1, 1])
    with pytest.raises(ValueError, match="have an energy of 0") as error:
        evaluate([event], [event.particle_id])
    assert "-1" not in str(error.value)


def test_labels_most_of_which_are_unused_cost_no_more():
    ids = np.arange(40) // 4
    event = Event(np.random.default_rng(0).normal(size=(40, 3)), np.ones(40), particle_id=ids)
    labels = np.where(ids == 3, -1, ids)
    wanted = str(evaluate([event], [labels]))
    assert str(evaluate([event], [np.where(labels < 0, -1, labels * 10**15 + 7)])) == wanted
