"""Points with true parts as training items: `Cloud`, batches of them, and the task of the training loop."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from cmlflow.event import FloatArray, IntArray
from cmlflow.nets.device import usable_device
from cmlflow.sampling.batches import groups

POINTS_PER_PASS = 4_000


@dataclass(frozen=True, eq=False)
class Cloud:
    """The points of one sample: cells, and points of tracks.

    Attributes
    ----------
    x : ndarray of shape (N, F), float32
        What the network sees; the first two columns are x and y, which symmetries of the grid reflect.
    parts : ndarray of shape (N, O), float32
        True parts of cells; rows sum to 1, or to 0 where the truth is not known and for tracks.
    energy : ndarray of shape (N,), float32
        Of cells; 0 for tracks.
    index : ndarray of shape (N,), int64
        Number of the hit in its event; -1 for tracks.
    title : str
    """

    x: FloatArray
    parts: FloatArray
    energy: FloatArray
    index: IntArray
    title: str = "sample"

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class CloudBatch:
    """Clouds one after the other, as tensors; sample b owns points ``ptr[b]:ptr[b+1]``, and `sample` is b of each."""

    x: Tensor
    parts: Tensor
    energy: Tensor
    ptr: Tensor
    sample: Tensor

    def __len__(self) -> int:
        return len(self.ptr) - 1

    def to(self, device: torch.device | str) -> CloudBatch:
        """The same batch on another device."""
        return CloudBatch(*(t.to(device) for t in (self.x, self.parts, self.energy, self.ptr, self.sample)))


def collate_clouds(clouds: Sequence[Cloud]) -> CloudBatch:
    """Concatenate clouds."""
    length = np.array([len(c) for c in clouds], np.int64)
    return CloudBatch(
        torch.from_numpy(np.concatenate([c.x for c in clouds])),
        torch.from_numpy(np.concatenate([c.parts for c in clouds])),
        torch.from_numpy(np.concatenate([c.energy for c in clouds])),
        torch.from_numpy(np.concatenate([[0], np.cumsum(length)])),
        torch.from_numpy(np.repeat(np.arange(len(clouds)), length)),
    )


def reflected(cloud: Cloud, number: int) -> Cloud:
    """A cloud under a symmetry of the grid, 0..7, as in `cmlflow.sampling.grid_symmetry`."""
    x = cloud.x.copy()
    x[:, 0] *= -1 if number & 1 else 1
    x[:, 1] *= -1 if number & 2 else 1
    if number & 4:
        x[:, [0, 1]] = x[:, [1, 0]]
    return replace(cloud, x=x)


class BatchLoss(Protocol):
    """From the outputs of a network and a batch to named terms, one value for each sample."""

    def __call__(self, outputs: dict[str, Tensor], batch: Any) -> dict[str, Tensor]: ...


class CloudTask:
    """Clouds for the training loop: `cmlflow.training.tasks.Task`.

    Parameters
    ----------
    loss : BatchLoss
    """

    def __init__(self, loss: BatchLoss) -> None:
        self.loss = loss

    def __repr__(self) -> str:
        return repr(self.loss)

    def size(self, item: Cloud) -> int:
        return len(item)

    def title(self, item: Cloud) -> str:
        return f"{item.title} ({len(item)} points)"

    def digest(self, item: Cloud) -> bytes:
        digest = hashlib.sha256()
        for values in (item.x, item.parts, item.energy):
            digest.update(np.rint(np.nan_to_num(values * 1e3)).astype(np.int64).tobytes())
        return digest.digest()

    def augment(self, item: Cloud, rng: np.random.Generator) -> Cloud:
        return reflected(item, int(rng.integers(8)))

    def collate(self, items: Sequence[Cloud]) -> CloudBatch:
        return collate_clouds(items)

    def outputs(self, network: nn.Module, batch: CloudBatch) -> dict[str, Tensor]:
        out: dict[str, Tensor] = network(batch.x, batch.ptr)
        return out

    def losses(self, outputs: dict[str, Tensor], batch: CloudBatch) -> Iterator[dict[str, Tensor]]:
        terms = self.loss({name: value.float() for name, value in outputs.items()}, batch)
        for b in range(len(batch)):
            yield {name: value[b] for name, value in terms.items()}


def network_scores(
    network: nn.Module, clouds: Iterable[Cloud], device: str | torch.device = "cpu", budget: int = POINTS_PER_PASS
) -> Iterator[FloatArray]:
    """Scores of every point of each cloud, shape (N, O), in order; several clouds go through the network together."""
    device = usable_device(device)
    network.to(device).eval()
    for some in groups(clouds, len, budget):
        batch = collate_clouds(some).to(device)
        with torch.inference_mode():
            scores = network(batch.x, batch.ptr)["scores"].float().cpu().numpy()
        yield from np.split(scores, batch.ptr[1:-1].cpu().numpy())
