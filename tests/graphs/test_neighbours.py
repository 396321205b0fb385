"""Nearest neighbours against a loop in double precision, and their independence of the order of hits."""

import itertools
import sys

import numpy as np
import pytest
import torch

from cmlflow.graphs import knn
from cmlflow.graphs.neighbours import sorted_knn


def twin(x, k, bounds):
    """Sort all points of the event by distance; equal distances by coordinates. Lists of points, self first."""
    rows = []
    for start, stop in itertools.pairwise(bounds):
        for i in range(start, stop):
            others = [j for j in range(start, stop) if j != i]
            others.sort(
                key=lambda j, i=i: (
                    sum((float(a) - float(b)) ** 2 for a, b in zip(x[i], x[j], strict=True)),
                    tuple(x[j]),
                )
            )
            rows.append(([i, *others] + [i] * k)[:k])
    return np.array(rows, np.int64).reshape(-1, k)


def as_points(x, neighbours):
    """The neighbours of every point as sorted lists of coordinates: duplicates are alike."""
    return [sorted(map(tuple, x[row])) for row in neighbours]


def lattice(n, dim, side, seed=0):
    return np.random.default_rng(seed).integers(0, side, (n, dim)).astype(np.float32)


def gaussian(n, dim, seed=0):
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


@pytest.mark.parametrize("dim", [1, 3, 8, 16, 64])
@pytest.mark.parametrize("k", [1, 5, 24])
@pytest.mark.parametrize("kind", [np.float32, np.float64])  # by tree, by tiles
def test_equals_the_loop(dim, k, kind):
    x = gaussian(120, dim).astype(kind)
    np.testing.assert_array_equal(knn(x, k), twin(x, k, [0, 120]))


