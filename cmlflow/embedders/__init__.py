"""Embedders: from events to embeddings of their points."""
