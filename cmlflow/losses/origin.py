"""Loss of the parts of each hit's energy that are charged, neutral and noise."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional

from cmlflow.losses.labels import Array, as_given, tensor


def origin_loss(scores: Array, parts: Array, weight: Array) -> Array:
    r"""Energy-weighted cross-entropy of true and predicted parts.

    .. math:: L = -\sum_i E_i \sum_o f_{io} \ln p_{io} \Big/ \sum_i E_i, \qquad p_i = \mathrm{softmax}(s_i)

    over the points with known parts. It is smallest where the predicted parts are the mean true ones, so their sums
    are unbiased.

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
    s, f, w = tensor(scores).float(), tensor(parts), tensor(weight)
    if s.shape != f.shape or s.ndim != 2 or w.shape != s.shape[:1]:
        raise ValueError(
            f"scores {tuple(s.shape)}, parts {tuple(f.shape)}, weight {tuple(w.shape)}: expected (N, O), (N, O), (N,)"
        )
    f = f.to(s)
    w = w.to(s) * f.sum(1)
    each = -(f * functional.log_softmax(s, 1)).sum(1)
    loss: Tensor = (w * each).sum() / w.sum().clamp(min=1e-12)
    return as_given(loss, scores) if isinstance(scores, np.ndarray) else loss
