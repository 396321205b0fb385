"""Discriminative margin loss: an embedding with an absolute length scale, which suits density readouts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cmlflow.losses.condensation import length
from cmlflow.losses.labels import Array, ArrayLike, as_given, compact, points_and_labels, tensor


@dataclass(frozen=True)
class Margin:
    """`margin_loss` of the output ``"embedding"``.

    Parameters
    ----------
    pull_margin, push_margin : float, default=0.5, 3.0
    """

    pull_margin: float = 0.5
    push_margin: float = 3.0

    def __call__(
        self, output: dict[str, Tensor], particle_id: Tensor, weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        return margin_loss(output["embedding"], particle_id, weight, self.pull_margin, self.push_margin)


def margin_loss(
    z: Array,
    particle_id: ArrayLike,
    weight: ArrayLike | None = None,
    pull_margin: float = 0.5,
    push_margin: float = 3.0,
) -> dict[str, Array]:
    """Hits within `pull_margin` of the centre of their particle, centres at least `push_margin` apart.

    With mu_c the weighted mean of the hits of particle c::

        variance       = mean_c     sum_{i in c} w_i max(0, |z_i - mu_c| - pull_margin)^2 / sum_{i in c} w_i
        distance       = mean_{c != c'} max(0, push_margin - |mu_c - mu_c'|)^2
        regularisation = 0.001 mean_c |mu_c|

    Parameters
    ----------
    z : Tensor or ndarray of shape (N, D), float
        Embeddings, not normalised here.
    particle_id : Tensor or ndarray of shape (N,), int
        Hits of unknown particle (-1) are ignored.
    weight : Tensor or ndarray of shape (N,), float, optional
        Non-negative weights of the hits, for example their energies; all one by default.
    pull_margin, push_margin : float
        In the length unit of the embedding; a readout's radius then lies between the two.

    Returns
    -------
    dict of str to Tensor or ndarray without axes
        ``variance``, ``distance``, ``regularisation``, in the kind of `z`; zero where the event has no particle.

    References
    ----------
    De Brabandere et al., Semantic Instance Segmentation with a Discriminative Loss Function, arXiv:1708.02551.
    """
    points, labels = points_and_labels(z, particle_id, "z")
    known = labels >= 0
    labels, n_particles = compact(labels[known])
    if n_particles == 0:
        zero = as_given(points.sum() * 0.0, z)
        return {"variance": zero, "distance": zero, "regularisation": zero}
    points = points[known]
    w = torch.ones_like(points[:, 0]) if weight is None else tensor(weight).to(points)[known]
    total = w.new_zeros(n_particles).index_add(0, labels, w).clamp(min=torch.finfo(w.dtype).tiny)
    centre = points.new_zeros(n_particles, points.shape[1]).index_add(0, labels, w[:, None] * points) / total[:, None]
    outside = (length(points - centre[labels]) - pull_margin).clamp(min=0).square()
    variance = (w.new_zeros(n_particles).index_add(0, labels, w * outside) / total).mean()
    first, second = torch.triu_indices(n_particles, n_particles, 1, device=labels.device)
    if n_particles > 1:
        distance = (push_margin - length(centre[first] - centre[second])).clamp(min=0).square().mean()
    else:
        distance = centre.sum() * 0.0
    terms = {"variance": variance, "distance": distance, "regularisation": 1e-3 * length(centre).mean()}
    return {name: as_given(value, z) for name, value in terms.items()}
