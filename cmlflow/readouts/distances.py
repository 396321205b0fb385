"""Distances between all points of one event, a tile of rows at a time: exact, in memory linear in the hits.

Squared distances come from matrix products, taken relative to a point of the event: in double precision, the products
of coordinates that were single precision are exact, so equal distances on a lattice stay equal.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

ROWS = 64
SPARE = 4


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
    Selecting costs more than multiplying, so each row is first reduced to the minima of blocks of columns: the
    blocks with the lowest minima hold all the nearest points, and only their entries are sorted. The chosen
    distances are computed again from differences, which cancellation cannot spoil.
    """
    n = len(x)
    k = min(k, n - 1)
    if k < 1:
        return x.new_zeros(n)
    x = x - x[0]
    wanted = min(k + 1 + SPARE, n)
    per_block = max(1, round((n / wanted) ** 0.5))
    n_blocks = -(-n // per_block)
    missing = n_blocks * per_block - n
    half_square = pad(0.5 * (x * x).sum(1), (0, missing), value=float("inf"))
    columns = pad(x.T, (0, missing)).contiguous()
    step = torch.arange(per_block, device=x.device) * n_blocks
    result = x.new_empty(n)
    for start in range(0, n, ROWS):
        rows = x[start : start + ROWS]
        key = torch.addmm(half_square[None], rows, columns, alpha=-1)
        minima = key.view(len(rows), per_block, n_blocks).amin(1)
        blocks = minima.topk(wanted, largest=False, sorted=False).indices
        candidates = (blocks[:, :, None] + step).flatten(1)
        best = key.gather(1, candidates).topk(wanted, largest=False, sorted=False).indices
        chosen = candidates.gather(1, best)
        squared = (x[chosen] - rows[:, None]).square().sum(2)
        itself = chosen == torch.arange(start, start + len(rows), device=x.device)[:, None]
        squared[itself] = float("inf")
        result[start : start + ROWS] = squared.kthvalue(k, dim=1).values.sqrt()
    return result


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
    Every pair is looked at once: a tile of rows meets the columns from its own first one on.
    """
    n = len(x)
    x = x - x[:1]
    half_square = 0.5 * (x * x).sum(1)
    limit = 0.5 * radius**2 + 1e-14 * (1.0 + float(half_square.max())) if n else 0.0
    columns = x.T.contiguous()
    result = x.new_zeros(n)
    for start in range(0, n, ROWS):
        stop = min(start + ROWS, n)
        half = torch.addmm(half_square[None, start:], x[start:stop], columns[:, start:], alpha=-1)
        half += half_square[start:stop, None]
        near = (half <= limit).to(x.dtype)
        if falling:
            near *= torch.exp(half.clamp_(min=0).mul_(-2.0 / radius**2))
        near[:, : stop - start].fill_diagonal_(0.0)
        result[start:stop] += near @ weight[start:]
        result[stop:] += weight[start:stop] @ near[:, stop - start :]
    return result


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
