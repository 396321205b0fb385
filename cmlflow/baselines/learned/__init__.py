"""Networks that say of every cell whose its energy is: those of the sources beside metric learning.

Each is a `CellRegressor`: ``predict(events)`` gives the `CellShares` of every event.
"""

from cmlflow.association.cell_shares import CellShares
from cmlflow.baselines.learned.base import CellNetwork, CellRegressor
from cmlflow.baselines.learned.fine import FineCells
from cmlflow.baselines.learned.inference import Inference
from cmlflow.baselines.learned.losses import CellLoss
from cmlflow.baselines.learned.neutral import NeutralConfig, NeutralRegressor
from cmlflow.baselines.learned.pointnet import PointNetConfig, PointNetRegressor
from cmlflow.baselines.learned.superresolution import SuperConfig, SuperResolver

__all__ = [
    "CellLoss",
    "CellNetwork",
    "CellRegressor",
    "CellShares",
    "FineCells",
    "Inference",
    "NeutralConfig",
    "NeutralRegressor",
    "PointNetConfig",
    "PointNetRegressor",
    "SuperConfig",
    "SuperResolver",
]
