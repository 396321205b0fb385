"""Distances between all points of one event, a tile of rows at a time: exact, with memory linear in the number of hits.

Squared distances come from matrix products, taken relative to a point of the event: in double precision, the products
of coordinates that were single precision are exact, so equal distances on a lattice stay equal.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 64


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
