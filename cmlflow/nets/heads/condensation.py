"""The object condensation head: condensation strength and clustering coordinates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class CondensationHead(nn.Module):
    """beta = sigmoid(linear) and linear coordinates (arXiv:2603.23356, section II.1; arXiv:2002.03605).

    Parameters
    ----------
    in_features : int
        Features per hit of the backbone.
    dim : int, default=16
        Dimension D of the clustering coordinates.
    """

    def __init__(self, in_features: int, dim: int = 16) -> None:
        super().__init__()
        self.beta = nn.Linear(in_features, 1)
        self.coordinates = nn.Linear(in_features, dim)

    def forward(self, h: Tensor) -> dict[str, Tensor]:
        """(N, in_features) to ``{"beta": (N,), "coordinates": (N, D)}``."""
        # One product for both: with a single column, or a sigmoid on contiguous memory, a hit's place decides how its
        # value is rounded.
        weight = torch.cat([self.beta.weight, self.coordinates.weight])
        bias = torch.cat([self.beta.bias, self.coordinates.bias])
        both = functional.linear(h, weight, bias)
        return {"beta": both[:, 0].sigmoid(), "coordinates": both[:, 1:]}
