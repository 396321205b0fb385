"""Coarse events with their fine cells as training items: batches and losses."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from cmlflow.baselines.learned.clouds import Cloud, CloudBatch, collate_clouds
from cmlflow.event import FloatArray, IntArray
from cmlflow.losses.cells import sums

LOSSES = ("fraction", "energy")


@dataclass(frozen=True, eq=False)
class FineSample:
    """A coarse event with its fine cells, as a training item.

    Attributes
    ----------
    x : ndarray of shape (N, 7), float32
        Points of the coarse event, see `cmlflow.nets.cells.COLUMNS`.
    parent : ndarray of shape (M,), int64
    offset : ndarray of shape (M, 2), float32
        Of each fine cell from the centre of its parent, in sides of the parent.
    fraction : ndarray of shape (M,), float32
        Neutral energy over the measured energy of the parent.
    title : str
    """

    x: FloatArray
    parent: IntArray
    offset: FloatArray
    fraction: FloatArray
    title: str = "event"

    def __len__(self) -> int:
        return len(self.x) + len(self.parent)


@dataclass(frozen=True)
class FineBatch:
    """Samples one after the other; parents are counted over the whole batch, `sample` is that of each fine cell."""

    points: CloudBatch
    parent: Tensor
    offset: Tensor
    fraction: Tensor
    sample: Tensor

    def to(self, device: torch.device | str) -> FineBatch:
        """The same batch on another device."""
        own = (self.parent, self.offset, self.fraction, self.sample)
        return FineBatch(self.points.to(device), *(t.to(device) for t in own))


class FineTask:
    """Fine samples for the training loop: `cmlflow.training.tasks.Task`.

    Parameters
    ----------
    loss : {"fraction", "energy"}
        Squared differences of the fractions weighted with the energies of the coarse cells, over the energy of the
        event; or squared differences of energies over that energy squared.
    """

    def __init__(self, loss: str = "fraction") -> None:
        if loss not in LOSSES:
            raise ValueError(f"loss is {loss!r}, expected one of {', '.join(LOSSES)}")
        self.loss = loss

    def __repr__(self) -> str:
        return f"FineTask({self.loss!r})"

    def size(self, item: FineSample) -> int:
        return len(item)

    def title(self, item: FineSample) -> str:
        return f"{item.title} ({len(item.parent)} fine cells)"

    def digest(self, item: FineSample) -> bytes:
        return hashlib.sha256(np.rint(item.x * 1e3).astype(np.int64).tobytes()).digest()

    def augment(self, item: FineSample, rng: np.random.Generator) -> FineSample:
        number = int(rng.integers(8))
        sign = np.array([-1 if number & 1 else 1, -1 if number & 2 else 1], np.float32)
        x, offset = item.x.copy(), item.offset * sign
        x[:, :2] *= sign
        if number & 4:
            x[:, [0, 1]], offset = x[:, [1, 0]], offset[:, [1, 0]]
        return replace(item, x=x, offset=offset)

    def collate(self, items: Sequence[FineSample]) -> FineBatch:
        return collate_fine(items)

    def outputs(self, network: nn.Module, batch: FineBatch) -> Tensor:
        out: Tensor = network(batch.points.x, batch.points.ptr, batch.parent, batch.offset)
        return out

    def losses(self, outputs: Tensor, batch: FineBatch) -> Iterator[dict[str, Tensor]]:
        for value in self.each(outputs.float(), batch):
            yield {self.loss: value}

    def each(self, fraction: Tensor, batch: FineBatch) -> Tensor:
        """Loss of each sample, shape (B,)."""
        n = len(batch.points)
        energy = batch.points.x[:, 3]
        total = sums(energy, batch.points.sample, n).clamp(min=1e-9)
        off = (fraction - batch.fraction).square()
        if self.loss == "fraction":
            return sums(energy[batch.parent] * off, batch.sample, n) / total
        return sums(energy[batch.parent].square() * off, batch.sample, n) / total.square()


def collate_fine(items: Sequence[FineSample]) -> FineBatch:
    """Concatenate samples."""
    none = [np.zeros((len(s.x), 0), np.float32) for s in items]
    points = collate_clouds(
        [Cloud(s.x, p, s.x[:, 3], np.zeros(len(s.x), np.int64)) for s, p in zip(items, none, strict=True)]
    )
    first = points.ptr[:-1].numpy()
    return FineBatch(
        points,
        torch.from_numpy(np.concatenate([s.parent + a for s, a in zip(items, first, strict=True)])),
        torch.from_numpy(np.concatenate([s.offset for s in items])),
        torch.from_numpy(np.concatenate([s.fraction for s in items])),
        torch.from_numpy(np.repeat(np.arange(len(items)), [len(s.parent) for s in items])),
    )
