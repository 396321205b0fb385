"""Association scores against a loop over hits, on worked examples and on the cases at the edge."""

import numpy as np
import pytest

from cmlflow.event import Event
from cmlflow.metrics import association_scores
from cmlflow.metrics.matching import match


def random_event(seed, n_hits=60, n_particles=4, extra=30, unknown=True):
    rng = np.random.default_rng(seed)
    hit = np.concatenate([np.arange(n_hits), rng.integers(0, n_hits, extra)])
    particle = rng.integers(-1 if unknown else 0, n_particles, n_hits + extra)
    deposit = rng.exponential(2.0, n_hits + extra)
    energy = np.bincount(hit, deposit, n_hits) * rng.uniform(0.8, 1.2, n_hits)
    shuffled = rng.permutation(len(hit))
    return Event(
        rng.normal(size=(n_hits, 3)),
        energy,
        rng.integers(1, 51, n_hits),
        deposits=(hit[shuffled], particle[shuffled], deposit[shuffled]),
        particles=(np.full(n_particles, 11), rng.uniform(10, 200, n_particles), np.zeros((n_particles, 3))),
    )


def slow_scores(event, reco):
    """R2S, S2R and shared energy by their formulas; reco[r][i] is the fraction of hit i in cluster r."""
    n_clusters, n_hits, n_particles = len(reco), event.n_hits, event.n_particles
    total = [0.0] * n_hits
    for h, e in zip(event.deposits.hit, event.deposits.energy, strict=True):
        total[h] += float(e)
    sim = [[0.0] * n_hits for _ in range(n_particles)]
    for h, p, e in zip(event.deposits.hit, event.deposits.particle, event.deposits.energy, strict=True):
        if p >= 0 and total[h] > 0:
            sim[p][h] += float(e) / total[h]
    r2s, s2r, shared = (np.zeros((n_clusters, n_particles)) for _ in range(3))

    def score(a, b):
        top = bottom = 0.0
        for i in range(n_hits):
            e2 = float(event.energy[i]) ** 2
            if a[i] > 0:
                top += min((a[i] - b[i]) ** 2, a[i] ** 2) * e2
                bottom += a[i] ** 2 * e2
        return top / bottom if bottom > 0 else 1.0

    for r in range(n_clusters):
        for s in range(n_particles):
            r2s[r, s] = score(reco[r], sim[s])
            s2r[r, s] = score(sim[s], reco[r])
            shared[r, s] = sum(min(reco[r][i], sim[s][i]) * float(event.energy[i]) for i in range(n_hits))
    return {"r2s": r2s, "s2r": s2r, "shared": shared}


