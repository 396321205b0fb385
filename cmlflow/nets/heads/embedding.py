"""The embedding head: one linear layer."""

from __future__ import annotations

from torch import Tensor, nn


class EmbeddingHead(nn.Module):
    """Linear map to the embedding, not normalised (arXiv:2603.23356, section II.1).

    Parameters
    ----------
    in_features : int
        Features per hit of the backbone.
    dim : int, default=16
        Dimension D of the embedding.
    """

    def __init__(self, in_features: int, dim: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Linear(in_features, dim)

    def forward(self, h: Tensor) -> dict[str, Tensor]:
        """(N, in_features) to ``{"embedding": (N, D)}``."""
        return {"embedding": self.embedding(h)}
