"""Losses of the parts of each hit's energy that are charged, neutral and noise: hit by hit, and their sums."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cmlflow.losses.labels import Array, as_given, tensor

SOFTENING = 0.03


def origin_loss(scores: Array, parts: Array, weight: Array) -> Array:
    r"""Energy-weighted cross-entropy of true and predicted parts.

    .. math:: L = -\sum_i E_i \sum_o f_{io} \ln p_{io} \Big/ \sum_i E_i, \qquad p_i = \mathrm{softmax}(s_i)

    over the points with known parts. It is smallest if the predicted parts equal the mean true ones, so their sums are
    unbiased.

    Parameters
    ----------
    scores : Tensor or ndarray of shape (N, 3)
    parts : Tensor or ndarray of shape (N, 3), float
        True parts from particles with a track, without one, and from nobody; rows sum to 1, or to 0 where not known.
    weight : Tensor or ndarray of shape (N,), float
        Energies.

    Returns
    -------
    Tensor or ndarray
        A number; 0 where no part is known.

    References
    ----------
    The energy weight is that of F. A. Di Bello et al., arXiv:2003.08863, section 4, there with squared differences.
    """
    s, f, w = _checked(scores, parts, weight)
    each = -(f * functional.log_softmax(s, 1)).sum(1)
    loss: Tensor = (w * each).sum() / w.sum().clamp(min=1e-12)
    return as_given(loss, scores) if isinstance(scores, np.ndarray) else loss


def balance_loss(scores: Array, parts: Array, weight: Array, softening: float = SOFTENING) -> Array:
    r"""How far the energies of an event, summed over its hits, are from the true ones.

    .. math:: L = \sqrt{\sum_o r_o^2 + s^2} - s, \qquad r_o = \sum_i E_i (p_{io} - f_{io}) \Big/ \sum_i E_i

    `origin_loss` treats hits independently, but neutral energy is a sum over the hits of an event, in which common
    errors add up. Linear for large errors, so that outlier events do not dominate.

    Parameters
    ----------
    scores, parts, weight
        As in `origin_loss`, of one event.
    softening : float
        s, the error from which the loss is linear.

    Returns
    -------
    Tensor or ndarray
        A number; 0 where no part is known.
    """
    s, f, w = _checked(scores, parts, weight)
    off = (w[:, None] * (torch.softmax(s, 1) - f)).sum(0) / w.sum().clamp(min=1e-12)
    loss: Tensor = (off.square().sum() + softening**2).sqrt() - softening
    return as_given(loss, scores) if isinstance(scores, np.ndarray) else loss


def _checked(scores: Array, parts: Array, weight: Array) -> tuple[Tensor, Tensor, Tensor]:
    """As tensors, with weights of 0 where the parts are not known."""
    s, f, w = tensor(scores).float(), tensor(parts), tensor(weight)
    if s.shape != f.shape or s.ndim != 2 or w.shape != s.shape[:1]:
        raise ValueError(
            f"scores {tuple(s.shape)}, parts {tuple(f.shape)}, weight {tuple(w.shape)}: expected (N, O), (N, O), (N,)"
        )
    f = f.to(s)
    return s, f, w.to(s) * f.sum(1)