def assert_same(fast, slow):
    assert set(fast) == {"r2s", "s2r", "shared"}
    for name, value in slow.items():
        assert fast[name].shape == value.shape
        np.testing.assert_allclose(fast[name], value, rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("seed", range(8))
def test_hard_labels_agree_with_loops(seed):
    event = random_event(seed)
    labels = np.random.default_rng(seed + 100).integers(-1, 5, event.n_hits)
    reco = [[float(y == r) for y in labels] for r in range(labels.max() + 1)]
    assert_same(association_scores(labels, event), slow_scores(event, reco))


@pytest.mark.parametrize("seed", range(8))
def test_soft_shares_agree_with_loops(seed):
    event = random_event(seed)
    rng = np.random.default_rng(seed + 100)
    n = 150
    hit, cluster, fraction = rng.integers(0, event.n_hits, n), rng.integers(0, 5, n), rng.uniform(0, 0.3, n)
    reco = np.zeros((5, event.n_hits))
    np.add.at(reco, (cluster, hit), fraction)
    assert_same(association_scores(None, event, (hit, cluster, fraction)), slow_scores(event, reco.tolist()))


def test_hard_labels_are_the_special_case_of_shares():
    event = random_event(3)
    labels = np.random.default_rng(0).integers(-1, 4, event.n_hits)
    hit = np.flatnonzero(labels >= 0)
    soft = association_scores(None, event, (hit, labels[hit], np.ones(len(hit))))
    assert_same(association_scores(labels, event), soft)


def one_hot(labels, n_clusters):
    return (np.arange(n_clusters)[:, None] == labels).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_one_hot_shares_give_exactly_the_numbers_of_labels(seed):
    event = random_event(seed)
    labels = np.random.default_rng(seed + 100).integers(-1, 5, event.n_hits)
    hard, soft = match(labels, event), match(one_hot(labels, labels.max() + 1), event)
    for name in ("r2s", "s2r", "shared", "hit", "cluster", "fraction", "cluster_hits", "particle_energy"):
        np.testing.assert_array_equal(getattr(soft, name), getattr(hard, name), err_msg=name)


@pytest.mark.parametrize("seed", range(4))
def test_share_matrix_agrees_with_loops(seed):
    event = random_event(seed)
    shares = np.random.default_rng(seed).dirichlet(np.full(6, 0.3), event.n_hits).T[:5].astype(np.float32)
    assert_same(association_scores(shares, event), slow_scores(event, shares.astype(float).tolist()))
    assert_same(association_scores(shares.tolist(), event), association_scores(shares, event))


def test_share_matrix_keeps_empty_clusters_and_its_kind():
    torch = pytest.importorskip("torch")
    event = Event(np.zeros((2, 3)), [1.0, 1.0], particle_id=[0, 0])
    # min((0.5 - 1)^2, 0.5^2) / 0.5^2 = 1; S2R: (min((1 - 0.5)^2, 1) + 1) / 2 = 0.625
    m = match([[0.5, 0.0], [0.0, 0.0]], event)
    assert m.cluster_hits.tolist() == [1, 0]
    assert m.r2s.tolist() == [[1.0], [1.0]]
    assert m.s2r.tolist() == [[0.625], [1.0]]
    assert m.shared.tolist() == [[0.5], [0.0]]
    assert isinstance(association_scores(torch.ones(1, 2), event)["r2s"], torch.Tensor)
    assert association_scores(np.zeros((3, 0)), Event(np.empty((0, 3)), []))["r2s"].shape == (3, 0)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ([[0.5]], r"event 7: shares have shape \(1, 1\), expected \(clusters, 2 hits\)"),
        ([[0.5, 1.1]], "share of hit 1 in cluster 0 is 1.1"),
        ([[0.5, np.nan]], "share of hit 1 in cluster 0 is nan"),
        ([[0.5, 0.9], [0.5, 0.2]], "shares of hit 1 sum to 1.1, expected at most 1"),
    ],
)
def test_wrong_shares_are_named(shares, message):
    with pytest.raises(ValueError, match=message):
        association_scores(shares, Event(np.zeros((2, 3)), [1.0, 1.0], particle_id=[0, 0], number=7))


def test_worked_example():
    # Hits of 3 and 4; the second is a quarter particle 1. Cluster 0 holds both.
    # R2S(0, 0) = (0.25^2 * 16) / (9 + 16) = 0.04; R2S(0, 1) = (9 + 0.75^2 * 16) / 25 = 0.72
    # S2R(0, 0) = (0.25^2 * 16) / (9 + 0.75^2 * 16) = 1 / 18; S2R(1, 0): min(0.75^2, 0.25^2) / 0.25^2 = 1
    event = Event([[0, 0, 1], [1, 0, 1]], [3.0, 4.0], deposits=([0, 1, 1], [0, 0, 1], [3.0, 3.0, 1.0]))
    s = association_scores([0, 0], event)
    np.testing.assert_allclose(s["r2s"], [[0.04, 0.72]], atol=1e-12)
    np.testing.assert_allclose(s["s2r"], [[1 / 18, 1.0]], atol=1e-12)
    np.testing.assert_allclose(s["shared"], [[6.0, 1.0]], atol=1e-12)


