"""Figures and displays: 3-D events, embedding geometry, scores, particle flow, training curves, and their pages.

matplotlib and plotly are imported on use.
"""

from cmlflow.plots.colours import candidate_colours, cluster_colours
from cmlflow.plots.curves import score_figure, training_figure
from cmlflow.plots.embedding import embedding_figure
from cmlflow.plots.event import event_display
from cmlflow.plots.flow import bar_figure, energy_figure, residual_figure
from cmlflow.plots.reliability import reliability_figure

__all__ = [
    "bar_figure",
    "candidate_colours",
    "cluster_colours",
    "embedding_figure",
    "energy_figure",
    "event_display",
    "reliability_figure",
    "residual_figure",
    "score_figure",
    "training_figure",
]
