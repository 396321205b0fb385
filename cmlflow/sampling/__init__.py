"""From events to what the network is fed: batches within a hit budget, augmentation, splits by event."""

from cmlflow.sampling.batches import Batch, collate, pack
from cmlflow.sampling.split import split_events
from cmlflow.sampling.symmetry import grid_symmetry

__all__ = ["Batch", "collate", "grid_symmetry", "pack", "split_events"]
