"""Heads: from the backbone's features to what a loss and a readout work on.

Every head is a torch module ``head(features) -> dict of tensors``, one row per hit.
"""

from cmlflow.heads.condensation import CondensationHead
from cmlflow.heads.embedding import EmbeddingHead

HEADS = {"supcon": EmbeddingHead, "margin": EmbeddingHead, "oc": CondensationHead}

__all__ = ["HEADS", "CondensationHead", "EmbeddingHead"]
