"""The neighbour search in ONNX against all distances in float64."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

from cmlflow.export.search import LEAF, build_tree, each_tile, inverse, lexicographic, nearest

RNG = np.random.default_rng(1)
CLOUDS = {
    "one": RNG.normal(size=(1, 3)),
    "fewer than k": RNG.normal(size=(5, 3)),
    "a block": RNG.normal(size=(LEAF, 3)),
    "a block and one": RNG.normal(size=(LEAF + 1, 3)),
    "groups": np.concatenate([RNG.normal(c, 0.1, size=(130, 3)) for c in ([0, 0, 0], [5, 0, 0], [0, 90, 0])]),
    "wide": RNG.normal(size=(700, 64)) * np.geomspace(5, 0.01, 64),
    "far from the origin": RNG.normal(size=(300, 4)) + 1000,
    "all equal": np.ones((70, 3)),
    "lattice": RNG.integers(0, 6, size=(400, 3)).astype(float),
}


def search(evaluate, x, k, exact=None, opset=15):
    width = x.shape[1]

    def function(x, exact):
        tree = build_tree(x, width)
        n_found = min(k, N)
        index = each_tile(tree, lambda tile: nearest(tree, tile, k, exact)[0], n_found)
        squared = each_tile(tree, lambda tile: nearest(tree, tile, k, exact)[1], n_found)
        return [index, squared]

    N = len(x)
    return evaluate(function, opset, x=x, exact=x if exact is None else exact)


@pytest.mark.parametrize("k", [1, 8, 25])
@pytest.mark.parametrize("name", CLOUDS)
def test_neighbours_are_the_nearest(evaluate, name, k):
    x = CLOUDS[name].astype(np.float32)
    index, squared = search(evaluate, x, k)
    d = ((x[:, None].astype(float) - x[None]) ** 2).sum(2)
    want = np.sort(d, axis=1)[:, :k]
    assert all(len(set(row)) == len(row) for row in index.tolist())  # never one twice
    np.testing.assert_allclose(np.sort(np.take_along_axis(d, index, 1), axis=1), want, rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(np.sort(squared, axis=1), want, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize("opset", [18, 21])
def test_later_opsets_find_the_same(evaluate, opset):
    x = CLOUDS["groups"].astype(np.float32)
    for have, want in zip(search(evaluate, x, 8, opset=opset), search(evaluate, x, 8), strict=True):
        np.testing.assert_array_equal(have, want)


def test_distances_have_the_precision_of_the_exact_points(evaluate):
    x = CLOUDS["groups"]
    _, squared = search(evaluate, x.astype(np.float32), 10, exact=x)
    want = np.sort(((x[:, None] - x[None]) ** 2).sum(2), axis=1)[:, :10]
    np.testing.assert_allclose(np.sort(squared, axis=1), want, rtol=1e-12, atol=1e-18)


def test_lexicographic_order_is_that_of_numpy(evaluate):
    x = RNG.integers(0, 3, size=(200, 3)).astype(np.float32)

    def function(x):
        order = lexicographic([x.columns(i, i + 1).squeeze(1) for i in range(3)])
        return [order, inverse(order)]

    order, back = evaluate(function, x=x)
    np.testing.assert_array_equal(order, np.lexsort(x.T[::-1]))
    np.testing.assert_array_equal(order[back], np.arange(200))
