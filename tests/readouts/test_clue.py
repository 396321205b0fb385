import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cmlflow.readouts import Clue, clue, clue_links


def twin(x, energy, density_radius, link, min_density=0.0, outlier=None, kernel="flat"):
    """Hit by hit; returns labels numbered by falling density of the seed."""
    x, energy = np.array(x, float), np.array(energy, float)
    n = len(x)
    gap = [[float(np.sqrt(np.sum((x[i] - x[j]) ** 2))) for j in range(n)] for i in range(n)]
    rho = []
    for i in range(n):
        total = energy[i]
        for j in range(n):
            if j != i and gap[i][j] <= density_radius:
                total += energy[j] * (0.5 if kernel == "flat" else np.exp(-((gap[i][j] / density_radius) ** 2)))
        rho.append(total)
    order = sorted(range(n), key=lambda i: (-rho[i], -energy[i], *x[i]))
    labels, seeds = np.full(n, -1, np.int64), 0
    for position, i in enumerate(order):
        higher = order[:position]
        parent = min(higher, key=lambda j: gap[i][j]) if higher else None
        delta = gap[i][parent] if higher else np.inf
        if (delta > link and rho[i] >= min_density) or (position == 0 and outlier is None):
            labels[i], seeds = seeds, seeds + 1
        elif outlier is not None and rho[i] < min_density and delta > outlier:
            labels[i] = -1
        elif parent is not None:
            labels[i] = labels[parent]
    return labels


def unit(z):
    return np.array([row / np.linalg.norm(row) for row in np.array(z, float)]).reshape(np.shape(z))


@pytest.mark.parametrize("n", [0, 1, 2, 70, 150])
@pytest.mark.parametrize("kernel", ["flat", "gaussian"])
def test_equals_the_twin(blobs, n, kernel):
    z = blobs(n, dim=6, spread=0.1, seed=n)
    energy = np.random.default_rng(n).exponential(size=n)
    for radius, link, least, outlier in [
        (0.1, 0.5, 0, None),
        (0.3, 0.2, 2, None),
        (0.2, 0.3, 3, 0.3),
        (0.4, 0.4, 1e9, 0),
    ]:
        labels = clue(z, energy, radius, link, least, outlier_distance=outlier, kernel=kernel)
        np.testing.assert_array_equal(labels, twin(unit(z), energy, radius, link, least, outlier, kernel))


CLOUD = st.integers(0, 14).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float32, (n, 2), elements=st.integers(-3, 3).map(float)),
        hnp.arrays(np.float32, (n,), elements=st.integers(0, 3).map(float)),
    )
)


@settings(deadline=None, max_examples=60)
@given(CLOUD, st.sampled_from([1.0, 1.5, 2.0]), st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from([None, 0.5, 1.0]))
def test_equals_the_twin_where_everything_ties(cloud, radius, link, outlier):
    x, energy = cloud
    labels = clue(x, energy, radius, link, 2.0, outlier_distance=outlier, normalize=False)
    np.testing.assert_array_equal(labels, twin(x, energy, radius, link, 2.0, outlier))


@pytest.mark.parametrize("kernel", ["flat", "gaussian"])
def test_density_of_many_points_equals_the_full_matrix(blobs, kernel):
    z = blobs(700, spread=0.05)
    energy = np.random.default_rng(0).random(700)
    links = clue_links(z, energy, 0.2, kernel=kernel)
    gap = np.sqrt(((unit(z)[:, None] - unit(z)[None]) ** 2).sum(2))
    weight = np.where(gap <= 0.2, 0.5 if kernel == "flat" else np.exp(-((gap / 0.2) ** 2)), 0)
    np.fill_diagonal(weight, 1)
    np.testing.assert_allclose(links.density, (weight @ energy)[links.order], rtol=1e-10)
    assert np.all(np.diff(links.density) <= 0)


@settings(deadline=None, max_examples=60)
@given(CLOUD, st.permutations(range(14)))
def test_does_not_depend_on_the_order_of_hits(cloud, permutation):
    x, energy = cloud
    order = np.array([i for i in permutation if i < len(x)], int)
    labels = clue(x, energy, 1.0, 1.0, normalize=False)
    np.testing.assert_array_equal(clue(x[order], energy[order], 1.0, 1.0, normalize=False), labels[order])


def test_order_of_many_hits_with_equal_energies(blobs):
    z = blobs(500, spread=0.1)
    energy = np.full(500, 0.1)
    order = np.random.default_rng(2).permutation(500)
    labels = clue(z, energy, 0.4, 0.5)
    np.testing.assert_array_equal(clue(z[order], energy, 0.4, 0.5), labels[order])


