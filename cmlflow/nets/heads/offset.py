"""The offset head: where a hit is seen from the origin, plus a learned shift towards the centre of its shower."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cmlflow.nets.backbones.scaling import slopes

SLOPE_UNIT = 0.01  # slope that makes one unit of length: 3.5 cm at z = 350 cm, about a Moliere radius


class OffsetHead(nn.Module):
    """Slopes x/z, y/z in units of `scale`, then zeros, plus a linear map of the features: `dim` coordinates.

    Particles come from the origin, so the hits of a shower have nearly the same slopes before anything is learned,
    and showers that are far apart stay so however many there are in the event. For detectors whose layers stand
    across the z axis.

    Parameters
    ----------
    in_features : int
        Features per hit of the backbone.
    dim : int, default=4
        Dimension D of the embedding, at least 2.
    scale : float, default=0.01
        Slope that makes one unit of length.

    References
    ----------
    Neven et al., Instance Segmentation by Jointly Optimizing Spatial Embeddings and Clustering Bandwidth,
    arXiv:1906.11109, section 3.1: embedding = coordinate + offset.
    """

    uses_points = True

    def __init__(self, in_features: int, dim: int = 4, scale: float = SLOPE_UNIT) -> None:
        super().__init__()
        if dim < 2:
            raise ValueError(f"dim is {dim}, expected 2 or more with the offset head")
        self.scale = scale
        self.offset = nn.Linear(in_features, dim)
        with torch.no_grad():  # begin near the slopes
            self.offset.weight.mul_(0.3)
            self.offset.bias.zero_()

    def forward(self, h: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Features (N, in_features) and points (N, 5) to ``{"embedding": (N, D)}``."""
        shift = self.offset(h)
        place = slopes(x) / self.scale
        return {"embedding": torch.cat([shift[:, :2] + place, shift[:, 2:]], 1)}
