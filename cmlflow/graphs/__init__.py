"""Neighbour graphs of point clouds."""

from cmlflow.graphs.knn import knn

__all__ = ["knn"]
