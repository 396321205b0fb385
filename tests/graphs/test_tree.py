"""The tree search against all pairs in double precision, on clouds with and without a structure it can use."""

import numpy as np
import pytest
import torch

from cmlflow.graphs.tree import LEAF, tree_knn, tree_order


def all_pairs(x, k):
    """Neighbours by squared distance, then by position, from the full matrix of differences."""
    out = np.empty((len(x), k), np.int64)
    for i in range(len(x)):
        squared = ((x.astype(np.float64) - x[i].astype(np.float64)) ** 2).sum(1)
        squared[i] = -1
        out[i] = np.argsort(squared, kind="stable")[:k]
    return out


def cloud(n, dim, rank, noise=0.0, seed=0):
    """Points near a plane of `rank` dimensions, in clumps, far from the origin."""
    rng = np.random.default_rng(seed)
    clump = rng.normal(size=(12, rank)) * 5
    flat = clump[rng.integers(12, size=n)] + rng.normal(size=(n, rank))
    return (flat @ rng.normal(size=(rank, dim)) + noise * rng.normal(size=(n, dim)) + 7).astype(np.float32)


def assert_neighbours(x, found, k):
    """The same distances as in the full matrix, to single precision; each row names k points, itself first."""
    expected = all_pairs(x, k)
    exact = x.astype(np.float64)
    distance = [np.linalg.norm(exact[rows] - exact[:, None], axis=2) for rows in (found, expected)]
    np.testing.assert_allclose(*distance, rtol=1e-5, atol=1e-6)
    assert (found[:, 0] == np.arange(len(x))).all()
    assert all(len(set(row)) == k for row in found.tolist())


@pytest.mark.parametrize("n", [1, 2, LEAF - 1, LEAF, LEAF + 1, 5 * LEAF + 3, 1500])
@pytest.mark.parametrize(("dim", "rank", "noise"), [(3, 3, 0.0), (16, 3, 0.01), (64, 4, 0.05), (64, 64, 0.0)])
def test_equals_all_pairs(n, dim, rank, noise):
    x = cloud(n, dim, rank, noise)
    k = min(24, n)
    assert_neighbours(x, tree_knn(x, k), k)


@pytest.mark.parametrize("k", [1, LEAF, LEAF + 5, 200])
def test_any_number_of_neighbours(k):
    x = cloud(900, 20, 3, 0.1)
    assert_neighbours(x, tree_knn(x, k), k)


@pytest.mark.parametrize("dim", [2, 3, 8])
@pytest.mark.parametrize("side", [1, 3, 40])
def test_lattices_to_the_last_tie(dim, side):
    x = np.random.default_rng(1).integers(0, side, (1000, dim)).astype(np.float32)
    np.testing.assert_array_equal(tree_knn(x, 12), all_pairs(x, 12))


def test_equal_points_in_many_dimensions_go_by_position():
    x = np.repeat(cloud(300, 64, 4), 4, axis=0)
    np.testing.assert_array_equal(tree_knn(x, 4), all_pairs(x, 4))


def test_one_point_far_away_takes_nothing_from_the_others():
    x = cloud(1200, 64, 4, 0.02)
    x[17] = 1e6
    assert_neighbours(x, tree_knn(x, 10), 10)


def test_points_that_are_not_numbers_are_their_own_neighbours():
    x = cloud(1000, 16, 3)
    x[5] = np.nan
    found = tree_knn(x, 6)
    assert (found[5] == 5).all()
    assert ((found >= 0) & (found < 1000)).all()


def test_every_leaf_but_the_last_is_full_and_compact():
    y = cloud(1000, 4, 4)
    order = tree_order(y)
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    leaves = [y[order[a : a + LEAF]] for a in range(0, 1000, LEAF)]
    assert np.mean([leaf.var(0).sum() for leaf in leaves]) < 0.2 * y.var(0).sum()


def test_network_features_equal_the_tiles_of_torch():
    from cmlflow.graphs.neighbours import sorted_knn

    x = torch.from_numpy(cloud(2000, 64, 5, 0.02))
    tree, tiles = sorted_knn(x, 24, [0, 2000]), sorted_knn(x.double(), 24, [0, 2000])
    assert (tree == tiles).all(1).float().mean() > 0.999
