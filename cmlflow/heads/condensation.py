"""The object condensation head: condensation strength and clustering coordinates."""

from __future__ import annotations

from torch import Tensor, nn


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
        return {"beta": self.beta(h).sigmoid().squeeze(1), "coordinates": self.coordinates(h)}
