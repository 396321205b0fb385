"""Distances between all points of one event, a tile of rows at a time: exact, in memory linear in the hits.

Squared distances come from matrix products, taken relative to a point of the event: in double precision, the products
of coordinates that were single precision are exact, so equal distances on a lattice stay equal.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.nn.functional import pad

from cmlflow.readouts.leaves import LEAF, leaves

ROWS = 64
SPARE = 4
ROUNDING = 1e-13
WORTH_BOUNDING = 4096  # points; below, all pairs cost less than the bounds


def kth_distance(x: Tensor, k: int) -> Tensor:
    """Euclidean distance of every point to its k-th nearest other point.

    Parameters
    ----------
    x : Tensor of shape (N, D), float64
    k : int
        Where there are fewer than `k` other points, the farthest one counts; zero for a single point.

    Returns
    -------
    Tensor of shape (N,), float64

    Notes
    -----
    A leaf of points looks at the nearest leaves first; that bounds its k-th distances, and leaves beyond the bound
    are left out. Selecting costs more than multiplying, so each row is then reduced to the minima of blocks of
    columns: the blocks with the lowest minima hold all the nearest points, and only their entries are sorted. The
    chosen distances are computed again from differences, which cancellation cannot spoil.
    """
    n = len(x)
    k = min(k, n - 1)
    if k < 1:
        return x.new_zeros(n)
    wanted = min(k + 1 + SPARE, n)
    cloud = leaves(x)
    x = cloud.x
    half_square = 0.5 * (x * x).sum(1)
    rounding = ROUNDING * (1.0 + float(half_square.max()))
    n_first = 1 + -(-2 * wanted // LEAF)
    result = x.new_empty(n)
    for leaf, (start, stop) in enumerate(itertools.pairwise(cloud.bounds)):
        rows = x[start:stop]
        needed = torch.ones(len(cloud.radius), dtype=torch.bool, device=x.device)
        if n > WORTH_BOUNDING and n_first < len(needed):
            gap = cloud.gap(rows)
            first = torch.zeros_like(needed)
            first[(cloud.centre - cloud.centre[leaf]).square().sum(1).topk(n_first, largest=False).indices] = True
            some = cloud.members(first)
            key = torch.addmm(half_square[some][None], rows, x[some].T, alpha=-1)
            bound = key.kthvalue(k + 1, dim=1).values + half_square[start:stop]
            needed = first | (gap <= (2 * (bound.clamp(min=0) + rounding)).sqrt()[:, None]).any(0)
        columns = cloud.members(needed)
        chosen = columns[_smallest(rows, x[columns], half_square[columns], wanted)]
        squared = (x[chosen] - rows[:, None]).square().sum(2)
        itself = chosen == torch.arange(start, stop, device=x.device)[:, None]
        squared[itself] = float("inf")
        result[cloud.order[start:stop]] = squared.kthvalue(k, dim=1).values.sqrt()
    return result


def _smallest(rows: Tensor, x: Tensor, half_square: Tensor, wanted: int) -> Tensor:
    """The `wanted` nearest points of each row, in any order: the lowest block minima name the blocks that hold them."""
    n = len(x)
    per_block = max(1, round((n / wanted) ** 0.5))
    n_blocks = -(-n // per_block)
    missing = n_blocks * per_block - n
    half_square = pad(half_square, (0, missing), value=float("inf"))
    key = torch.addmm(half_square[None], rows, pad(x, (0, 0, 0, missing)).T, alpha=-1)
    minima = key.view(len(rows), per_block, n_blocks).amin(1)
    blocks = minima.topk(wanted, largest=False, sorted=False).indices
    step = torch.arange(per_block, device=x.device) * n_blocks
    candidates = (blocks[:, :, None] + step).flatten(1)
    best = key.gather(1, candidates).topk(wanted, largest=False, sorted=False).indices
    nearest_columns: Tensor = candidates.gather(1, best)
    return nearest_columns


def nearest(queries: Tensor, x: Tensor) -> Tensor:
    """Position in `x` of the point nearest to each query.

    Parameters
    ----------
    queries : Tensor of shape (M, D), float64
    x : Tensor of shape (N, D), float64

    Returns
    -------
    Tensor of shape (M,), int64
    """
    queries, x = queries - x[0], x - x[0]
    half_square = 0.5 * (x * x).sum(1)
    columns = x.T.contiguous()
    tiles = [
        torch.addmm(half_square[None], queries[start : start + ROWS], columns, alpha=-1).argmin(1)
        for start in range(0, len(queries), ROWS)
    ]
    return torch.cat(tiles) if tiles else torch.zeros(0, dtype=torch.int64, device=x.device)


def local_sum(x: Tensor, weight: Tensor, radius: float, falling: bool = False) -> Tensor:
    """Sum of the weights of the other points within `radius` of each point.

    Parameters
    ----------
    x : Tensor of shape (N, D), float64
    weight : Tensor of shape (N,), float64
    radius : float
    falling : bool
        Multiply each weight by exp(-(distance / radius)^2).

    Returns
    -------
    Tensor of shape (N,), float64

    Notes
    -----
    Every pair of leaves within reach is looked at once, for both sides.
    """
    n = len(x)
    result = x.new_zeros(n)
    if n == 0:
        return result
    cloud = leaves(x)
    x, weight = cloud.x, weight[cloud.order]
    half_square = 0.5 * (x * x).sum(1)
    limit = 0.5 * radius**2 + ROUNDING * (1.0 + float(half_square.max()))
    reach = (2 * limit) ** 0.5
    for leaf, (start, stop) in enumerate(itertools.pairwise(cloud.bounds)):
        rows, n_rows = x[start:stop], stop - start
        needed = (cloud.gap(rows) <= reach).any(0)
        needed[:leaf] = False
        columns = cloud.members(needed)
        half = torch.addmm(half_square[columns][None], rows, x[columns].T, alpha=-1)
        half += half_square[start:stop, None]
        near = (half <= limit).to(x.dtype)
        if falling:
            near *= torch.exp(half.clamp_(min=0).mul_(-2.0 / radius**2))
        near[:, :n_rows].fill_diagonal_(0.0)
        result[start:stop] += near @ weight[columns]
        result[columns[n_rows:]] += weight[start:stop] @ near[:, n_rows:]
    return torch.empty_like(result).scatter_(0, cloud.order, result)


def nearest_before(x: Tensor) -> tuple[Tensor, Tensor]:
    """For each point the nearest one among those before it, and its distance.

    Parameters
    ----------
    x : Tensor of shape (N, D), float64

    Returns
    -------
    position : Tensor of shape (N,), int64
        The first point names itself. At equal distances the earlier one.
    distance : Tensor of shape (N,), float64
        Infinite for the first point.
    """
    n = len(x)
    position = torch.zeros(n, dtype=torch.int64, device=x.device)
    if n:
        shifted = x - x[0]
        half_square = 0.5 * (shifted * shifted).sum(1)
        columns = shifted.T.contiguous()
        for start in range(0, n, ROWS):
            stop = min(start + ROWS, n)
            key = torch.addmm(half_square[None, :stop], shifted[start:stop], columns[:, :stop], alpha=-1)
            own = key[:, start:]
            own.masked_fill_(torch.ones_like(own, dtype=torch.bool).triu_(), float("inf"))
            position[start:stop] = key.argmin(1)
        position[0] = 0
    distance = torch.linalg.vector_norm(x - x[position], dim=1)
    distance[:1] = float("inf")
    return position, distance
