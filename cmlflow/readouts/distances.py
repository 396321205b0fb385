"""Distances between all points of one event, a tile of rows at a time: exact, in memory linear in the hits.

Squared distances come from matrix products, taken relative to a point of the event: in double precision, the products
of coordinates that were single precision are exact, so equal distances on a lattice stay equal.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from cmlflow.readouts.leaves import leaves

ROWS = 64
ROUNDING = 1e-13


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
