"""Heads: from the backbone's features to what a loss and a readout work on.

Every head is a torch module ``head(features) -> dict of tensors``, one row per hit; one with a true attribute
`uses_points` is called as ``head(features, points)``.
"""

from cmlflow.nets.heads.condensation import CondensationHead
from cmlflow.nets.heads.embedding import EmbeddingHead
from cmlflow.nets.heads.offset import OffsetHead

__all__ = ["CondensationHead", "EmbeddingHead", "OffsetHead"]
