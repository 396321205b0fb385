"""Embedding metrics against loops over hits and pairs, on worked examples and on the cases at the edge."""

import math

import numpy as np
import pytest

from cmlflow.metrics import embedding_metrics
from cmlflow.metrics.embedding import FIGURES, area_under_curve, core_hits


def random_embedding(seed, n_hits=50, n_particles=4, dim=5):
    rng = np.random.default_rng(seed)
    particle = rng.integers(-1, n_particles, n_hits)
    z = rng.normal(size=(n_hits, dim)) + 1.5 * rng.normal(size=(n_particles + 1, dim))[particle]
    return z, particle, rng.exponential(3.0, n_hits)


def slow_core(particle, energy, fraction=0.95):
    keep = []
    for p in sorted({int(q) for q in particle if q >= 0}):
        own = sorted((i for i in range(len(particle)) if particle[i] == p), key=lambda i: -energy[i])
        total, held = sum(energy[i] for i in own), 0.0
        for rank, i in enumerate(own):
            if rank < 2 or held < fraction * total:
                keep.append(i)
            held += energy[i]
    return sorted(keep)


def slow_metrics(z, particle, energy, hits="core"):
    use = slow_core(particle, energy) if hits == "core" else [i for i, p in enumerate(particle) if p >= 0]

    unit = [[a / math.hypot(*row) for a in row] for row in z.tolist()]
    table = [[sum(a * b for a, b in zip(u, v, strict=True)) for v in unit] for u in unit]

    def cosine(i, j):
        return table[i][j]

    one, ten, foreign = [], [], {}
    for i in use:
        near = sorted((j for j in use if j != i), key=lambda j: -cosine(i, j))[:10]
        same = [particle[j] == particle[i] for j in near]
        one.append(same[0])
        ten.append(any(same))
        foreign.setdefault(int(particle[i]), []).append(1 - sum(same) / len(same))
    alike, different = [], []
    for a, i in enumerate(use):
        for j in use[a + 1 :]:
            (alike if particle[i] == particle[j] else different).append(cosine(i, j))
    wins = sum((p > q) + 0.5 * (p == q) for p in alike for q in different)
    intra, inter = np.quantile([1 - s for s in alike], 0.99), np.median([1 - s for s in different])
    return {
        "recall_at_1": sum(one) / len(one),
        "recall_at_10": sum(ten) / len(ten),
        "contamination_at_10": sum(sum(v) / len(v) for v in foreign.values()) / len(foreign),
        "auc": wins / len(alike) / len(different),
        "d_intra": intra,
        "d_inter": inter,
        "margin": inter - intra,
    }


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("hits", ["core", "all"])
def test_agrees_with_loops(seed, hits):
    z, particle, energy = random_embedding(seed)
    fast, slow = embedding_metrics(z, particle, energy, hits=hits), slow_metrics(z, particle, energy, hits)
    assert list(fast) == list(slow)
    for name, value in slow.items():
        assert fast[name] == pytest.approx(value, abs=1e-9), name


def test_fewer_than_ten_neighbours():
    z, particle, energy = random_embedding(1, n_hits=9, n_particles=2)
    fast, slow = embedding_metrics(z, particle, energy), slow_metrics(z, particle, energy)
    for name, value in slow.items():
        assert fast[name] == pytest.approx(value, abs=1e-9), name


def test_worked_example():
    # Two particles at right angles, each with one hit 60 degrees off its other: distances 0.5 within.
    angle = np.radians([0.0, 60.0, 180.0, 240.0])
    z = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    m = embedding_metrics(3 * z, [0, 0, 1, 1], [2.0, 1.0, 2.0, 1.0])
    assert (m["recall_at_1"], m["recall_at_10"], m["auc"]) == (1.0, 1.0, 1.0)
    assert m["contamination_at_10"] == pytest.approx(2 / 3)
    assert m["d_intra"] == pytest.approx(0.5)
    assert m["d_inter"] == pytest.approx(1.75)  # of 2, 1.5, 1.5, 2
    assert m["margin"] == pytest.approx(1.25)


def test_core_of_a_shower():
    assert core_hits(np.zeros(4, int), np.array([1.0, 95.0, 3.0, 1.0])).tolist() == [False, True, True, False]
    assert core_hits(np.zeros(3, int), np.array([60.0, 34.0, 6.0])).tolist() == [True, True, True]
    assert core_hits(np.array([0, 1]), np.array([1.0, 0.0])).tolist() == [True, True]
    rng = np.random.default_rng(0)
    particle, energy = rng.integers(0, 5, 200), rng.exponential(1.0, 200)
    assert np.flatnonzero(core_hits(particle, energy)).tolist() == slow_core(particle, energy)


