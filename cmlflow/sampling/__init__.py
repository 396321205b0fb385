"""From events to the input of networks: batches within a hit budget, augmentation, splits by event, focus samples."""

from cmlflow.sampling.batches import Batch, collate, collate_points, pack
from cmlflow.sampling.focus import FocusSample, all_focus_samples, focus_samples, track_distances
from cmlflow.sampling.focus_file import FocusFile, write_focus
from cmlflow.sampling.inputs import Inputs
from cmlflow.sampling.padding import PaddedSamples, padded
from cmlflow.sampling.points import Points, event_points, n_points, nearest_tracks
from cmlflow.sampling.split import hashed_part, split_events
from cmlflow.sampling.symmetry import grid_symmetry

__all__ = [
    "Batch",
    "FocusFile",
    "FocusSample",
    "Inputs",
    "PaddedSamples",
    "Points",
    "all_focus_samples",
    "collate",
    "collate_points",
    "event_points",
    "focus_samples",
    "grid_symmetry",
    "hashed_part",
    "n_points",
    "nearest_tracks",
    "pack",
    "padded",
    "split_events",
    "track_distances",
    "write_focus",
]
