"""Figures of merit, numpy alone: embedding geometry, matching of clusters and particles, reconstruction, resolution.

A metric of one event takes that event's arrays (or tensors) and its truth, and returns a dict of floats, or arrays
of shape (C, P) over clusters and particles. `cmlflow.evaluate` runs them over many events, with bootstrap intervals.
"""

from cmlflow.metrics.embedding import embedding_metrics
from cmlflow.metrics.intervals import Interval
from cmlflow.metrics.matching import association_scores
from cmlflow.metrics.reconstruction import PRESETS, Preset, reconstruction_metrics
from cmlflow.metrics.resolution import calibrated, particle_response, resolution, sigma_eff

__all__ = [
    "PRESETS",
    "Interval",
    "Preset",
    "association_scores",
    "calibrated",
    "embedding_metrics",
    "particle_response",
    "reconstruction_metrics",
    "resolution",
    "sigma_eff",
]
