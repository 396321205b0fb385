"""Losses of pytorch-metric-learning, one event at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cmlflow.losses.labels import compact, points_and_labels


@dataclass(frozen=True)
class MetricLearning:
    """Any loss of pytorch-metric-learning on the output ``"embedding"``.

    That package treats equal labels as positives, whichever event they come from, and -1 as a class. So its loss gets
    one event at a time, without hits of unknown particle, and particles are numbered 0..P-1 in every event.
    `MetricClusterer` and the training loop wrap a bare one by themselves. Parameters of the loss, such as proxies, are
    trained with the network and kept in checkpoints; numbers of particles mean nothing from one event to the next,
    so proxies of classes help only where the order of particles does.

    Parameters
    ----------
    loss : callable
        ``loss(embeddings, labels) -> scalar``.
    miner : callable, optional
        ``miner(embeddings, labels)`` gives the pairs or triplets that the loss is taken of.
    max_hits : int, optional
        Events with more known hits are represented by as many of them, drawn at random: many of these losses hold all
        pairs or triplets in memory. All are used by default.

    Raises
    ------
    ValueError
        `max_hits` is below 2; at a call, an event with more particles than the loss has proxies.

    Examples
    --------
    >>> from pytorch_metric_learning.losses import ContrastiveLoss
    >>> loss = MetricLearning(ContrastiveLoss(), max_hits=1000)
    """

    loss: Callable[..., Tensor]
    miner: Callable[..., Any] | None = None
    max_hits: int | None = None

    def __post_init__(self) -> None:
        if self.max_hits is not None and self.max_hits < 2:
            raise ValueError(f"max_hits is {self.max_hits}, expected 2 or more, or None")

    @property
    def module(self) -> nn.Module | None:
        """The loss, where it is a torch module and so may have parameters."""
        return self.loss if isinstance(self.loss, nn.Module) else None

    def __call__(
        self, output: dict[str, Tensor], particle_id: Tensor, weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        points, labels = points_and_labels(output["embedding"], particle_id, "embedding")
        known = torch.nonzero(labels >= 0)[:, 0]
        name = type(self.loss).__name__
        if not len(known):
            return {name: points.sum() * 0.0}
        if self.max_hits is not None and len(known) > self.max_hits:
            known = known[torch.randperm(len(known), device=known.device)[: self.max_hits]]
        z, (own, n_particles) = points[known], compact(labels[known])
        classes = getattr(self.loss, "num_classes", None)
        if classes is not None and n_particles > classes:
            raise ValueError(f"{name}: num_classes is {classes}, but an event has {n_particles} particles")
        if self.miner is None:
            return {name: self.loss(z, own)}
        return {name: self.loss(z, own, self.miner(z, own))}


def as_loss(loss: Any) -> Any:
    """A loss as the training loop calls it: one of pytorch-metric-learning is wrapped, others are returned.

    Modules are copied, so that training does not change the caller's.
    """
    modules = [kind.__module__ for kind in type(loss).__mro__]
    if isinstance(loss, nn.Module) and any(m.startswith("pytorch_metric_learning.") for m in modules):
        return MetricLearning(copy.deepcopy(loss))
    return copy.deepcopy(loss) if isinstance(loss, MetricLearning) else loss
