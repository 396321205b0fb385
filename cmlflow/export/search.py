"""Neighbour search in standard operators: a balanced k-d order cut into blocks; each tile of rows looks at few of them.

All bounds are exact: a block is left out only where none of its points can be among the neighbours of the tile. Nothing
of size N x N is ever held.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cmlflow.export.graph import Graph, Step
from cmlflow.export.values import INT, Value

LEAF = 32  # points of a block, and rows of a tile
NEAR = 8  # blocks that the first bound of a tile is taken from
SPARE = 8  # candidates beyond k that are ranked by exact differences
LEVELS = 22  # most halvings: 32 x 2^22 points
ROUNDING = {"f": 4e-6, "d": 1e-13}  # of a squared distance from a matrix product, relative to the largest square


def lexicographic(columns: Sequence[Value]) -> Value:
    """Order of rows by the first column, equal ones by the second, and so on."""
    order = None
    for column in reversed(columns):
        key = column if order is None else column.take(order)
        _, place = key.smallest(key.size())
        order = place if order is None else order.take(place)
    assert order is not None
    return order


def inverse(order: Value) -> Value:
    """The permutation that undoes another: the place of row i in `order`."""
    return put(order, order, order.graph.arange(order.size()))


def put(data: Value, index: Value, values: Value) -> Value:
    """A copy of vector `data` with entries at `index` replaced."""
    return data.graph.op("ScatterElements", data, index, values, axis=0)


@dataclass(frozen=True, eq=False)
class Tree:
    """Points in k-d order, padded with points that are far from all others to a power of two of full blocks.

    Attributes
    ----------
    x : Value of shape (n, F)
        The points in their own order, relative to their mean.
    order : Value of shape (L * 32,)
        Row of `x` at each place; padding comes last.
    blocks : Value of shape (L, 32, F)
    square : Value of shape (L, 32)
        Squared norms.
    low, high : Value of shape (L, F)
        Sides of the boxes around the blocks.
    width : int
        F.
    slack : Value
        What rounding may do to a squared distance from a matrix product.
    """

    x: Value
    order: Value
    blocks: Value
    square: Value
    low: Value
    high: Value
    width: int
    slack: Value


@dataclass(frozen=True, eq=False)
class Tile:
    """The points of one block as rows of a search.

    Attributes
    ----------
    rows : Value of shape (32,)
        Which points; the last tile repeats its last one.
    points : Value of shape (32, F)
    gap : Value of shape (L,)
        Squared distance between their box and every block's.
    """

    rows: Value
    points: Value
    gap: Value


def build_tree(x: Value, width: int) -> Tree:
    """The tree of points of shape (n, width), n at least 1."""
    g = x.graph
    n = x.size()
    x = x - x.mean(0, keep=True)
    sizes = g.constant(LEAF * 2 ** np.arange(LEVELS), INT)
    levels = (sizes < n).cast(INT).sum(0)
    total = sizes.take(levels)
    far = x.map("Abs").max(1).max(0) * 10.0 + 1.0
    padding = g.op("Expand", far, g.vector(total - n, width))
    padded = g.concat([x, padding], 0)
    order, _ = g.loop(levels, lambda _, o, parts: _halve(padded, width, o, parts), g.arange(total), g.vector(1))
    blocks = padded.take(order).reshape(-1, LEAF, width)
    slack = (x * x).sum(1).max(0) * ROUNDING[x.dtype.char]
    return Tree(x, order, blocks, (blocks * blocks).sum(2), blocks.min(1), blocks.max(1), width, slack)


def _halve(x: Value, width: int, order: Value, parts: Value) -> Step:
    """Sort every part along the widest side of its box."""
    g = x.graph
    size = order.size() // parts.squeeze(0)
    points = x.take(order).reshape(parts, size, width)
    widest = g.op("ArgMax", points.max(1) - points.min(1), axis=1, keepdims=1, dtype=INT)
    where = g.op("Expand", widest.expand(2), g.vector(parts, size, 1))
    _, place = points.take_along(where, 2).squeeze(2).smallest(size, axis=1)
    return Step([order.reshape(parts, size).take_along(place, 1).reshape(-1), parts * 2])


def each_tile(tree: Tree, visit: Callable[[Tile], Value], width: int | None = None) -> Value:
    """One row of results per point, shape (n, width) or (n,): `visit` gives those of a tile, shape (32, width)."""
    g = tree.x.graph
    n = tree.x.size()

    def body(i: Value) -> Step:
        place = g.smaller(i * LEAF + g.constant(np.arange(LEAF), INT), n - 1)
        rows = tree.order.take(place)
        points = tree.x.take(rows)
        low, high = points.min(0, keep=True), points.max(0, keep=True)
        gap = g.op("Max", tree.low - high, low - tree.high, 0.0)
        return Step(scans=[visit(Tile(rows, points, (gap * gap).sum(1)))])

    (found,) = g.loop((n + (LEAF - 1)) // LEAF, body)
    found = found.reshape(-1) if width is None else found.reshape(-1, width)
    return found.slice(0, n).take(inverse(tree.order.slice(0, n)))


def partial_distances(tree: Tree, tile: Tile, blocks: Value) -> Value:
    """|b|^2 - 2ab of every point b of some blocks with every row a: squared distances less |a|^2, shape (m, 32)."""
    points = tree.blocks.take(blocks).reshape(-1, tree.width)
    square = tree.square.take(blocks).reshape(-1, 1)
    return tree.x.graph.op("Gemm", points, tile.points, square, alpha=-2.0, beta=1.0, transB=1)


def places(tree: Tree, blocks: Value) -> Value:
    """Points that the columns of `partial_distances` stand for."""
    return tree.order.reshape(-1, LEAF).take(blocks).reshape(-1)


def nearest(tree: Tree, tile: Tile, k: int, exact: Value) -> tuple[Value, Value]:
    """The k nearest points to every row of a tile, itself included; all points where there are fewer.

    Parameters
    ----------
    tree : Tree
    tile : Tile
    k : int
    exact : Value of shape (n, F)
        The points whose differences decide, in the precision that is wanted.

    Returns
    -------
    index : Value of shape (32, k)
        In no order.
    squared : Value of shape (32, k)
        Squared distances.
    """
    g = tree.x.graph
    k_or_all = g.smaller(exact.size(), g.constant(k, INT))
    _, first = tile.gap.smallest(g.smaller(tile.gap.size(), g.constant(NEAR, INT)), ordered=False)
    values, _ = partial_distances(tree, tile, first).transposed().smallest(k_or_all, axis=1, ordered=False)
    limit = values.max(1) + tree.slack
    reach = (limit + (tile.points * tile.points).sum(1)).max(0)
    blocks = g.nonzero(tile.gap <= reach + tree.slack)
    distance = partial_distances(tree, tile, blocks)
    column = g.nonzero((distance - limit).min(1) <= tree.slack)  # near enough to some row
    n_candidates = g.smaller(g.smaller(exact.size(), g.constant(k + SPARE, INT)), column.size())
    _, place = distance.take(column).transposed().smallest(n_candidates, axis=1, ordered=False)
    index = places(tree, blocks).take(column).take(place)
    difference = exact.take(index) - exact.take(tile.rows).expand(1)
    squared, place = (difference * difference).sum(2).smallest(k_or_all, axis=1, ordered=False)
    return index.take_along(place, 1), squared


def sorted_rows(x: Value, columns: int) -> Value:
    """The order of `lexicographic` of the first columns of a matrix."""
    g: Graph = x.graph
    return lexicographic([x.take(g.constant(column, INT), axis=1) for column in range(columns)])
