"""One training loop for every head and loss."""

from cmlflow.training.checkpoint import load_checkpoint, save_checkpoint
from cmlflow.training.config import TrainingConfig
from cmlflow.training.loop import History, train

__all__ = ["History", "TrainingConfig", "load_checkpoint", "save_checkpoint", "train"]
