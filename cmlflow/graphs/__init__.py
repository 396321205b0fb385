"""Neighbour graphs of point clouds."""

from typing import Any

__all__ = ["knn"]


def __getattr__(name: str) -> Any:
    """Import `knn` when it is asked for: the tree search alone works without torch."""
    if name == "knn":
        from cmlflow.graphs.neighbours import knn

        return knn
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
