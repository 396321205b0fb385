"""Reconstruction figures against loops over pairs, and on events worked out by hand."""

import math

import numpy as np
import pytest

from cmlflow.event import Event, EventStore
from cmlflow.metrics import PRESETS, Preset, association_scores, reconstruction_metrics
from cmlflow.metrics.matching import match
from cmlflow.metrics.reconstruction import judge


def random_event(seed, n_hits=80, n_particles=4):
    rng = np.random.default_rng(seed)
    hit = np.concatenate([np.arange(n_hits), np.sort(rng.choice(n_hits, n_hits // 4, replace=False))])
    particle = np.concatenate([rng.integers(0, n_particles, n_hits), rng.integers(-1, n_particles, n_hits // 4)])
    energy = rng.exponential(2.0, len(hit))
    unseen = 1 if seed % 2 else 0
    p = n_particles + unseen
    particles = (np.full(p, 11), rng.uniform(10, 99, p), np.zeros((p, 3)))
    total = np.bincount(hit, energy, n_hits)
    return Event(rng.normal(size=(n_hits, 3)), total, deposits=(hit, particle, energy), particles=particles)


def random_labels(event, seed, wrong=0.3):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(event.n_hits) < wrong, rng.integers(-1, 6, event.n_hits), event.particle_id)


def slow_missed(event, y):
    """What each cluster lacks of each particle, of labels, by the formula."""
    out = np.ones((int(y.max()) + 1, event.n_particles))
    for r in range(len(out)):
        for p in range(event.n_particles):
            above = below = 0.0
            for k in range(len(event.deposits)):
                if event.deposits.particle[k] == p:
                    hit, f = event.deposits.hit[k], float(event.fractions[k])
                    above += max(0.0, f - (y[hit] == r)) ** 2 * float(event.energy[hit]) ** 2
                    below += (f * float(event.energy[hit])) ** 2
            out[r, p] = above / below if below else 1.0
    return out


def slow_metrics(events, labels, cut):
    n = dict.fromkeys(["sim", "reco", "eff", "pure", "merged", "dup", "fake", "split", "complete"], 0)
    for event, y in zip(events, labels, strict=True):
        s = association_scores(y, event)
        s2r = slow_missed(event, y) if cut.s2r == "missed" else s["s2r"]
        visible = [0.0] * event.n_particles
        for k in range(len(event.deposits)):
            p, h = event.deposits.particle[k], event.deposits.hit[k]
            if p >= 0:
                visible[p] += float(event.fractions[k]) * float(event.energy[h])
        clusters = sorted({int(v) for v in y if v >= 0})
        particles = [p for p in range(event.n_particles) if visible[p] > 0]
        n["sim"] += len(particles)
        n["reco"] += len(clusters)
        for p in particles:
            n["eff"] += any(s["shared"][r, p] / visible[p] > cut.efficiency for r in clusters)
            close = sum(s2r[r, p] < cut.duplicate for r in clusters)
            n["dup"] += close >= 2
            n["complete"] += close >= 1
        for r in clusters:
            pure = any(s["r2s"][r, p] < cut.purity for p in range(event.n_particles))
            related = sum(s["r2s"][r, p] < cut.fake_merge for p in range(event.n_particles))
            n["pure"] += pure
            n["merged"] += related >= 2
            n["fake"] += related == 0
            own = max(range(event.n_particles), key=lambda p: s["shared"][r, p])
            n["split"] += pure and any(s["shared"][q, own] > s["shared"][r, own] for q in clusters)
    return {
        "efficiency": n["eff"] / n["sim"],
        "purity": n["pure"] / n["reco"],
        "ratio": n["reco"] / n["sim"],
        "merge_rate": n["merged"] / n["reco"],
        "duplicate_rate": n["dup"] / n["sim"],
        "fake_rate": n["fake"] / n["reco"],
        "split_rate": n["split"] / n["reco"],
        "completeness": n["complete"] / n["sim"],
    }


@pytest.mark.parametrize("preset", ["paper", "ticl", "ticl-2024", Preset(0.3, 0.5, 0.9, 0.8), Preset(s2r="missed")])
@pytest.mark.parametrize("wrong", [0.05, 0.3, 0.9])
def test_agrees_with_loops(preset, wrong):
    events = [random_event(seed) for seed in range(6)]
    labels = [random_labels(e, seed, wrong) for seed, e in enumerate(events)]
    cut = PRESETS.get(preset, preset) if isinstance(preset, str) else preset
    fast, slow = reconstruction_metrics(events, labels, preset), slow_metrics(events, labels, cut)
    assert list(fast) == list(slow)
    for name, value in slow.items():
        assert fast[name] == pytest.approx(value, abs=1e-9), name


def whole(particle_id, energy=None):
    n = len(particle_id)
    return Event(np.zeros((n, 3)), np.ones(n) if energy is None else energy, particle_id=particle_id)


def test_perfect_clusters():
    m = reconstruction_metrics(whole([0, 0, 1, 1, 2]), [1, 1, 2, 2, 0])
    assert m == {
        "efficiency": 1.0, "purity": 1.0, "ratio": 1.0, "merge_rate": 0.0,
        "duplicate_rate": 0.0, "fake_rate": 0.0, "split_rate": 0.0, "completeness": 1.0,
    }  # fmt: skip


def test_two_particles_merged_into_one_cluster():
    # R2S = 0.5 with either: not pure, merged. Both particles lie wholly in it: found.
    m = reconstruction_metrics(whole([0, 0, 1, 1]), [0, 0, 0, 0])
    assert (m["efficiency"], m["purity"], m["ratio"], m["merge_rate"]) == (1.0, 0.0, 0.5, 1.0)


def test_one_particle_split_in_two():
    # 3 of 5 hits: shared 0.6, between the cuts of the two presets.
    event, labels = whole([0] * 5), [0, 0, 0, 1, 1]
    paper, ticl = reconstruction_metrics(event, labels), reconstruction_metrics(event, labels, "ticl")
    assert (paper["efficiency"], ticl["efficiency"]) == (0.0, 1.0)
    assert (paper["purity"], paper["ratio"], paper["split_rate"]) == (1.0, 2.0, 0.5)


@pytest.mark.parametrize(("preset", "wanted"), [("ticl", 1.0), ("ticl-2024", 0.0), ("paper", 0.0)])
def test_particles_that_share_all_their_hits_are_complete_in_one_cluster_since_2025(preset, wanted):
    shares = (np.repeat(np.arange(12), 2), np.tile([0, 1], 12), np.full(24, 0.5))
    event = Event(np.random.default_rng(3).normal(size=(12, 3)), np.ones(12), deposits=shares)
    assert reconstruction_metrics(event, np.zeros(12, int), preset)["completeness"] == wanted


def test_presets():
    assert (PRESETS["paper"].efficiency, PRESETS["ticl"].efficiency, PRESETS["ticl-2024"].efficiency) == (0.7, 0.5, 0.5)
    with pytest.raises(ValueError, match="s2r is 'all', expected 'missed' or 'difference'"):
        Preset(s2r="all")


def test_cut_of_efficiency_is_strict():
    assert reconstruction_metrics(whole([0, 0]), [0, 1], "ticl")["efficiency"] == 0.0


def test_fake_cluster_of_hits_without_truth():
    m = reconstruction_metrics(whole([0, 0, -1, -1]), [0, 0, 1, 1])
    assert (m["purity"], m["fake_rate"], m["ratio"]) == (0.5, 0.5, 2.0)


def test_soft_assignment_can_duplicate_a_particle():
    # Two clusters with half of each of a particle's hits share min(0.5, 1) E, and (0.5 - 1)^2 / 1 = 0.25 is their S2R.
    event = whole([0, 0])
    m = match(None, event, ([0, 1, 0, 1], [0, 0, 1, 1], [0.5] * 4))
    assert judge(m, Preset(duplicate=0.3)).duplicate.tolist() == [True]
    assert judge(m, Preset(duplicate=0.25)).duplicate.tolist() == [False]


def test_particle_without_visible_energy_is_not_simulated():
    event = Event(np.zeros((1, 3)), [1.0], particle_id=[0], particles=([11, 11], [5.0, 7.0], np.zeros((2, 3))))
    m = reconstruction_metrics(event, [0])
    assert (m["efficiency"], m["ratio"]) == (1.0, 1.0)


def test_all_noise_and_empty():
    m = reconstruction_metrics(whole([0, 1]), [-1, -1])
    assert (m["efficiency"], m["ratio"], m["completeness"]) == (0.0, 0.0, 0.0)
    assert math.isnan(m["purity"])
    assert all(math.isnan(v) for v in reconstruction_metrics(whole([]), []).values())


def test_names_of_clusters_and_order_of_hits_do_not_matter():
    event = random_event(3)
    labels = random_labels(event, 0)
    before = reconstruction_metrics(event, labels)
    renamed = np.where(labels >= 0, np.array([9, 3, 4, 11, 0, 7])[labels], -1)
    assert reconstruction_metrics(event, renamed) == before
    p = np.random.default_rng(1).permutation(event.n_hits)
    d = event.deposits
    moved = Event(
        event.position[p], event.energy[p], deposits=(np.argsort(p)[d.hit], d.particle, d.energy),
        particles=event.particles,
    )  # fmt: skip
    assert reconstruction_metrics(moved, labels[p]) == before


def test_takes_a_store_and_an_iterator_of_labels():
    events = [random_event(seed) for seed in range(3)]
    labels = [random_labels(e, 1) for e in events]
    assert reconstruction_metrics(EventStore(events), iter(labels)) == reconstruction_metrics(events, labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0, 0], [0]], "event 1: labels have length 1, but the event has 2 hits"),
        ([[0, 0]], "there are 2 events, but labels for 1 only"),
        ([[0, 0]] * 3, "there are 2 events, but labels for more"),
    ],
)
def test_mismatch_is_named(labels, message):
    with pytest.raises(ValueError, match=message):
        reconstruction_metrics([whole([0, 0]), whole([0, 0])], labels)


def test_wrong_preset_lists_the_right_ones():
    with pytest.raises(ValueError, match="'paper', 'ticl'"):
        reconstruction_metrics(whole([0]), [0], "cms")
    with pytest.raises(ValueError, match="no events"):
        reconstruction_metrics([], [])


@pytest.mark.parametrize("seed", range(3))
def test_one_hot_shares_have_the_figures_of_labels(seed):
    events = [random_event(10 * seed + i) for i in range(3)]
    labels = [random_labels(e, i) for i, e in enumerate(events)]
    shares = [(np.arange(y.max() + 2)[:, None] == y).astype(float) for y in labels]
    assert reconstruction_metrics(events, shares) == reconstruction_metrics(events, labels)
    assert reconstruction_metrics(events[0], shares[0]) == reconstruction_metrics(events[0], labels[0])


def test_true_shares_are_perfect():
    """Two hits shared half and half: of labels neither cluster is pure and complete, of shares all are."""
    event = Event(np.zeros((2, 3)), [2.0, 2.0], deposits=([0, 0, 1, 1], [0, 1, 0, 1], [1.0, 1, 1, 1]))
    perfect = reconstruction_metrics(event, np.full((2, 2), 0.5))
    assert (perfect["efficiency"], perfect["purity"], perfect["ratio"], perfect["fake_rate"]) == (1, 1, 1, 0)
    assert perfect["duplicate_rate"] == 1  # either cluster matches either particle
    assert reconstruction_metrics(event, [0, 1])["efficiency"] == 0
