"""Exact k nearest neighbours without an N x N matrix.

On a CPU in single precision a compiled tree search (`cmlflow.graphs.tree`), elsewhere matrix products over tiles of
rows.

Cells sit on a lattice, so equal distances are common, and a plain top-k would depend on the order of the hits. The
points are therefore sorted by their coordinates first: the same set of points always has the same neighbours.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", Tensor, np.ndarray)

TILE_ELEMENTS = 1 << 18  # distances held at a time: 1 MB, about the second-level cache
DIRECT_DIMENSIONS = 8  # up to here squared differences are summed directly: exact, and as fast


def knn(x: Array, k: int, ptr: Array | None = None) -> Array:
    """The k nearest neighbours of every point within its own event, by Euclidean distance.

    Parameters
    ----------
    x : Tensor or ndarray of shape (n, F), float
        Points of one or several events.
    k : int
        Number of neighbours, the point itself included.
    ptr : Tensor or ndarray of shape (n_events + 1,), int, optional
        Event b owns points ``ptr[b]:ptr[b+1]``. One event by default. Neighbours never cross events.

    Returns
    -------
    Tensor or ndarray of shape (n, k), int64
        Row i starts with i itself, the others follow by increasing distance. Equal distances are ordered by the
        coordinates of the neighbours. Events with fewer than k points repeat the point itself.

    Raises
    ------
    ValueError
        `x` is not two-dimensional or not finite, `k` < 1, or `ptr` does not cover all points.

    Examples
    --------
    >>> knn(np.array([[0.0], [1.0], [3.0]]), k=2)
    array([[0, 1],
           [1, 0],
           [2, 1]])
    """
    points = torch.as_tensor(np.array(x) if isinstance(x, np.ndarray) else x)  # a copy may be written to
    if points.ndim != 2:
        raise ValueError(f"x has shape {tuple(points.shape)}, expected (n, F)")
    if k < 1:
        raise ValueError(f"k is {k}, expected 1 or more")
    if not bool(torch.isfinite(points).all()):
        row = int((~torch.isfinite(points)).any(1).nonzero()[0])
        raise ValueError(f"x of point {row} is not finite")
    bounds = event_bounds(ptr, len(points))
    points = points.detach()
    if points.dtype not in (torch.float32, torch.float64):  # exact for integers, no further loss for half precision
        points = points.float() if points.is_floating_point() else points.double()
    order = lexicographic_order(points, bounds)
    found = sorted_knn(points[order], k, bounds)
    out = torch.empty_like(found)
    out[order] = order[found]
    return out.numpy() if isinstance(x, np.ndarray) else out


def event_bounds(ptr: Tensor | np.ndarray | Sequence[int] | None, n: int) -> list[int]:
    """The limits of the events among `n` points, as a list; one event where `ptr` is None.

    Raises
    ------
    ValueError
        `ptr` does not rise from 0 to `n`.
    """
    bounds = [0, n] if ptr is None else [int(p) for p in (ptr.tolist() if isinstance(ptr, Tensor) else ptr)]
    if not bounds or bounds[0] != 0 or bounds[-1] != n or any(a > b for a, b in itertools.pairwise(bounds)):
        raise ValueError(f"ptr must rise from 0 to the number of points {n}, got {bounds}")
    return bounds


def bounds_of_batch(batch: Tensor, ptr: Any, n: int) -> list[int]:
    """The limits of the events from the event of each of `n` points.

    Raises
    ------
    ValueError
        `ptr` is given too, or `batch` has another shape or type, is negative or falls.
    """
    if ptr is not None:
        raise ValueError("ptr and batch are both given, expected one of them")
    if batch.shape != (n,) or batch.is_floating_point() or batch.dtype == torch.bool:
        raise ValueError(f"batch has shape {tuple(batch.shape)} and type {batch.dtype}, expected ({n},) integers")
    if n and (int(batch[0]) < 0 or bool((batch[1:] < batch[:-1]).any())):
        raise ValueError("batch is negative or falls, expected the number of each point's event, events in order")
    counts = torch.unique_consecutive(batch, return_counts=True)[1]
    return [0, *torch.cumsum(counts, 0).tolist()]


def lexicographic_order(x: Tensor, bounds: list[int]) -> Tensor:
    """Permutation that sorts the points of each event by their first column, then the second, and so on.

    Later columns matter only for points that agree in all earlier ones, and are read for those alone.
    """
    order = torch.argsort(x[:, 0], stable=True) if x.shape[1] else torch.arange(len(x), device=x.device)
    first = x[order, 0] if x.shape[1] else order
    if bool((first[1:] == first[:-1]).any()):
        order = torch.arange(len(x), device=x.device)
        for column in range(x.shape[1] - 1, -1, -1):
            order = order[torch.argsort(x[order, column], stable=True)]
    if len(bounds) > 2:
        sizes = torch.tensor([b - a for a, b in itertools.pairwise(bounds)], device=x.device)
        event = torch.repeat_interleave(torch.arange(len(sizes), device=x.device), sizes)
        order = order[torch.argsort(event[order], stable=True)]
    return order


def sorted_knn(x: Tensor, k: int, bounds: list[int], *, refine: bool = True) -> Tensor:
    """`knn` of points in a fixed order; of equally distant points the earlier one comes first.

    In more than 8 dimensions, the tiles find candidates by ``|a|^2 + |b|^2 - 2ab`` and `refine` sorts them by exact
    differences. Without it, neighbours whose squared distances differ by less than the rounding error may change
    places. The tree search is always exact.
    """
    out = torch.empty((len(x), k), dtype=torch.int64, device=x.device)
    for start, stop in itertools.pairwise(bounds):
        if stop > start:
            out[start:stop] = _one_event(x[start:stop], k, refine) + start
    return out


def _one_event(x: Tensor, k: int, refine: bool) -> Tensor:
    have = min(k, len(x))
    if x.device.type == "cpu" and x.dtype == torch.float32:
        from cmlflow.graphs.tree import tree_knn

        out = torch.from_numpy(tree_knn(x.contiguous().numpy(), have))
    else:
        out = _by_tiles(x, have, refine)
    if have < k:
        own = torch.arange(len(x), device=x.device)[:, None]
        out = torch.cat([out, own.expand(len(x), k - have)], 1)
    return out


def _by_tiles(x: Tensor, have: int, refine: bool) -> Tensor:
    n = len(x)
    direct = x.shape[1] <= DIRECT_DIMENSIONS
    spare = 0 if direct or not refine else min(8, n - have)
    centred = x if direct else x - x.mean(0)  # the expansion of the square loses digits far from the origin
    square = (centred * centred).sum(1)
    columns = centred.T.contiguous()
    out = torch.empty((n, have), dtype=torch.int64, device=x.device)
    rows = max(1, TILE_ELEMENTS // n)
    for a in range(0, n, rows):
        b = min(a + rows, n)
        distance = _direct(x[a:b], columns) if direct else _expanded(centred[a:b], columns, square)
        distance[torch.arange(b - a, device=x.device), torch.arange(a, b, device=x.device)] = -torch.inf
        nearest = _smallest(distance, have + spare)
        out[a:b] = _by_difference(x, nearest, a, b, have) if refine and not direct else nearest
    return out


def _direct(rows: Tensor, columns: Tensor) -> Tensor:
    """Squared distances as sums of squared differences, column by column of the features."""
    distance = torch.zeros((len(rows), columns.shape[1]), dtype=rows.dtype, device=rows.device)
    for f in range(rows.shape[1]):
        difference = rows[:, f, None] - columns[f]
        distance.addcmul_(difference, difference)
    return distance


def _expanded(rows: Tensor, columns: Tensor, square: Tensor) -> Tensor:
    """Squared distances minus |x_i|^2, which is constant along a row."""
    return torch.addmm(square, rows, columns, alpha=-2.0)


def _smallest(distance: Tensor, count: int) -> Tensor:
    """Columns of the `count` smallest entries of each row, by increasing value; equal values by column."""
    values, index = torch.topk(distance, count, dim=1, largest=False, sorted=True)
    if count < distance.shape[1]:
        # Which of several equal entries top-k keeps is arbitrary: keep the earliest ones.
        torn = ((distance <= values[:, -1:]).sum(1) > count).nonzero()[:, 0]
        for row in torch.split(torn, 256):
            d = distance[row]
            index[row] = torch.argsort(d, dim=1, stable=True)[:, :count]
            values[row] = d.gather(1, index[row])
    return _tie_sorted(values, index)


def _tie_sorted(values: Tensor, index: Tensor) -> Tensor:
    by_column = torch.argsort(index, dim=1)
    values, index = values.gather(1, by_column), index.gather(1, by_column)
    return index.gather(1, torch.argsort(values, dim=1, stable=True))


def _by_difference(x: Tensor, candidates: Tensor, a: int, b: int, count: int) -> Tensor:
    """The `count` nearest of the candidates, by exact differences; the point itself first."""
    candidates = torch.sort(candidates, dim=1).values
    exact = (x[candidates] - x[a:b, None]).square().sum(2)
    exact[candidates == torch.arange(a, b, device=x.device)[:, None]] = -torch.inf
    return candidates.gather(1, torch.argsort(exact, dim=1, stable=True)[:, :count])
