"""Readouts as ONNX: greedy centres by density or beta, and CLUE. One event at a time, in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from cmlflow.export.graph import Step
from cmlflow.export.search import (
    NEAR,
    ROUNDING,
    Tile,
    Tree,
    build_tree,
    each_tile,
    inverse,
    lexicographic,
    nearest,
    partial_distances,
    places,
    put,
)
from cmlflow.export.values import BOOL, DOUBLE, INT, Value
from cmlflow.readouts import Clue, Condensation, Density

LARGE = np.iinfo(np.int64).max
DIGITS = 40  # binary digits to which densities are compared, as in cmlflow.readouts.clue


def labels(readout: Any, z: Value, width: int, beta: Value | None, weight: Value) -> Value:
    """Cluster of every point, as the `fit_predict` of a readout gives it.

    Parameters
    ----------
    readout : Density, Condensation or Clue
    z : Value of shape (n, width), float32
        Embedding or coordinates, n at least 1.
    width : int
    beta : Value of shape (n,), float32, or None
    weight : Value of shape (n,), float32
        What CLUE sums.

    Returns
    -------
    Value of shape (n,), int64
    """
    x = z.cast(DOUBLE)
    if isinstance(readout, Density | Clue) and readout.normalize:
        norm = (x * x).sum(1, keep=True).map("Sqrt")
        x = x / z.graph.where(norm > 0.0, norm, 1.0)
    if isinstance(readout, Clue):
        return clue(readout, x, width, weight.cast(DOUBLE))
    if isinstance(readout, Density):
        score = density_score(readout, x, width)
    else:
        assert isinstance(readout, Condensation)
        assert beta is not None
        score = beta.cast(DOUBLE)
    return greedy(x, width, score, readout.threshold, readout.radius, readout.assign_rest)


def density_score(readout: Density, x: Value, width: int) -> Value:
    """exp(-d_k / temperature), d_k the distance to the k-th nearest other point or to the farthest."""
    tree = build_tree(x.cast(np.dtype(np.float32)), width)
    farthest = each_tile(tree, lambda tile: nearest(tree, tile, readout.k + 1, x)[1].max(1))
    return (farthest.map("Sqrt") / -readout.temperature).map("Exp")


def greedy(x: Value, width: int, score: Value, threshold: float, radius: float, assign_rest: bool) -> Value:
    """`cmlflow.readouts.greedy.greedy_centres`: one step per centre over the points still unclaimed."""
    g, n = x.graph, x.size()
    order = lexicographic([-score, *(x.take(g.constant(c, INT), axis=1) for c in range(width))])
    lowest = g.constant([-np.inf], DOUBLE)

    def claim(centre: Value, label: Value, x: Value, score: Value, rest: Value, near: Value, away: Value) -> Step:
        difference = x - x.slice(0, 1)
        distance = (difference * difference).sum(1)
        inside = (distance < radius * radius) | g.arange(rest.size()).equal(0)
        claimed = rest.take(g.nonzero(inside))
        label = put(label, claimed, g.op("Expand", centre, g.vector(claimed.size())))
        closer = distance < away
        near, away = g.where(closer, centre, near), g.where(closer, distance, away)
        keep = g.nonzero(~inside)
        x, score, rest, near, away = (v.take(keep) for v in (x, score, rest, near, away))
        best = g.concat([score, lowest], 0).slice(0, 1).squeeze(0)
        return Step([label, x, score, rest, near, away], go_on=best > threshold)

    none, nothing_near = g.full(-1, INT, n), (g.full(0, INT, n), g.full(np.inf, DOUBLE, n))
    state = (none, x.take(order), score.take(order), g.arange(n), *nothing_near)
    label, _, _, rest, near, _ = g.loop(n, claim, *state)
    if assign_rest:
        label = put(label, rest, near)
    return label.take(inverse(order))


def clue(readout: Clue, x: Value, width: int, weight: Value) -> Value:
    """`cmlflow.readouts.clue`: seeds of high energy density, every other point follows its nearest denser one."""
    g, n = x.graph, x.size()
    tree = build_tree(x, width)
    others = local_sum(tree, weight, readout.density_radius, readout.kernel)
    density = to_digits(weight + others * (0.5 if readout.kernel == "flat" else 1.0), DIGITS)
    order = lexicographic([-density, -weight, *(x.take(g.constant(c, INT), axis=1) for c in range(width))])
    rank = inverse(order)
    higher = nearest_before(tree, rank).take(order)
    difference = x.take(order) - x.take(order).take(higher)
    distance = (difference * difference).sum(1).map("Sqrt")
    first = g.arange(n).equal(0)
    distance = g.where(first, g.constant(np.inf, DOUBLE), distance)
    dense = density.take(order) >= readout.min_density
    seed = (distance > readout.link_distance) & dense
    if readout.outlier_distance is None:
        end = seed = seed | first
    else:
        end = seed | (~dense & (distance > readout.outlier_distance))
    root = follow(g.where(end, g.arange(n), higher))
    number = g.where(seed, g.op("CumSum", seed.cast(INT), g.constant(0, INT)) - 1, g.constant(-1, INT))
    return number.take(root).take(rank)


def local_sum(tree: Tree, weight: Value, radius: float, kernel: str) -> Value:
    """Sum of the weights of the other points within a radius, for ``"gaussian"`` falling with the distance."""
    g = tree.x.graph
    own = (tree.x * tree.x).sum(1)
    limit = (own.max(0) * 0.5 + 1.0) * (2 * ROUNDING["d"]) + radius**2
    padded = g.concat([weight, g.full(0.0, DOUBLE, tree.order.size() - weight.size())], 0)

    def near(tile: Tile) -> Value:
        blocks = g.nonzero(tile.gap <= limit * (1 + 1e-9))
        squared = partial_distances(tree, tile, blocks) + own.take(tile.rows)
        some = g.nonzero(squared.min(1) <= limit)  # near some row
        squared, point = squared.take(some), places(tree, blocks).take(some)
        share = (squared <= limit).cast(DOUBLE)
        if kernel == "gaussian":
            share = share * (g.larger(squared, 0.0) / -(radius**2)).map("Exp")
        other = ~point.expand(1).equal(tile.rows)
        return padded.take(point) @ (share * other.cast(DOUBLE))

    return each_tile(tree, near)


def nearest_before(tree: Tree, rank: Value) -> Value:
    """Rank of the nearest point among those of lower rank, shape (n,); that of the first is its own, 0."""
    g = tree.x.graph
    padded = g.concat([rank, g.full(LARGE, INT, tree.order.size() - rank.size())], 0)
    ranks = padded.take(tree.order).reshape(-1, tree.blocks.size(1))
    lowest = ranks.min(1)
    infinite = g.constant(np.inf, DOUBLE)

    def masked(tile: Tile, blocks: Value) -> tuple[Value, Value]:
        others = ranks.take(blocks).reshape(-1, 1)
        before = others < rank.take(tile.rows)
        return g.where(before, partial_distances(tree, tile, blocks), infinite), others

    def find(tile: Tile) -> Value:
        own = rank.take(tile.rows)
        useful = lowest < own.max(0)
        gap = g.where(useful, tile.gap, infinite)
        _, first = gap.smallest(g.smaller(gap.size(), g.constant(NEAR, INT)), ordered=False)
        limit = masked(tile, first)[0].min(0) + (tile.points * tile.points).sum(1)
        limit = g.where(own.equal(0), g.constant(0.0, DOUBLE), limit).max(0) + tree.slack
        blocks = g.nonzero((gap <= limit) & useful)
        blocks = g.concat([blocks, g.constant([0], INT)], 0)  # never none
        distance, others = masked(tile, blocks)
        best = g.where(distance <= distance.min(0, keep=True), others, g.constant(LARGE, INT)).min(0)
        return g.where(own.equal(0), own, best)

    return each_tile(tree, find)


def follow(root: Value) -> Value:
    """Every entry replaced by the end of its chain."""
    g = root.graph

    def jump(_: Value, root: Value) -> Step:
        further = root.take(root)
        moved = (~further.equal(root)).cast(INT).max(0)
        return Step([further], go_on=moved > 0)

    (end,) = g.loop(g.constant(64, INT), jump, root)
    return end


def to_digits(x: Value, digits: int) -> Value:
    """Rounded to a number of binary digits by Dekker's splitting, so that sums in another order still tie."""
    scaled = x * (2.0 ** (53 - digits) + 1.0)
    return scaled - (scaled - x)


def hits_first(label: Value, is_track: Value) -> Value:
    """Clusters numbered anew without gaps: those with hits in their order, then those with points of tracks alone."""
    g, n = label.graph, label.size()
    room = g.full(0, INT, n + 1)  # the last entry is for -1
    one = g.full(1, INT, n)
    index = g.where(label < 0, n, label)
    present = put(room, index, one)
    by_hit = put(room, g.where(is_track, n, index), one)
    zero = g.constant([0], INT)
    with_hits, present = (g.concat([v.slice(0, n), zero], 0) for v in (by_hit, present))
    alone = present - with_hits
    count = g.op("CumSum", with_hits, g.constant(0, INT))
    after = g.op("CumSum", alone, g.constant(0, INT)) + with_hits.sum(0)
    number = g.where(with_hits.cast(BOOL), count, after) - 1
    return g.where(label < 0, g.constant(-1, INT), number.take(index))
