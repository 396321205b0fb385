"""Cell-to-track association without learning: every function takes an event and gives each track's part of each cell.

The result has shape (n_tracks, n_hits), float64, in [0, 1], as `cmlflow.metrics.association_counts` and
`cmlflow.metrics.neutral_scores` take it.
"""

from cmlflow.baselines.pflow.trivial import always, balanced_random, nearest_track

__all__ = ["always", "balanced_random", "nearest_track"]
