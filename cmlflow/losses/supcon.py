"""Supervised contrastive loss over all hits of an event, with memory linear in the number of hits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from cmlflow.losses.labels import Array, ArrayLike, as_given, compact, points_and_labels

TILE = 512  # rows and columns of the similarity tile held at a time: 1 MB in float32
LARGEST_EXPONENT = 700  # exp(-700) is still a normal number in float64


@dataclass(frozen=True)
class SupCon:
    """`supcon_loss` of the output ``"embedding"``.

    Parameters
    ----------
    temperature : float, default=0.1
        Usual values 0.05-0.5.
    """

    temperature: float = 0.1

    def __call__(
        self, output: dict[str, Tensor], particle_id: Tensor, weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        return {"supcon": supcon_loss(output["embedding"], particle_id, self.temperature)}


def supcon_loss(z: Array, particle_id: ArrayLike, temperature: float = 0.1) -> Array:
    """Supervised contrastive loss of one event.

    With z_i unit vectors, I the hits that share their particle with another hit and P(i) those others::

        L = mean_{i in I} -1/|P(i)| sum_{p in P(i)} log( exp(z_i.z_p / T) / sum_{a != i} exp(z_i.z_a / T) )

    Parameters
    ----------
    z : Tensor or ndarray of shape (N, D), float
        Embeddings; normalised here.
    particle_id : Tensor or ndarray of shape (N,), int
        Hits of unknown particle (-1) are neither anchors nor positives; they stay in the denominators.
    temperature : float, default=0.1

    Returns
    -------
    Tensor or ndarray without axes
        The loss, in the kind of `z`. Zero (with zero gradients) where no hit has a positive.

    Raises
    ------
    ValueError
        Wrong shapes or labels, or a temperature that is not positive.

    Notes
    -----
    The sum over positives is z_i.(S_c - z_i) with S_c the sum of the unit vectors of i's particle, so only the
    log-sum-exp needs all pairs. It is computed in tiles of one half of the symmetric similarity matrix and computed
    again for the gradient: O(N) memory.

    References
    ----------
    Khosla et al., Supervised Contrastive Learning, arXiv:2004.11362, eq. 2 (L_out); arXiv:2603.23356, section II.2.
    """
    points, labels = points_and_labels(z, particle_id, "z")
    if not temperature > 0:
        raise ValueError(f"temperature is {temperature}, expected a positive number")
    labels, n_particles = compact(labels)
    known = labels >= 0
    unit = functional.normalize(points, dim=1)
    own = labels.clamp(min=0)
    size = torch.bincount(labels[known], minlength=max(n_particles, 1))[own]
    anchor = known & (size > 1)
    n_anchors = int(anchor.sum())
    if n_anchors == 0:
        return as_given(points.sum() * 0.0, z)
    sums = unit.new_zeros(max(n_particles, 1), unit.shape[1]).index_add(0, labels[known], unit[known])
    weight = anchor.to(unit.dtype) / n_anchors
    similarity = (unit * (sums[own] - unit)).sum(1) / (size - 1).clamp(min=1)
    attraction = (weight * similarity).sum() / temperature
    if 2 / temperature > LARGEST_EXPONENT:
        repulsion = _by_rows(unit.double(), weight.double(), temperature).to(unit.dtype)
    else:
        repulsion = _WeightedLogSumExp.apply(unit, weight, temperature)  # type: ignore[no-untyped-call]
    return as_given(repulsion - attraction, z)


def _by_rows(z: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """What `_WeightedLogSumExp` does, for temperatures so low that each row needs an offset of its own: slower."""

    def rows_of(z: Tensor, a: int) -> Tensor:
        similarity = (z[a : a + TILE] @ z.T) / temperature
        own = torch.arange(len(similarity), device=z.device)
        return similarity.index_put((own, own + a), similarity.new_tensor(-torch.inf)).logsumexp(1)

    parts = [checkpoint(rows_of, z, a, use_reentrant=False) for a in range(0, len(z), TILE)]
    return (weight * torch.where(weight > 0, torch.cat(parts), 0)).sum()


class _WeightedLogSumExp(torch.autograd.Function):
    """sum_i w_i log sum_{a != i} exp(z_i.z_a / T) for unit vectors z, in symmetric tiles.

    As z_i.z_a <= 1, exponents are taken relative to 1/T, the same for all rows, which lets one tile serve both its
    rows and its columns. Where 2/T exceeds the range of float32 the sums are made in float64.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor, temperature: float) -> Tensor:
        scaled = (z.double() if 2 / temperature > 80 else z) / temperature**0.5
        total = scaled.new_zeros(len(z))
        for rows, columns, e in _tiles(scaled, temperature):
            total[rows] += e.sum(1)
            if rows != columns:
                total[columns] += e.sum(0)
        needed = weight > 0
        log_sum = torch.where(needed, total, 1).log() + 1 / temperature
        ctx.temperature = temperature
        ctx.save_for_backward(scaled, torch.where(needed, weight / total, 0))
        return (weight * log_sum).sum().to(z.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        scaled, factor = ctx.saved_tensors  # factor_i = w_i / sum_a exp(z_i.z_a/T - 1/T)
        out = torch.zeros_like(scaled)
        for rows, columns, e in _tiles(scaled, ctx.temperature):
            e.mul_(factor[rows, None] + factor[columns])
            out[rows] += e @ scaled[columns]
            if rows != columns:
                out[columns] += e.T @ scaled[rows]
        return (out * (grad / ctx.temperature**0.5)).to(grad.dtype), None, None


def _tiles(scaled: Tensor, temperature: float) -> Any:
    """Tiles (rows, columns, exp(z_i.z_a/T - 1/T)) of the upper half, the diagonal set to zero."""
    n = len(scaled)
    for a in range(0, n, TILE):
        rows = slice(a, min(a + TILE, n))
        for b in range(a, n, TILE):
            columns = slice(b, min(b + TILE, n))
            e = (scaled[rows] @ scaled[columns].T).sub_(1 / temperature).exp_()
            if a == b:
                e.fill_diagonal_(0)
            yield rows, columns, e
