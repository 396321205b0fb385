"""Embedders: from events to embeddings of their points; `Embedder` is their interface."""

from cmlflow.embedders.axes import AxisEmbedder
from cmlflow.embedders.base import Embedder, Score
from cmlflow.embedders.network import NetworkEmbedder
from cmlflow.embedders.slopes import SlopesEmbedder

__all__ = ["AxisEmbedder", "Embedder", "NetworkEmbedder", "Score", "SlopesEmbedder"]
