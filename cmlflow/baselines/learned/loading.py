"""The table of networks of cells, and loading any of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cmlflow.baselines.learned.base import CellNetwork
from cmlflow.baselines.learned.folder import read_regressor
from cmlflow.baselines.learned.neutral import NeutralRegressor
from cmlflow.baselines.learned.pointnet import PointNetRegressor
from cmlflow.baselines.learned.superresolution import SuperResolver

REGRESSORS: dict[str, type[CellNetwork] | type[SuperResolver]] = {
    "pointnet": PointNetRegressor,
    "neutral": NeutralRegressor,
    "superresolution": SuperResolver,
}


def load_regressor(name: str | Path, **changes: Any) -> CellNetwork | SuperResolver:
    """A packaged network of cells by its name, or a saved one by its folder; see `CellNetwork.load`."""
    kind = read_regressor(name)[0]["network"]
    if kind not in REGRESSORS:
        raise ValueError(f"{name}: network {kind!r} is not known; there are {', '.join(REGRESSORS)}")
    return REGRESSORS[kind].load(name, **changes)
