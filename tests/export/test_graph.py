"""Arithmetic on values is that of numpy; loops and branches see what is around them."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the package onnx")
pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")

from cmlflow.export.graph import Step
from cmlflow.export.values import INT

RNG = np.random.default_rng(0)
OPSETS = [15, 18, 21]


@pytest.mark.parametrize("opset", OPSETS)
def test_operators_are_those_of_numpy(evaluate, opset):
    a, b = RNG.normal(size=(5, 4)).astype(np.float32), RNG.normal(size=(5, 4)).astype(np.float32)

    def function(a, b):
        g = a.graph
        return [
            a + b, a - 1.0, 2.0 - a, a * b, a / b, -a, a @ b.transposed(), (a < b) & ~(a <= 0.0), (a > b) | (a >= 1.0),
            a.sum(1), a.max(0, keep=True), a.min(1), a.mean(0), a.columns(1, 3), a.slice(0, -2), a.expand(1),
            g.larger(a, b), g.where(a < b, a, 0.0), g.concat([a, b], 1), a.smallest(2, axis=1)[0],
        ]  # fmt: skip

    want = [
        a + b, a - 1, 2 - a, a * b, a / b, -a, a @ b.T, (a < b) & ~(a <= 0), (a > b) | (a >= 1),
        a.sum(1), a.max(0, keepdims=True), a.min(1), a.mean(0), a[:, 1:3], a[:-2], a[:, None],
        np.maximum(a, b), np.where(a < b, a, 0), np.concatenate([a, b], 1), np.sort(a, axis=1)[:, :2],
    ]  # fmt: skip
    for have, expected in zip(evaluate(function, opset, a=a, b=b), want, strict=True):
        assert have.shape == expected.shape
        np.testing.assert_allclose(have, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("opset", OPSETS)
def test_a_loop_keeps_state_stacks_rows_and_stops(evaluate, opset):
    def function(n):
        g = n.graph

        def body(i, total):
            total = total + i * n  # n is from outside the loop
            return Step([total], [total * 10], go_on=total < 20)

        return g.loop(n, body, g.constant(0, INT))

    total, rows = evaluate(function, opset, n=np.array(7))
    assert total == 21  # 0 + 7 + 14
    assert rows.tolist() == [0, 70, 210]


def test_a_branch_runs_one_side(evaluate):
    def function(x):
        n = x.size()
        return x.graph.branch(n > 2, lambda: [x * 2.0], lambda: [x - 1.0])

    assert evaluate(function, x=np.ones(2))[0].tolist() == [0, 0]
    assert evaluate(function, x=np.ones(3))[0].tolist() == [2, 2, 2]


def test_equal_constants_are_kept_once(evaluate):
    from cmlflow.export.graph import Graph

    graph = Graph(15)
    assert graph.constant([1, 2], INT).name == graph.constant([1, 2], INT).name
    assert graph.constant([1, 2], INT).name != graph.constant([[1, 2]], INT).name
    assert graph.constant(1, INT).name != graph.constant(1, np.dtype(np.int32)).name