def test_chains_follow_an_elongated_group():
    """A dense end and a long tail: one cluster along the chain, cut by any ball of the link length."""
    x = np.linspace(0, 10, 101)[:, None]
    energy = np.linspace(2, 1, 101)
    np.testing.assert_array_equal(clue(x, energy, 0.15, 0.5, normalize=False), np.zeros(101))


def test_energy_moves_the_seed():
    x = np.array([[0.0], [0.1], [0.2], [5.0]])
    links = clue_links(x, np.array([1.0, 1.0, 9.0, 1.0]), 0.15, normalize=False)
    assert links.order[0] == 2
    np.testing.assert_allclose(links.density, [9.5, 6.0, 1.5, 1.0])


def test_energies_default_to_one(blobs):
    z = blobs(100)
    np.testing.assert_array_equal(clue(z), clue(z, np.ones(100)))


def test_edge_cases():
    assert clue(np.zeros((0, 4)), np.zeros(0)).shape == (0,)
    np.testing.assert_array_equal(clue(np.ones((1, 4)), np.zeros(1)), [0])
    np.testing.assert_array_equal(clue(np.ones((200, 4)), np.ones(200)), np.zeros(200))
    np.testing.assert_array_equal(clue(np.ones((3, 4)), np.ones(3), min_density=99, outlier_distance=1.0), [-1] * 3)


def test_torch_parity(blobs):
    z, energy = blobs(150), np.random.default_rng(0).random(150).astype(np.float32)
    labels = clue(torch.from_numpy(z), torch.from_numpy(energy))
    assert isinstance(labels, torch.Tensor)
    np.testing.assert_array_equal(labels.numpy(), clue(z, energy))


def test_class_takes_energies_as_weights_and_sweeps(blobs):
    z, energy = blobs(200, spread=0.15), np.random.default_rng(0).exponential(size=200)
    readout = Clue(link_distance=0.4)
    np.testing.assert_array_equal(readout.fit_predict(z, sample_weight=energy), clue(z, energy, link_distance=0.4))
    settings = [
        {"density_radius": r, "link_distance": d, "kernel": k}
        for r in (0.1, 0.4)
        for d in (0.2, 0.6)
        for k in ("flat", "gaussian")
    ]
    for setting, labels in zip(settings, readout.sweep(z, settings, sample_weight=energy), strict=True):
        np.testing.assert_array_equal(labels, clue(z, energy, **setting))


def test_errors_name_the_cause(blobs):
    z = blobs(5)
    with pytest.raises(ValueError, match="energy: hit 3 has -1"):
        clue(z, np.array([0, 0, 0, -1.0, 0]))
    with pytest.raises(ValueError, match="energy: hit 1 has nan"):
        clue(z, np.array([0, np.nan, 0, 1.0, 0]))
    with pytest.raises(ValueError, match=r"energy: got shape \(4,\)"):
        clue(z, np.ones(4))
    with pytest.raises(ValueError, match="kernel: got 'round'"):
        clue(z, kernel="round")
    with pytest.raises(ValueError, match="density_radius: got 0"):
        clue(z, density_radius=0)


@pytest.mark.parametrize("dim", [2, 16])
def test_many_points_equal_the_full_matrix(blobs, dim):
    """Several leaves: neighbours of higher density as the full matrix of distances has them."""
    z = blobs(900, dim=dim, spread=0.05)
    energy = np.random.default_rng(1).random(900)
    links = clue_links(z, energy, 0.2)
    x = unit(z)[links.order]
    gap = np.sqrt(((x[:, None] - x[None]) ** 2).sum(2))
    gap[np.triu_indices(900)] = np.inf
    higher = gap.argmin(1)
    np.testing.assert_allclose(links.distance[1:], gap.min(1)[1:], rtol=1e-9)
    assert (links.higher == higher).mean() > 0.999
    assert links.distance[0] == np.inf


def test_a_hundred_thousand_hits_take_seconds():
    rng = np.random.default_rng(0)
    centre = rng.normal(size=(250, 4))
    z = centre[rng.integers(250, size=100_000)] + 0.05 * rng.normal(size=(100_000, 4))
    clue(z[:200], normalize=False)  # compiled
    start = time.process_time()
    clue(z, rng.exponential(size=100_000), 0.1, 0.5, normalize=False)
    assert time.process_time() - start < 10
