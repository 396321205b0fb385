"""Object condensation: hits are drawn to the hit that represents their particle and pushed from the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cmlflow.losses.labels import Array, ArrayLike, as_given, compact, points_and_labels, tensor


@dataclass(frozen=True)
class Condensation:
    """`condensation_loss` of the outputs ``"beta"`` and ``"coordinates"``.

    Parameters
    ----------
    q_min : float, default=0.1
        Charge of a hit with beta = 0. Usual values 0.1-3.
    beta_weight : float, default=1
        Factor s_B of the term that asks each particle for one hit with beta = 1.
    """

    q_min: float = 0.1
    beta_weight: float = 1.0

    def __call__(
        self, output: dict[str, Tensor], particle_id: Tensor, weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        terms = condensation_loss(output["beta"], output["coordinates"], particle_id, self.q_min)
        return terms | {"beta": self.beta_weight * terms["beta"]}


def condensation_loss(beta: ArrayLike, x: Array, particle_id: ArrayLike, q_min: float = 0.1) -> dict[str, Array]:
    """The three terms of object condensation for one event.

    With charges q_i = arctanh(beta_i)^2 + q_min and a(k) the hit of particle k with the largest charge::

        attraction = 1/K sum_k 1/N_k       sum_{i in k}     q_i q_a(k) |x_i - x_a(k)|^2
        repulsion  = 1/K sum_k 1/(N - N_k) sum_{i not in k} q_i q_a(k) max(0, 1 - |x_i - x_a(k)|)
        beta       = 1/K sum_k (1 - beta_a(k))

    Parameters
    ----------
    beta : Tensor or ndarray of shape (N,), float
        Condensation strengths in [0, 1].
    x : Tensor or ndarray of shape (N, D), float
        Clustering coordinates.
    particle_id : Tensor or ndarray of shape (N,), int
        Hits of unknown particle (-1) belong to no k: they are only repelled.
    q_min : float, default=0.1

    Returns
    -------
    dict of str to Tensor or ndarray without axes
        ``attraction``, ``repulsion``, ``beta``, in the kind of `x`; zero where the event has no particle.

    Raises
    ------
    ValueError
        Wrong shapes or labels, a beta outside of [0, 1].

    References
    ----------
    Kieseler, Object condensation, arXiv:2002.03605, eqs. 2-6; arXiv:2603.23356, section II.2 (this normalisation,
    no noise term).
    """
    points, labels = points_and_labels(x, particle_id, "x")
    strength = tensor(beta).to(points)
    if strength.shape != labels.shape:
        raise ValueError(f"beta has shape {tuple(strength.shape)}, expected ({len(labels)},)")
    outside = (strength < 0) | (strength > 1)
    if bool(outside.any()):
        i = int(outside.nonzero()[0])
        raise ValueError(f"beta of hit {i} is {float(strength[i].detach())}, expected a value in 0..1")
    labels, n_particles = compact(labels)
    if n_particles == 0:
        zero = as_given(points.sum() * 0.0 + strength.sum() * 0.0, x)
        return {"attraction": zero, "repulsion": zero, "beta": zero}
    largest = 1 - torch.finfo(points.dtype).eps  # arctanh stays finite
    charge = torch.atanh(strength.clamp(max=largest)).square() + q_min
    member = labels[:, None] == torch.arange(n_particles, device=labels.device)  # (N, K)
    alpha = torch.where(member, charge.detach()[:, None], -1.0).argmax(0)  # (K,)
    n_own = member.sum(0)
    known = labels >= 0
    own = labels[known]
    pull = charge[known] * (charge[alpha] / n_own)[own]
    attraction = (pull * (points[known] - points[alpha[own]]).square().sum(1)).sum()
    push = torch.where(member, 0, charge[:, None] * (charge[alpha] / (len(labels) - n_own).clamp(min=1)))
    distance = torch.cdist(points, points[alpha], compute_mode="donot_use_mm_for_euclid_dist")  # (N, K)
    repulsion = (push * (1 - distance).clamp(min=0)).sum()
    terms = {
        "attraction": attraction / n_particles,
        "repulsion": repulsion / n_particles,
        "beta": (1 - strength[alpha]).mean(),
    }
    return {name: as_given(value, x) for name, value in terms.items()}


def length(difference: Tensor) -> Tensor:
    """Euclidean length along the last axis, with gradient zero (not nan) where it is zero."""
    square = difference.square().sum(-1)
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1).sqrt(), 0)
