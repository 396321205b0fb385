"""Figures and displays: 3-D events, embedding geometry, scores and training curves, and pages that hold them.

matplotlib and plotly are imported where they are used.
"""

from cmlflow.plots.colours import candidate_colours, cluster_colours
from cmlflow.plots.curves import score_figure, training_figure
from cmlflow.plots.embedding import embedding_figure
from cmlflow.plots.event import event_display

__all__ = [
    "candidate_colours",
    "cluster_colours",
    "embedding_figure",
    "event_display",
    "score_figure",
    "training_figure",
]