def test_perfect_clusters_score_zero_and_strangers_one():
    event = random_event(1, extra=0, unknown=False)
    s = association_scores(event.particle_id, event)
    np.testing.assert_allclose(s["r2s"], 1 - np.eye(4), atol=1e-12)
    np.testing.assert_allclose(s["s2r"], 1 - np.eye(4), atol=1e-12)


def test_order_of_hits_and_numbers_of_clusters_do_not_matter():
    event = random_event(5)
    rng = np.random.default_rng(5)
    labels = rng.integers(-1, 4, event.n_hits)
    before = association_scores(labels, event)
    p = rng.permutation(event.n_hits)
    d = event.deposits
    moved = Event(
        event.position[p], event.energy[p], event.layer[p],
        deposits=(np.argsort(p)[d.hit], d.particle, d.energy), particles=event.particles,
    )  # fmt: skip
    assert_same(association_scores(labels[p], moved), before)
    number = np.array([2, 0, 3, 1])
    renamed = association_scores(np.where(labels >= 0, number[labels], -1), event)
    for name in before:
        np.testing.assert_allclose(renamed[name][number], before[name], atol=1e-12)


@pytest.mark.parametrize(
    ("n_hits", "labels", "particle_id", "shape"),
    [(0, [], [], (0, 0)), (1, [0], [0], (1, 1)), (1, [-1], [0], (0, 1)), (2, [0, 1], [-1, -1], (2, 0))],
)
def test_small_events(n_hits, labels, particle_id, shape):
    event = Event(np.zeros((n_hits, 3)), np.ones(n_hits), particle_id=particle_id)
    for value in association_scores(labels, event).values():
        assert value.shape == shape
        assert value.dtype == np.float64


def test_cluster_and_particle_without_energy_score_one():
    event = Event(np.zeros((2, 3)), [0.0, 1.0], particle_id=[0, 1])
    s = association_scores([0, 1], event)
    assert s["r2s"].tolist() == [[1.0, 1.0], [1.0, 0.0]]
    assert s["s2r"].tolist() == [[1.0, 1.0], [1.0, 0.0]]
    assert match([0, 1], event).particle_energy.tolist() == [0.0, 1.0]


def test_number_without_hits_is_an_empty_row():
    event = Event(np.zeros((2, 3)), [1.0, 1.0], particle_id=[0, 0])
    m = match([2, 0], event)
    assert m.cluster_hits.tolist() == [1, 0, 1]
    assert m.r2s[1].tolist() == [1.0]


def test_returns_the_kind_it_got():
    torch = pytest.importorskip("torch")
    event = random_event(2)
    labels = np.random.default_rng(2).integers(-1, 4, event.n_hits)
    s = association_scores(torch.as_tensor(labels), event)
    for name, value in association_scores(labels, event).items():
        assert isinstance(s[name], torch.Tensor)
        np.testing.assert_array_equal(s[name].numpy(), value)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0, 0], "event 7: labels have length 3, but the event has 2 hits"),
        ([[0, 1]], r"labels have length shape \(1, 2\)"),
        ([0, -2], "label of hit 1 is -2"),
        ([0.5, 0], "expected whole numbers"),
    ],
)
def test_wrong_labels_are_named(labels, message):
    with pytest.raises(ValueError, match=message):
        association_scores(labels, Event(np.zeros((2, 3)), [1.0, 1.0], particle_id=[0, 0], number=7))


@pytest.mark.parametrize("fractions", [([2], [0], [1.0]), ([0], [-1], [1.0]), ([0], [0], [1.5]), ([0], [0], [np.nan])])
def test_wrong_fractions_are_named(fractions):
    with pytest.raises(ValueError, match="entry 0 of fractions"):
        association_scores(None, Event(np.zeros((2, 3)), [1.0, 1.0], particle_id=[0, 0]), fractions)
