"""Prototype loss: every hit is classified to the centre of its particle, on an absolute length scale."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from cmlflow.losses.condensation import length
from cmlflow.losses.labels import Array, ArrayLike, as_given, compact, points_and_labels, tensor


@dataclass(frozen=True)
class Prototype:
    """`prototype_loss` of the output ``"embedding"``, hits weighted by a power of their energy.

    Parameters
    ----------
    sigma, pull_margin, push_margin : float
        As in `prototype_loss`.
    energy_power : float, default=0.5
        0 weights all hits of a particle equally; 1 weights them by energy, which leaves most hits untrained.
    """

    sigma: float = 0.5
    pull_margin: float = 0.25
    push_margin: float = 3.0
    energy_power: float = 0.5

    def __call__(
        self, output: dict[str, Tensor], particle_id: Tensor, weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        w = None if weight is None else weight**self.energy_power
        return prototype_loss(output["embedding"], particle_id, w, self.sigma, self.pull_margin, self.push_margin)


def prototype_loss(
    z: Array,
    particle_id: ArrayLike,
    weight: ArrayLike | None = None,
    sigma: float = 0.5,
    pull_margin: float = 0.25,
    push_margin: float = 3.0,
) -> dict[str, Array]:
    """Cross entropy of the hits against the centres of all particles, with margins for a density readout.

    With mu_c the weighted mean of the hits of particle c and c(i) the particle of hit i::

        assignment = mean_c sum_{i in c} w_i (-log softmax_c'(-|z_i - mu_c'|^2 / (2 sigma^2)))_{c} / sum_{i in c} w_i
        variance   = mean_c sum_{i in c} w_i max(0, |z_i - mu_c| - pull_margin)^2 / sum_{i in c} w_i
        distance   = mean_{c != c'} max(0, push_margin - |mu_c - mu_c'|)^2

    The first term mirrors what a readout does. It needs all pairs of a hit and a particle, O(N C), where contrastive
    losses need O(N^2). It stops pushing once centres are a few sigma apart; the other two keep valleys of density
    between them.

    Parameters
    ----------
    z : Tensor or ndarray of shape (N, D), float
        Embeddings, not normalised here.
    particle_id : Tensor or ndarray of shape (N,), int
        Hits of unknown particle (-1) are ignored.
    weight : Tensor or ndarray of shape (N,), float, optional
        Non-negative weights of the hits; all one by default.
    sigma, pull_margin, push_margin : float
        In the length unit of the embedding.

    Returns
    -------
    dict of str to Tensor or ndarray without axes
        ``assignment``, ``variance``, ``distance``, in the kind of `z`; zero where the event has no particle.

    Raises
    ------
    ValueError
        Wrong shapes or labels, or a sigma that is not positive.

    References
    ----------
    Snell et al., Prototypical Networks for Few-shot Learning, arXiv:1703.05175, eq. 2. De Brabandere et al.,
    Semantic Instance Segmentation with a Discriminative Loss Function, arXiv:1708.02551, for the margins.
    """
    points, labels = points_and_labels(z, particle_id, "z")
    if not sigma > 0:
        raise ValueError(f"sigma is {sigma}, expected a positive number")
    known = labels >= 0
    labels, n_particles = compact(labels[known])
    if n_particles == 0:
        zero = as_given(points.sum() * 0.0, z)
        return {"assignment": zero, "variance": zero, "distance": zero}
    points = points[known]
    w = torch.ones_like(points[:, 0]) if weight is None else tensor(weight).to(points)[known]
    total = w.new_zeros(n_particles).index_add(0, labels, w).clamp(min=torch.finfo(w.dtype).tiny)

    def over_particles(value: Tensor) -> Tensor:
        return (w.new_zeros(n_particles).index_add(0, labels, w * value) / total).mean()

    centre = points.new_zeros(n_particles, points.shape[1]).index_add(0, labels, w[:, None] * points) / total[:, None]
    squared = (points[:, None] - centre).square().sum(2)
    assignment = functional.cross_entropy(squared / (-2 * sigma**2), labels, reduction="none")
    outside = (length(points - centre[labels]) - pull_margin).clamp(min=0).square()
    first, second = torch.triu_indices(n_particles, n_particles, 1, device=labels.device)
    if n_particles > 1:
        distance = (push_margin - length(centre[first] - centre[second])).clamp(min=0).square().mean()
    else:
        distance = centre.sum() * 0.0
    terms = {"assignment": over_particles(assignment), "variance": over_particles(outside), "distance": distance}
    return {name: as_given(value, z) for name, value in terms.items()}
