"""Figures of merit, numpy alone: embedding geometry, matching of clusters and particles, reconstruction, resolution,
association of cells and tracks, neutral energy, particle-flow candidates, jets.

A metric of one event takes that event's arrays (or tensors) and its truth, and returns a dict of floats, or arrays
of shape (C, P) over clusters and particles. `cmlflow.evaluate` runs them over many events, with bootstrap intervals.
"""

from cmlflow.metrics.association import (
    association_counts,
    association_metrics,
    compare_association,
    evaluate_association,
    neutral_shares,
    track_shares,
)
from cmlflow.metrics.candidates import compare_candidates
from cmlflow.metrics.embedding import embedding_metrics
from cmlflow.metrics.intervals import Interval
from cmlflow.metrics.jets import compare_jets, jet_residual, true_jet
from cmlflow.metrics.matching import association_scores
from cmlflow.metrics.neutral import barycentre_distance, compare_neutral, neutral_residual, neutral_scores
from cmlflow.metrics.reconstruction import PRESETS, Preset, reconstruction_metrics
from cmlflow.metrics.residuals import residual_figures, residuals_by_energy
from cmlflow.metrics.resolution import calibrated, particle_response, resolution, sigma_eff
from cmlflow.metrics.systems import SystemFigures
from cmlflow.metrics.truth import TrueCandidates, true_candidates

__all__ = [
    "PRESETS",
    "Interval",
    "Preset",
    "SystemFigures",
    "TrueCandidates",
    "association_counts",
    "association_metrics",
    "association_scores",
    "barycentre_distance",
    "calibrated",
    "compare_association",
    "compare_candidates",
    "compare_jets",
    "compare_neutral",
    "embedding_metrics",
    "evaluate_association",
    "jet_residual",
    "neutral_residual",
    "neutral_scores",
    "neutral_shares",
    "particle_response",
    "reconstruction_metrics",
    "residual_figures",
    "residuals_by_energy",
    "resolution",
    "sigma_eff",
    "track_shares",
    "true_candidates",
    "true_jet",
]
