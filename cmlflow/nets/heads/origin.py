"""The origin head: how much of a hit's energy is charged, neutral, noise."""

from __future__ import annotations

from torch import Tensor, nn


class OriginHead(nn.Module):
    """Scores of three origins of every point's energy; their softmax are its parts.

    The origins: particles with a track, particles without one, nobody (noise).

    Parameters
    ----------
    in_features : int
        Features per point of the backbone.
    """

    def __init__(self, in_features: int) -> None:
        super().__init__()
        self.score = nn.Sequential(nn.Linear(in_features, in_features), nn.ELU(), nn.Linear(in_features, 3))

    def forward(self, h: Tensor) -> dict[str, Tensor]:
        """(N, in_features) to ``{"origin": (N, 3)}``."""
        return {"origin": self.score(h)}