def test_sampled_pairs_come_close_to_all_pairs_and_follow_the_seed():
    z, particle, energy = random_embedding(3, n_hits=600)
    exact = embedding_metrics(z, particle, energy, hits="all", n_pairs=10**6)
    sampled = embedding_metrics(z, particle, energy, seed=1, hits="all", n_pairs=60_000)
    assert sampled != exact
    for name in FIGURES:
        assert sampled[name] == pytest.approx(exact[name], abs=0.03), name
    assert embedding_metrics(z, particle, energy, seed=1, hits="all", n_pairs=60_000) == sampled
    assert embedding_metrics(z, particle, energy, seed=2, hits="all", n_pairs=60_000)["auc"] != sampled["auc"]


@pytest.mark.parametrize("n_pairs", [100_000, 500])
def test_order_names_and_scale_do_not_matter(n_pairs):
    z, particle, energy = random_embedding(4)
    energy = np.round(energy) + 1.0
    before = embedding_metrics(z, particle, energy, n_pairs=n_pairs)
    p = np.random.default_rng(0).permutation(len(z))
    renamed = np.where(particle >= 0, np.array([7, 2, 9, 0])[particle], -1)
    after = embedding_metrics(4 * z[p], renamed[p], energy[p], n_pairs=n_pairs)
    assert after == pytest.approx(before, abs=1e-9)


def test_unknown_hits_take_no_part():
    z, particle, energy = random_embedding(5)
    known = particle >= 0
    assert embedding_metrics(z, particle, energy) == embedding_metrics(z[known], particle[known], energy[known])


@pytest.mark.parametrize(("n", "particle"), [(0, []), (1, [0]), (3, [-1, -1, -1])])
def test_too_few_hits_give_nan(n, particle):
    m = embedding_metrics(np.ones((n, 3)), particle, np.ones(n))
    assert list(m) == list(FIGURES)
    assert all(math.isnan(v) for v in m.values())


def test_one_particle_has_nothing_between():
    z, _, energy = random_embedding(6)
    m = embedding_metrics(z, np.zeros(len(z), int), energy)
    assert (m["recall_at_1"], m["contamination_at_10"]) == (1.0, 0.0)
    assert m["d_intra"] > 0
    assert all(math.isnan(m[name]) for name in ("auc", "d_inter", "margin"))


def test_single_hits_of_particles_have_no_pair_within():
    m = embedding_metrics(np.eye(3), [0, 1, 2], np.ones(3), n_pairs=2)
    assert (m["recall_at_1"], m["contamination_at_10"], m["d_inter"]) == (0.0, 1.0, 1.0)
    assert math.isnan(m["d_intra"])


def test_collapsed_and_zero_embeddings_are_chance():
    for value in (1.0, 0.0):
        m = embedding_metrics(np.full((40, 4), value), np.arange(40) % 2, np.ones(40))
        assert m["auc"] == pytest.approx(0.5)
        assert 0 <= m["recall_at_1"] <= 1
        assert m["margin"] == pytest.approx(0.0, abs=1e-12)


def test_area_under_curve_counts_ties_half():
    assert area_under_curve(np.array([1.0, 2.0]), np.array([1.0, 0.0])) == pytest.approx(0.875)


def test_takes_tensors():
    torch = pytest.importorskip("torch")
    z, particle, energy = random_embedding(7)
    tensors = [torch.as_tensor(a) for a in (z, particle, energy)]
    tensors[0].requires_grad_()
    assert embedding_metrics(*tensors) == embedding_metrics(z, particle, energy)
    assert embedding_metrics(tensors[0].bfloat16(), particle, energy)["auc"] > 0


def test_bad_input_is_named():
    z, particle, energy = random_embedding(8)
    with pytest.raises(ValueError, match="energy \\(3,\\)"):
        embedding_metrics(z, particle, energy[:3])
    z[5, 1] = np.nan
    with pytest.raises(ValueError, match="hit 5 has embedding"):
        embedding_metrics(z, particle, energy)
    with pytest.raises(ValueError, match="'core' or 'all'"):
        embedding_metrics(z[:3], particle[:3], energy[:3], hits="most")
    with pytest.raises(ValueError, match=r"core_fraction is 1\.5"):
        embedding_metrics(z[:3], particle[:3], energy[:3], core_fraction=1.5)
