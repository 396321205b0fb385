r"""Losses of cells, one value for each sample of a batch.

All take ``sample`` (N,), the number of each point's sample, and ``n``, how many samples there are; `weight` (N,) is
normalised within a sample, and 0 for points without a known truth. They return a Tensor of shape (n,).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from cmlflow.losses.origin import SOFTENING

WEIGHTS = ("energy", "energy2", "threshold", "none")


def cell_weights(energy: Tensor, kind: str = "energy", threshold: float = 0.05) -> Tensor:
    """Weights of cells by their energies.

    Parameters
    ----------
    energy : Tensor of shape (N,)
    kind : {"energy", "energy2", "threshold", "none"}
        ``|E|``, ``E²``, 1 above a threshold and 0 below, or 1.
    threshold : float, default=0.05
        In the unit of the energies.

    Raises
    ------
    ValueError
        Another kind.
    """
    if kind == "energy":
        return energy.abs()
    if kind == "energy2":
        return energy.square()
    if kind == "threshold":
        return (energy > threshold).to(energy)
    if kind == "none":
        return torch.ones_like(energy)
    raise ValueError(f"weight is {kind!r}, expected one of {WEIGHTS}")


def sums(value: Tensor, sample: Tensor, n: int) -> Tensor:
    """Sums over the points of each sample, shape (n, ...)."""
    return value.new_zeros((n, *value.shape[1:])).index_add(0, sample, value)


def _mean(value: Tensor, weight: Tensor, sample: Tensor, n: int) -> Tensor:
    return sums(weight * value, sample, n) / sums(weight, sample, n).clamp(min=1e-12)


def cross_entropy(score: Tensor, target: Tensor, weight: Tensor, sample: Tensor, n: int) -> Tensor:
    r"""Binary cross-entropy, :math:`-\sum w (y \ln p + (1 - y) \ln (1 - p)) / \sum w`, of scores before the sigmoid."""
    each = functional.binary_cross_entropy_with_logits(score, target, reduction="none")
    return _mean(each, weight, sample, n)


def focal(
    score: Tensor, target: Tensor, weight: Tensor, sample: Tensor, n: int, *, gamma: float = 2.0, alpha: float = 1.0
) -> Tensor:
    r"""Focal loss, :math:`-\sum w\, \alpha (1 - p_t)^\gamma \ln p_t / \sum w`.

    Parameters
    ----------
    gamma : float, default=2
    alpha : float, default=1

    References
    ----------
    T.-Y. Lin et al., Focal Loss for Dense Object Detection, arXiv:1708.02002.
    """
    p = torch.sigmoid(score)
    p_t = target * p + (1 - target) * (1 - p)
    each = functional.binary_cross_entropy_with_logits(score, target, reduction="none")
    return _mean(alpha * (1 - p_t).clamp(min=0) ** gamma * each, weight, sample, n)


def dice(score: Tensor, target: Tensor, weight: Tensor, sample: Tensor, n: int, *, epsilon: float = 0.01) -> Tensor:
    r"""Dice loss, :math:`1 - (2 \sum w p y + ε) / (\sum w p + \sum w y + ε)`, weights normalised to a sum of 1."""
    p = torch.sigmoid(score)
    w = weight / sums(weight, sample, n).clamp(min=1e-12)[sample]
    both, one, two = (sums(v, sample, n) for v in (w * p * target, w * p, w * target))
    loss = 1 - (2 * both + epsilon) / (one + two + epsilon)
    return torch.where(sums(weight, sample, n) > 0, loss, 0 * loss)


def squared(predicted: Tensor, target: Tensor, weight: Tensor, sample: Tensor, n: int) -> Tensor:
    r"""Squared difference, :math:`\sum w (p - t)^2 / \sum w`; weighted with energy, the loss of arXiv:2003.08863."""
    return _mean((predicted - target).square(), weight, sample, n)


def parts_loss(score: Tensor, parts: Tensor, weight: Tensor, sample: Tensor, n: int) -> Tensor:
    """`cmlflow.losses.origin.origin_loss` of each sample, with any number of parts."""
    w = weight * parts.sum(1)
    return _mean(-(parts * functional.log_softmax(score, 1)).sum(1), w, sample, n)


def parts_balance(
    score: Tensor, parts: Tensor, weight: Tensor, sample: Tensor, n: int, softening: float = SOFTENING
) -> Tensor:
    """`cmlflow.losses.origin.balance_loss` of each sample, with any number of parts."""
    w = weight * parts.sum(1)
    gap = sums(w[:, None] * (torch.softmax(score, 1) - parts), sample, n)
    off = gap / sums(w, sample, n).clamp(min=1e-12)[:, None]
    return (off.square().sum(1) + softening**2).sqrt() - softening


def tssr(x: Tensor) -> Tensor:
    r"""Activation :math:`0.01 x` below 0, :math:`x` up to 1, :math:`0.1 \sqrt{x} + 0.9` above.

    References
    ----------
    M. Jovanovic, "PointNet for Particle Flow Energy Reconstruction: Documentation" (2024).
    """
    above = 0.1 * x.clamp(min=1.0).sqrt() + 0.9
    return torch.where(x < 0, 0.01 * x, torch.where(x <= 1, x, above))
