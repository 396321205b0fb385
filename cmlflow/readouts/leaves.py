"""One event's points cut into compact groups, so that far groups need no look: exact bounds, nothing approximated."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LEAF = 128  # most points of a leaf


@dataclass(frozen=True, eq=False)
class Leaves:
    """Points in an order that keeps neighbours together, cut into leaves of at most `LEAF` points.

    Attributes
    ----------
    order : Tensor of shape (N,), int64
        Original position of each point.
    x : Tensor of shape (N, D), float64
        Points in that order, relative to the first one given.
    bounds : list of int
        Leaf l holds points ``bounds[l]:bounds[l + 1]``.
    centre : Tensor of shape (L, D)
    radius : Tensor of shape (L,)
        Largest distance of a point of the leaf from its centre.
    """

    order: Tensor
    x: Tensor
    bounds: list[int]
    centre: Tensor
    radius: Tensor

    def gap(self, rows: Tensor) -> Tensor:
        """Lower bound of the distance between each row and any point of each leaf, shape (R, L)."""
        distance = torch.cdist(rows, self.centre, compute_mode="donot_use_mm_for_euclid_dist")
        return distance * (1 - 1e-12) - self.radius

    def members(self, wanted: Tensor) -> Tensor:
        """Points of the wanted leaves, in order; `wanted` is a mask of shape (L,)."""
        sizes = torch.tensor(self.bounds, device=wanted.device).diff()
        return torch.repeat_interleave(wanted, sizes).nonzero()[:, 0]


def leaves(x: Tensor) -> Leaves:
    """Cut the points at the median of the widest coordinate until no part has more than `LEAF` points.

    Parameters
    ----------
    x : Tensor of shape (N, D), float64
        At least one point.
    """
    points = x.cpu().numpy()
    parts, waiting = [], [np.arange(len(points))]
    while waiting:
        part = waiting.pop()
        if len(part) <= LEAF:
            parts.append(part)
            continue
        inside = points[part]
        column = inside[:, np.argmax(inside.var(axis=0))]
        halves = np.argpartition(column, len(part) // 2)
        waiting += [part[halves[len(part) // 2 :]], part[halves[: len(part) // 2]]]
    order = torch.from_numpy(np.concatenate(parts)).to(x.device)
    bounds = np.cumsum([0] + [len(part) for part in parts]).tolist()
    ordered = (x - x[0])[order]
    centre = torch.stack([ordered[a:b].mean(0) for a, b in itertools.pairwise(bounds)])
    owner = torch.repeat_interleave(torch.tensor(bounds, device=x.device).diff())
    distance = torch.linalg.vector_norm(ordered - centre[owner], dim=1) * (1 + 1e-12)
    radius = torch.zeros(len(centre), dtype=x.dtype, device=x.device).scatter_reduce_(0, owner, distance, "amax")
    return Leaves(order, ordered, bounds, centre, radius)
