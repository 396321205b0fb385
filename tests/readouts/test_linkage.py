"""Ward's tree against scipy's, which keeps all distances."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import cophenet, fcluster, is_valid_linkage, linkage
from sklearn.metrics import adjusted_rand_score

from cmlflow.readouts.linkage import ward_tree


def clumps(n, dim, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(9, dim))[rng.integers(9, size=n)] * 3 + rng.normal(size=(n, dim)) * 0.3


@pytest.mark.parametrize("n", [2, 3, 31, 64, 65, 700])
@pytest.mark.parametrize("dim", [1, 3, 16, 40])
def test_equals_scipy(n, dim):
    x = clumps(n, dim)
    tree, expected = ward_tree(x), linkage(x, "ward")
    assert is_valid_linkage(tree, throw=True)
    np.testing.assert_allclose(tree[:, 2:], expected[:, 2:], rtol=1e-10)
    np.testing.assert_allclose(cophenet(tree), cophenet(expected), rtol=1e-10)


def test_input_is_not_written_to():
    x = clumps(100, 4)
    copy = x.copy()
    ward_tree(x)
    np.testing.assert_array_equal(x, copy)


def test_equal_points_merge_at_height_zero():
    x = np.repeat(clumps(80, 16), 5, axis=0)
    tree = ward_tree(x)
    assert is_valid_linkage(tree, throw=True)
    np.testing.assert_allclose(tree[:320, 2], 0, atol=1e-12)
    np.testing.assert_allclose(tree[320:, 2], linkage(x, "ward")[320:, 2], rtol=1e-9)


def test_all_points_equal():
    tree = ward_tree(np.full((200, 3), 0.1))
    assert is_valid_linkage(tree, throw=True)
    np.testing.assert_allclose(tree[:, 2], 0, atol=1e-12)


def test_many_equal_distances_still_end_and_separate_what_is_far():
    x = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), -1).reshape(-1, 2)
    x = np.concatenate([x, x + 1000])
    tree = ward_tree(x)
    assert is_valid_linkage(tree, throw=True)
    assert adjusted_rand_score(fcluster(tree, 2, "maxclust"), np.arange(800) // 400) == 1


def test_one_point_far_away():
    x = clumps(500, 8)
    x[7] = 1e7
    np.testing.assert_allclose(ward_tree(x)[:, 2], linkage(x, "ward")[:, 2], rtol=1e-6)
