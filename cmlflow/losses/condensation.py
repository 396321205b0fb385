"""Object condensation: hits are drawn to the hit that represents their particle and pushed from the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cmlflow.losses.labels import Array, ArrayLike, as_given, compact, points_and_labels, tensor

ATTRACTIONS = ("square", "log")
REPULSIONS = ("hinge", "gauss")
LARGEST = 1 - 1e-3  # no charge above 14.5 + q_min


@dataclass(frozen=True)
class Condensation:
    """`condensation_loss` of the outputs ``"beta"`` and ``"coordinates"``.

    Parameters
    ----------
    q_min : float, default=0.1
        Charge of a hit with beta = 0. Usual values 0.1-3.
    beta_weight : float, default=1
        Factor of the term that asks each particle for one hit with beta = 1.
    largest, attraction, repulsion, mean
        As in `condensation_loss`.
    noise_weight : float, default=0
        Factor s_B of the mean beta of hits of unknown particle. The term is absent at 0, as in arXiv:2603.23356.
    """

    q_min: float = 0.1
    beta_weight: float = 1.0
    largest: float = LARGEST
    attraction: str = "square"
    repulsion: str = "hinge"
    mean: float = 0.0
    noise_weight: float = 0.0

    def __call__(
        self, output: dict[str, Tensor], particle_id: Tensor, weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        beta, form = output["beta"], (self.attraction, self.repulsion, self.mean)
        terms = condensation_loss(beta, output["coordinates"], particle_id, self.q_min, self.largest, *form)
        terms = terms | {"beta": self.beta_weight * terms["beta"]}
        if self.noise_weight:
            unknown = particle_id < 0
            terms["noise"] = self.noise_weight * torch.where(unknown, beta, 0).sum() / unknown.sum().clamp(min=1)
        return terms


def condensation_loss(
    beta: ArrayLike,
    x: Array,
    particle_id: ArrayLike,
    q_min: float = 0.1,
    largest: float = LARGEST,
    attraction: str = "square",
    repulsion: str = "hinge",
    mean: float = 0.0,
) -> dict[str, Array]:
    """The three terms of object condensation for one event.

    With charges q_i = arctanh(min(beta_i, largest))^2 + q_min, a(k) the hit of particle k with the largest beta, and
    its centre c_k = (1 - mean) x_a(k) + mean sum_{i in k} q_i x_i / sum_{i in k} q_i::

        attraction = 1/K sum_k 1/N_k       sum_{i in k}     q_i q_a(k) A(|x_i - c_k|)
        repulsion  = 1/K sum_k 1/(N - N_k) sum_{i not in k} q_i q_a(k) R(|x_i - c_k|)
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
    largest : float, default=0.999
        Upper limit of beta in the charges, which bounds them by arctanh(largest)^2 + q_min, 14.5 + q_min by default. At
        1 - 1e-7, the limit of float32, a pair of confident hits would count a hundred times as much. Above the limit,
        beta has a gradient through the term ``beta`` only.
    attraction : {"square", "log"}, default="square"
        A(d) = d^2, or log(e d^2 / 2 + 1), which outliers do not dominate.
    repulsion : {"hinge", "gauss"}, default="hinge"
        R(d) = max(0, 1 - d), or exp(-d^2 / 2), which reaches beyond distance 1.
    mean : float, default=0
        Share of the charge-weighted mean in the centre.

    Returns
    -------
    dict of str to Tensor or ndarray without axes
        ``attraction``, ``repulsion``, ``beta``, in the kind of `x`; zero where the event has no particle.

    Raises
    ------
    ValueError
        Wrong shapes or labels, a beta outside of [0, 1], an unknown form of attraction or repulsion, `largest` or
        `mean` out of range.

    References
    ----------
    Kieseler, Object condensation, arXiv:2002.03605, eqs. 2-6; arXiv:2603.23356, section II.2 (this normalisation,
    no noise term). The logarithmic and Gaussian forms and the mean are those of the later training code of the
    CMS HGCAL reconstruction (github.com/cms-pepr/HGCalML).
    """
    points, labels = points_and_labels(x, particle_id, "x")
    strength = tensor(beta).to(points)
    if strength.shape != labels.shape:
        raise ValueError(f"beta has shape {tuple(strength.shape)}, expected ({len(labels)},)")
    outside = (strength < 0) | (strength > 1)
    if bool(outside.any()):
        i = int(outside.nonzero()[0])
        raise ValueError(f"beta of hit {i} is {float(strength[i].detach())}, expected a value in 0..1")
    _check_form(largest, attraction, repulsion, mean)
    labels, n_particles = compact(labels)
    if n_particles == 0:
        zero = as_given(points.sum() * 0.0 + strength.sum() * 0.0, x)
        return {"attraction": zero, "repulsion": zero, "beta": zero}
    largest = min(largest, 1 - torch.finfo(points.dtype).eps)  # arctanh stays finite
    charge = torch.atanh(strength.clamp(max=largest)).square() + q_min
    member = labels[:, None] == torch.arange(n_particles, device=labels.device)  # (N, K)
    alpha = torch.where(member, strength.detach()[:, None], -1.0).argmax(0)  # (K,)
    n_own = member.sum(0)
    known = labels >= 0
    own = labels[known]
    centre, own_centre = points[alpha], points[alpha[own]]
    if mean:
        weighted = torch.zeros_like(centre).index_add(0, own, charge[known, None] * points[known])
        total = torch.zeros_like(charge[alpha]).index_add(0, own, charge[known])
        centre = (1 - mean) * centre + mean * weighted / total[:, None]
        own_centre = centre[own]
    square = (points[known] - own_centre).square().sum(1)
    well = square if attraction == "square" else torch.log1p(math.e / 2 * square)
    pull = (charge[known] * (charge[alpha] / n_own)[own] * well).sum()
    distance = torch.cdist(points, centre, compute_mode="donot_use_mm_for_euclid_dist")  # (N, K)
    wall = (1 - distance).clamp(min=0) if repulsion == "hinge" else torch.exp(distance.square() / -2)
    push = torch.where(member, 0, charge[:, None] * (charge[alpha] / (len(labels) - n_own).clamp(min=1)))
    terms = {
        "attraction": pull / n_particles,
        "repulsion": (push * wall).sum() / n_particles,
        "beta": (1 - strength[alpha]).mean(),
    }
    return {name: as_given(value, x) for name, value in terms.items()}


def _check_form(largest: float, attraction: str, repulsion: str, mean: float) -> None:
    if not 0 < largest <= 1:
        raise ValueError(f"largest is {largest}, expected a beta above 0 and up to 1")
    if attraction not in ATTRACTIONS:
        raise ValueError(f"attraction is {attraction!r}, expected one of {ATTRACTIONS}")
    if repulsion not in REPULSIONS:
        raise ValueError(f"repulsion is {repulsion!r}, expected one of {REPULSIONS}")
    if not 0 <= mean <= 1:
        raise ValueError(f"mean is {mean}, expected 0 to 1")


def length(difference: Tensor) -> Tensor:
    """Euclidean length along the last axis, with gradient zero (not nan) where it is zero."""
    square = difference.square().sum(-1)
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1).sqrt(), 0)