@pytest.mark.parametrize(("dim", "side"), [(3, 4), (2, 12), (16, 2), (64, 2)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_equal_distances_go_by_coordinates(dim, side, kind):
    x = lattice(90, dim, side).astype(kind)
    found = knn(x, 10)
    if dim <= 8:
        np.testing.assert_array_equal(x[found], x[twin(x, 10, [0, 90])])
    distance = ((x[found] - x[:, None]) ** 2).sum(2)
    expected = ((x[twin(x, 10, [0, 90])] - x[:, None]) ** 2).sum(2)
    np.testing.assert_array_equal(distance, expected)
    assert (found[:, 0] == np.arange(90)).all()


@pytest.mark.parametrize("offset", [0.0, 320.0])
@pytest.mark.parametrize(("dim", "side"), [(3, 4), (3, 9), (16, 2), (64, 2)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_order_of_points_does_not_matter(dim, side, offset, kind):
    x = (lattice(150, dim, side) + np.float32(offset)).astype(kind)
    expected = as_points(x, knn(x, 12))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(x))
        found = as_points(x[order], knn(x[order], 12))
        assert [found[i] for i in np.argsort(order)] == expected


def test_more_points_than_a_tile(monkeypatch):
    x, x16 = gaussian(300, 3).astype(np.float64), gaussian(300, 16).astype(np.float64)
    whole, whole16 = knn(x, 6), knn(x16, 6)
    monkeypatch.setattr(sys.modules["cmlflow.graphs.neighbours"], "TILE_ELEMENTS", 2100)  # seven rows
    np.testing.assert_array_equal(knn(x, 6), whole)
    np.testing.assert_array_equal(knn(x16, 6), whole16)


@pytest.mark.parametrize("dim", [3, 64])
def test_neighbours_never_cross_events(dim):
    x, ptr = gaussian(100, dim), [0, 40, 40, 41, 50, 100]  # one event is empty, one a single point
    found = knn(x, 15, np.array(ptr))
    np.testing.assert_array_equal(found, twin(x, 15, ptr))
    for start, stop in itertools.pairwise(ptr):
        assert ((found[start:stop] >= start) & (found[start:stop] < stop)).all()
        np.testing.assert_array_equal(found[start:stop], knn(x[start:stop], 15) + start)


def test_fewer_points_than_neighbours_repeat_the_point():
    np.testing.assert_array_equal(knn(np.array([[0.0], [5.0]]), 4), [[0, 1, 0, 0], [1, 0, 1, 1]])
    np.testing.assert_array_equal(knn(np.zeros((1, 3)), 3), [[0, 0, 0]])


@pytest.mark.parametrize("dim", [3, 16])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_all_points_equal(dim, kind):
    found = knn(np.ones((30, dim), kind), 5)
    assert (found[:, 0] == np.arange(30)).all()
    assert all(len(set(row)) == 5 for row in found.tolist())


@pytest.mark.parametrize("dim", [3, 16, 64])
def test_duplicates(dim):
    x = np.repeat(gaussian(20, dim), 3, axis=0)
    found = knn(x, 3)
    assert [set(row) for row in found.tolist()] == [{3 * (i // 3) + c for c in range(3)} for i in range(60)]


def test_far_from_the_origin():
    x = gaussian(80, 16) * 0.01 + 1000
    np.testing.assert_array_equal(knn(x, 6), twin(x, 6, [0, 80]))


@pytest.mark.parametrize("dim", [5, 64])
def test_without_refinement_distances_are_the_same_to_rounding(dim):
    x = torch.from_numpy(gaussian(700, dim)).double()
    x = x[torch.argsort(x[:, 0])]
    fast, exact = sorted_knn(x, 24, [0, 700], refine=False), sorted_knn(x, 24, [0, 700])
    distance = [(x[n] - x[:, None]).square().sum(2) for n in (fast, exact)]
    torch.testing.assert_close(*distance, rtol=1e-12, atol=1e-12)
    assert (fast[:, 0] == torch.arange(700)).all()


def test_numpy_and_torch_agree_and_keep_their_kind():
    x = gaussian(50, 16)
    ptr = np.array([0, 20, 50])
    x.flags.writeable = ptr.flags.writeable = False
    found = knn(x, 7, ptr)
    assert isinstance(found, np.ndarray)
    assert found.dtype == np.int64
    tensor = knn(torch.tensor(x).requires_grad_(), 7, torch.tensor(ptr))
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor.numpy(), found)
    np.testing.assert_array_equal(knn(x.astype(np.float64), 7, [0, 20, 50]), found)
    np.testing.assert_array_equal(knn(lattice(20, 3, 4).astype(np.int64), 7), knn(lattice(20, 3, 4), 7))
    np.testing.assert_array_equal(knn(x[::-1], 7), 49 - knn(np.array(x), 7)[::-1])


@pytest.mark.parametrize("n_columns", [3, 16])
def test_no_points(n_columns):
    assert knn(np.empty((0, n_columns)), 5).shape == (0, 5)
    assert knn(torch.empty(0, n_columns), 5, torch.tensor([0, 0, 0])).shape == (0, 5)


@pytest.mark.parametrize(
    ("x", "k", "ptr", "message"),
    [
        (np.zeros(3), 2, None, r"x has shape \(3,\)"),
        (np.zeros((3, 2)), 0, None, "k is 0"),
        (np.array([[0.0], [np.nan]]), 2, None, "x of point 1 is not finite"),
        (np.zeros((3, 2)), 2, np.array([0, 2]), r"ptr must rise from 0 to the number of points 3, got \[0, 2\]"),
        (np.zeros((3, 2)), 2, np.array([0, 2, 1, 3]), "ptr must rise"),
        (np.zeros((3, 2)), 2, np.array([1, 3]), "ptr must rise"),
        (np.zeros((3, 2)), 2, np.array([], np.int64), "ptr must rise"),
    ],
)
def test_wrong_input(x, k, ptr, message):
    with pytest.raises(ValueError, match=message):
        knn(x, k, ptr)


def test_integers_and_half_precision_are_not_rounded_further():
    large = np.array([[2**24], [2**24 + 1], [2**24 + 3]])
    assert knn(large, 2).tolist() == [[0, 1], [1, 0], [2, 1]]
    x = torch.randn(200, 64, generator=torch.Generator().manual_seed(0)).mul(5).half()
    assert torch.equal(knn(x, 8), knn(x.double(), 8))
