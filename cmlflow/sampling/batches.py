"""Several events as one set of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from cmlflow.event import Event
from cmlflow.sampling.inputs import Inputs
from cmlflow.sampling.points import Points, event_points

Item = TypeVar("Item")


@dataclass(frozen=True)
class Batch:
    """The points of B events, one after the other: hits, and in each event after its hits those of its tracks.

    Attributes
    ----------
    x : Tensor of shape (N, F), float32
        x, y, z [cm], energy, layer; with tracks also kind, distance and momentum; features: see `event_points`.
    particle_id : Tensor of shape (N,), int64
        Dominant particle in its event, -1 unknown.
    weight : Tensor of shape (N,), float32
        Hit energy, or momentum of a track divided by the number of its points, for losses that weight points.
    ptr : Tensor of shape (B + 1,), int64
        Event b owns points ``ptr[b]:ptr[b+1]``.
    origin : Tensor of shape (N, 3), float32
        Charged, neutral and noise part of each hit, see `Points`; 0 without tracks.
    """

    x: Tensor
    particle_id: Tensor
    weight: Tensor
    ptr: Tensor
    origin: Tensor

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        parts = (self.x, self.particle_id, self.weight, self.ptr, self.origin)
        return Batch(*(part.to(device) for part in parts))


def collate(events: Sequence[Event], tracks: bool = False, inputs: Inputs | None = None) -> Batch:
    """Concatenate the points of events: hits, and optionally points of tracks and features."""
    return collate_points([event_points(e, tracks, inputs=inputs) for e in events])


def collate_points(points: Sequence[Points]) -> Batch:
    """Concatenate the points of several events; all with tracks, or all without."""
    return Batch(
        torch.from_numpy(np.concatenate([p.x for p in points])),
        torch.from_numpy(np.concatenate([p.particle_id for p in points])),
        torch.from_numpy(np.concatenate([p.weight for p in points])),
        torch.from_numpy(np.cumsum([0] + [len(p) for p in points])),
        torch.from_numpy(np.concatenate([p.origin for p in points])),
    )


def pack(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Group events, in order, so that no group exceeds a number of hits.

    Parameters
    ----------
    sizes : sequence of int
        Hits of each event.
    budget : int
        Largest number of hits in a group. A larger event gets a group of its own.

    Returns
    -------
    list of list of int
        Positions in `sizes`; each once.

    Examples
    --------
    >>> pack([3, 4, 9, 1], budget=7)
    [[0, 1], [2], [3]]
    """
    return list(groups(range(len(sizes)), sizes.__getitem__, budget))


def groups(items: Iterable[Item], size: Callable[[Item], int], budget: int, most: int = 10_000) -> Iterator[list[Item]]:
    """Consecutive items in groups whose sizes add up to at most a budget.

    Parameters
    ----------
    items : iterable
        Read only as far as the next group needs, so files may be larger than memory.
    size : callable
        Size of an item, for example the number of its hits.
    budget : int
        Largest total size of a group; a larger item is a group of its own.
    most : int
        Largest number of items of a group.

    Raises
    ------
    ValueError
        A budget below 1.

    Examples
    --------
    >>> list(groups([3, 4, 9, 1], lambda n: n, budget=7))
    [[3, 4], [9], [1]]
    """
    if budget < 1:
        raise ValueError(f"budget is {budget}, expected at least one hit")
    waiting: list[Item] = []
    filled = 0
    for item in items:
        n = size(item)
        if waiting and (filled + n > budget or len(waiting) >= most):
            yield waiting
            waiting, filled = [], 0
        waiting.append(item)
        filled += n
    if waiting:
        yield waiting
