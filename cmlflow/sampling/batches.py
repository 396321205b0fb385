"""Several events as one set of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cmlflow.event import Event


@dataclass(frozen=True)
class Batch:
    """The hits of B events, one after the other.

    Attributes
    ----------
    x : Tensor of shape (N, 5), float32
        x, y, z [cm], energy, layer.
    particle_id : Tensor of shape (N,), int64
        Dominant particle in its event, -1 unknown.
    weight : Tensor of shape (N,), float32
        Hit energy, for losses that weight hits.
    ptr : Tensor of shape (B + 1,), int64
        Event b owns hits ``ptr[b]:ptr[b+1]``.
    """

    x: Tensor
    particle_id: Tensor
    weight: Tensor
    ptr: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(self.x.to(device), self.particle_id.to(device), self.weight.to(device), self.ptr.to(device))


def collate(events: Sequence[Event]) -> Batch:
    """Concatenate the hits of events."""
    x = np.concatenate([e.features() for e in events])
    return Batch(
        torch.from_numpy(x),
        torch.from_numpy(np.concatenate([e.particle_id for e in events])),
        torch.from_numpy(x[:, 3].copy()),
        torch.from_numpy(np.cumsum([0] + [e.n_hits for e in events])),
    )


def pack(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Group events, in order, so that no group exceeds a number of hits.

    Parameters
    ----------
    sizes : sequence of int
        Hits of each event.
    budget : int
        Largest number of hits in a group. An event that exceeds it alone gets a group of its own.

    Returns
    -------
    list of list of int
        Positions in `sizes`; each once.

    Examples
    --------
    >>> pack([3, 4, 9, 1], budget=7)
    [[0, 1], [2], [3]]
    """
    if budget < 1:
        raise ValueError(f"budget is {budget}, expected at least one hit")
    groups: list[list[int]] = []
    filled = budget + 1
    for i, size in enumerate(sizes):
        if filled + size > budget:
            groups.append([])
            filled = 0
        groups[-1].append(i)
        filled += size
    return groups
