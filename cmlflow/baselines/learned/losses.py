"""What the networks of cells are trained with: names and parameters of a loss, applied to a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cmlflow.baselines.learned.clouds import CloudBatch
from cmlflow.losses import cells

OUTPUTS = ("parts", "binary", "share", "energy", "fraction")
LOSSES = {
    "parts": ("parts",),
    "binary": ("focal", "cross_entropy", "dice"),
    "share": ("cross_entropy", "squared", "tssr"),
    "energy": ("squared",),
    "fraction": ("squared",),
}
"""Losses that go with each output, the usual one first."""


@dataclass(frozen=True)
class CellLoss:
    """Loss of the scores of cells.

    Parameters
    ----------
    output : {"parts", "binary", "share", "energy", "fraction"}
        What scores mean. ``"parts"``: softmax over the true parts. ``"binary"``: sigmoid, whether the part `column`
        exceeds one half. ``"share"``: sigmoid, that part itself. ``"energy"``: TSSR of the score times the cell's
        energy is the deposit. ``"fraction"``: as share, with squared differences.
    kind : str, optional
        One of `LOSSES`; the first one that goes with the output by default.
    weight : {"energy", "energy2", "threshold", "none"}
        See `cmlflow.losses.cells.cell_weights`.
    column : int, default=0
        The part that networks of one score learn.
    balance : float, default=1
        Weight of the loss of summed energies, with ``"parts"``.
    gamma, alpha : float
        Of the focal loss.

    Raises
    ------
    ValueError
        An unknown name, or a loss that does not go with the output.
    """

    output: str = "parts"
    kind: str = ""
    weight: str = "energy"
    column: int = 0
    balance: float = 1.0
    gamma: float = 2.0
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if self.output not in OUTPUTS:
            raise ValueError(f"output is {self.output!r}, expected one of {', '.join(OUTPUTS)}")
        if not self.kind:
            object.__setattr__(self, "kind", LOSSES[self.output][0])
        if self.kind not in LOSSES[self.output]:
            raise ValueError(
                f"loss is {self.kind!r}, expected one of {', '.join(LOSSES[self.output])} with output={self.output!r}"
            )
        if self.weight not in cells.WEIGHTS:
            raise ValueError(f"weight is {self.weight!r}, expected one of {', '.join(cells.WEIGHTS)}")

    def __call__(self, outputs: dict[str, Tensor], batch: CloudBatch) -> dict[str, Tensor]:
        """Named terms, one value for each sample of the batch."""
        scores, n = outputs["scores"], len(batch)
        weight = cells.cell_weights(batch.energy, self.weight) * (batch.parts.sum(1) > 0)
        if self.kind == "parts":
            of = (scores, batch.parts, weight, batch.sample, n)
            terms = {"parts": cells.parts_loss(*of)}
            if self.balance:
                terms["balance"] = self.balance * cells.parts_balance(*of)
        else:
            share, score = batch.parts[:, self.column], scores[:, 0]
            target = (share > 0.5).to(share) if self.output == "binary" else share
            terms = {self.kind: self._single(score, target, weight, batch, n)}
        if "penalty" in outputs:
            terms["penalty"] = outputs["penalty"]
        return terms

    def _single(self, score: Tensor, target: Tensor, weight: Tensor, batch: CloudBatch, n: int) -> Tensor:
        of = (weight, batch.sample, n)
        if self.kind == "focal":
            return cells.focal(score, target, *of, gamma=self.gamma, alpha=self.alpha)
        if self.kind == "cross_entropy":
            return cells.cross_entropy(score, target, *of)
        if self.kind == "dice":
            return cells.dice(score, target, *of)
        if self.kind == "tssr":
            return cells.squared(cells.tssr(score), target, *of)
        if self.output == "energy":
            return cells.squared(cells.tssr(score) * batch.energy, target * batch.energy, *of)
        return cells.squared(torch.sigmoid(score), target, *of)

    def share(self, scores: Tensor) -> Tensor:
        """From scores (N, O) to parts (N, O), or to the share (N,) of networks with one score, in [0, 1]."""
        if self.kind == "parts":
            return torch.softmax(scores, 1)
        if self.kind == "tssr" or self.output == "energy":
            return cells.tssr(scores[:, 0]).clamp(0, 1)
        return torch.sigmoid(scores[:, 0])
