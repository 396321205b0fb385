"""Losses of pytorch-metric-learning, one event at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from cmlflow.losses.labels import points_and_labels


@dataclass(frozen=True)
class MetricLearning:
    """Any loss of pytorch-metric-learning on the output ``"embedding"``.

    That package treats equal labels as positives, whichever event they come from, and -1 as a class. So its loss gets
    one event at a time, without hits of unknown particle. Many of its losses hold all pairs or triplets in memory.

    Parameters
    ----------
    loss : callable
        ``loss(embeddings, labels) -> scalar``.

    Examples
    --------
    >>> from pytorch_metric_learning.losses import ContrastiveLoss
    >>> loss = MetricLearning(ContrastiveLoss())
    """

    loss: Callable[[Tensor, Tensor], Tensor]

    def __call__(
        self, output: dict[str, Tensor], particle_id: Tensor, weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        points, labels = points_and_labels(output["embedding"], particle_id, "embedding")
        known = labels >= 0
        name = type(self.loss).__name__
        if not bool(known.any()):
            return {name: points.sum() * 0.0}
        return {name: self.loss(points[known], labels[known])}
