"""Neighbours in double precision against the full matrix, also where single precision cannot tell."""

import numpy as np
import pytest

from cmlflow.graphs.double import nearest_others


def full_matrix(x, k):
    squared = np.zeros((len(x), len(x)))
    for f in range(x.shape[1]):
        squared += (x[:, None, f] - x[None, :, f]) ** 2
    np.fill_diagonal(squared, np.inf)
    index = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return index, np.sqrt(np.take_along_axis(squared, index, 1))


def assert_equal(x, k):
    index, distance = nearest_others(x, k)
    expected = full_matrix(x, k)
    np.testing.assert_array_equal(index, expected[0])
    np.testing.assert_allclose(distance, expected[1], rtol=1e-14, atol=0)


@pytest.mark.parametrize(("n", "dim"), [(2, 3), (300, 1), (1000, 3), (1500, 16), (200, 64)])
def test_equals_the_full_matrix(n, dim):
    x = np.random.default_rng(n).normal(size=(n, dim)) + 100
    for k in sorted({1, min(24, n - 1), n - 1}):
        assert_equal(x, k)


@pytest.mark.parametrize("spread", [1e-9, 1e-7, 1e-3, 1.0])
def test_clumps_narrower_than_single_precision(spread):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(8, 16))[rng.integers(8, size=1200)] + spread * rng.normal(size=(1200, 16))
    assert_equal(x, 10)


def test_close_points_keep_their_digits():
    assert_equal(1 + 1e-6 * np.arange(500.0)[:, None] ** 2, 3)


def test_ties_go_by_position():
    assert_equal(np.random.default_rng(0).integers(0, 5, (600, 3)).astype(float), 12)
    assert_equal(np.ones((100, 4)), 7)
    assert_equal(np.repeat(np.random.default_rng(0).normal(size=(90, 16)), 10, axis=0), 12)


def test_one_point_far_away():
    x = np.random.default_rng(0).normal(size=(900, 5))
    x[3] = 1e9
    assert_equal(x, 6)


def test_none_asked_for():
    index, distance = nearest_others(np.zeros((4, 2)), 0)
    assert index.shape == distance.shape == (4, 0)
