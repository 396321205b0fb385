"""Losses on the outputs of a head.

Every loss has one call signature, for one event::

    loss(output, particle_id, weight=None) -> dict of scalar tensors, the terms; their sum is minimised

with ``output`` the head's dict of tensors (one row per hit), ``particle_id`` of shape (N,), int64, -1 unknown, and
``weight`` of shape (N,) or None. Losses work in float32 or better, whatever the precision of the network.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from cmlflow.losses.condensation import Condensation, condensation_loss
from cmlflow.losses.margin import Margin, margin_loss
from cmlflow.losses.metric_learning import MetricLearning, as_loss
from cmlflow.losses.prototype import Prototype, prototype_loss
from cmlflow.losses.supcon import SupCon, supcon_loss


class Loss(Protocol):
    """A loss as the training loop calls it."""

    def __call__(
        self, output: dict[str, Tensor], particle_id: Tensor, weight: Tensor | None = None
    ) -> dict[str, Tensor]: ...


__all__ = [
    "Condensation",
    "Loss",
    "Margin",
    "MetricLearning",
    "Prototype",
    "SupCon",
    "as_loss",
    "condensation_loss",
    "margin_loss",
    "prototype_loss",
    "supcon_loss",
]
