"""Cell-to-track association without learning: every function takes an event and gives each track's part of each cell.

The result has shape (n_tracks, n_hits), float64, in [0, 1], as `cmlflow.metrics.association_counts` and
`cmlflow.metrics.neutral_scores` take it.
"""

from cmlflow.baselines.pflow.extrapolation import Matching
from cmlflow.baselines.pflow.parametric import ParametricCandidates, Subtraction, parametric, parametric_candidates
from cmlflow.baselines.pflow.templates import PionTemplates, SinglePion, pion_templates
from cmlflow.baselines.pflow.topoclusters import topoclusters
from cmlflow.baselines.pflow.trivial import always, balanced_random, nearest_track

__all__ = [
    "Matching",
    "ParametricCandidates",
    "PionTemplates",
    "SinglePion",
    "Subtraction",
    "always",
    "balanced_random",
    "nearest_track",
    "parametric",
    "parametric_candidates",
    "pion_templates",
    "topoclusters",
]
