"""From embeddings to predictions for an event: clusters, their shares of hits and their energies."""

from cmlflow.prediction.embedding import Embedding
from cmlflow.prediction.prediction import Prediction
from cmlflow.prediction.readout import make_readout, read_out
from cmlflow.prediction.tuning import Tuning, best_distance, distance, tune_readout

__all__ = ["Embedding", "Prediction", "Tuning", "best_distance", "distance", "make_readout", "read_out", "tune_readout"]
