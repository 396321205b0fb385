"""One training loop for every head and loss."""

from cmlflow.training.checkpoint import load_checkpoint, save_checkpoint
from cmlflow.training.config import TrainingConfig
from cmlflow.training.loop import History, train
from cmlflow.training.tasks import ClusteringTask, Task

__all__ = ["ClusteringTask", "History", "Task", "TrainingConfig", "load_checkpoint", "save_checkpoint", "train"]
