"""The compiled selection of the smallest entries against a stable sort."""

import numpy as np
import pytest

from cmlflow.graphs.selection import smallest


def selected(distance, k):
    out = np.full((len(distance), k), -1, np.int64)
    smallest(distance, k, out)
    return out


@pytest.mark.parametrize("values", [4, 50, 100_000])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 7), (30, 24), (191, 24), (192, 24), (193, 24), (1000, 1), (1000, 32)])
def test_equals_a_stable_sort(n, k, values):
    rng = np.random.default_rng(n * k)
    distance = rng.integers(0, values, (40, n)).astype(np.float32)
    distance[np.arange(40), rng.integers(0, n, 40)] = -np.inf
    np.testing.assert_array_equal(selected(distance, k), np.argsort(distance, axis=1, kind="stable")[:, :k])


def test_all_equal_and_infinite():
    expected = np.tile(np.arange(24), (3, 1))
    np.testing.assert_array_equal(selected(np.ones((3, 400), np.float32), 24), expected)
    np.testing.assert_array_equal(selected(np.full((3, 400), np.inf, np.float32), 24), expected)


@pytest.mark.parametrize("n", [30, 400])
def test_nan_gives_columns_that_exist(n):
    distance = np.full((3, n), np.nan, np.float32)
    distance[1, 4] = -np.inf
    found = selected(distance, 24)
    assert ((found >= 0) & (found < n)).all()
