"""Tasks: batches and losses of a network for the training loop."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cmlflow.event import Event
from cmlflow.losses import Loss, as_loss
from cmlflow.losses.origin import balance_loss, origin_loss
from cmlflow.sampling import Batch, Inputs, collate, grid_symmetry, n_points


class Task(Protocol):
    """What a training item is, how items become a batch, and what the loss of each item is.

    A network with another batch or another loss needs a task of its own, and nothing else of the loop. A task with an
    attribute `module`, a torch module, has the parameters of that trained with those of the network.
    """

    def size(self, item: Any) -> int:
        """Number of points of an item; bounds what goes through the network at a time."""
        ...

    def title(self, item: Any) -> str:
        """What messages call an item."""
        ...

    def digest(self, item: Any) -> bytes:
        """Identifies an item, so that a run is resumed with its own sample alone."""
        ...

    def augment(self, item: Any, rng: np.random.Generator) -> Any:
        """The item under a random symmetry of the detector."""
        ...

    def collate(self, items: Sequence[Any]) -> Any:
        """Several items as one batch, with a method ``to(device)``."""
        ...

    def outputs(self, network: nn.Module, batch: Any) -> Any:
        """Run the network on a batch; under autocast where the precision is low."""
        ...

    def losses(self, outputs: Any, batch: Any) -> Iterator[dict[str, Tensor]]:
        """Named scalar loss terms of each item of the batch, in order; their sum is minimised."""
        ...


def _rounded(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """float32 without its last 8 bits, the nearest."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32).astype(np.int64)
    return (bits + 128) >> 8


class ClusteringTask:
    """Events for networks that embed points: a loss on the head's outputs, one event at a time.

    Parameters
    ----------
    loss : Loss, or a loss of pytorch-metric-learning
        Its attribute `module`, where it has one, is trained with the network.
    tracks : bool, default=False
        Tracks are points too, each one a point of its particle for the loss.
    balance : float, default=0
        Weight of `cmlflow.losses.origin.balance_loss` in networks that predict what is charged, neutral and unassigned.
    inputs : Inputs, optional
        What the network sees of each point.

    Raises
    ------
    ValueError
        A negative weight.
    """

    def __init__(self, loss: Loss, tracks: bool = False, balance: float = 0.0, inputs: Inputs | None = None) -> None:
        if not balance >= 0:
            raise ValueError(f"balance is {balance}, expected 0 or more")
        self.loss, self.tracks, self.balance = as_loss(loss), tracks, balance
        self.module: nn.Module | None = getattr(self.loss, "module", None)
        self.inputs = Inputs() if inputs is None else inputs

    def __repr__(self) -> str:
        """Tells tasks apart, the same in every process."""
        text = repr(self.loss)
        return type(self.loss).__name__ if " at 0x" in text else text

    def size(self, item: Event) -> int:
        return n_points(item, self.tracks)

    def title(self, item: Event) -> str:
        return f"{item.title} ({item.n_hits} hits)"

    def digest(self, item: Event) -> bytes:
        """What the network and the loss see: places to 0.1 mm, other numbers to 16 bits, as machines may differ."""
        digest = hashlib.sha256()
        given = [np.rint(item.position * 10).astype(np.int64), item.layer, item.particle_id, _rounded(item.energy)]
        given += [_rounded(item.features[name]) for name in sorted(item.features)]
        if item.has_deposits:
            given += [item.deposits.hit, item.deposits.particle, _rounded(item.deposits.energy)]
        if item.tracks is not None:
            t = item.tracks
            given += [_rounded(values) for values in (t.momentum, t.direction, t.entry)] + [t.particle]
        for values in given:
            digest.update(np.ascontiguousarray(values).tobytes())
        if self.inputs.own:
            digest.update(self.inputs.matrix(item).tobytes())
        return digest.digest()

    def augment(self, item: Event, rng: np.random.Generator) -> Event:
        return grid_symmetry(item, int(rng.integers(8)))

    def collate(self, items: Sequence[Event]) -> Batch:
        return collate(items, self.tracks, self.inputs)

    def outputs(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        out: dict[str, Tensor] = network(batch.x, batch.ptr)
        return out

    def losses(self, outputs: dict[str, Tensor], batch: Batch) -> Iterator[dict[str, Tensor]]:
        limits = batch.ptr.tolist()
        for a, b in itertools.pairwise(limits):
            one = {name: value[a:b].float() for name, value in outputs.items()}
            terms = self.loss(one, batch.particle_id[a:b], batch.weight[a:b])
            if "origin" in one:
                given = one["origin"], batch.origin[a:b], batch.weight[a:b]
                terms = terms | {"origin": torch.as_tensor(origin_loss(*given))}
                if self.balance:
                    terms["balance"] = self.balance * torch.as_tensor(balance_loss(*given))
            yield terms
