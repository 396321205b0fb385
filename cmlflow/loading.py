"""Models of every kind by their names: `load` and `models`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from cmlflow.baselines.learned.base import CellNetwork
from cmlflow.baselines.learned.folder import is_cell_network
from cmlflow.baselines.learned.loading import load_regressor
from cmlflow.baselines.learned.superresolution import SuperResolver
from cmlflow.clusterer import MetricClusterer
from cmlflow.model_paths import PACKAGED, find_model, packaged_models
from cmlflow.particle_flow import ParticleFlow, is_particle_flow


class PackagedModel(NamedTuple):
    """A model that comes with the package.

    Attributes
    ----------
    name : str
        As `load` takes it.
    kind : str
        ``"clusterer"``, ``"particle flow"`` or ``"cells"``.
    head, readout : str
        Of networks of cells the network, and what its scores mean.
    detector, sample : str
        What it was trained on.
    """

    name: str
    kind: str
    head: str
    readout: str
    detector: str
    sample: str


def load(name: str | Path, **changes: Any) -> MetricClusterer | ParticleFlow | CellNetwork | SuperResolver:
    """A packaged model by its name, or a saved one by its folder, whatever its kind.

    Parameters
    ----------
    name : str or path
    **changes
        Parameters in place of the saved ones, for example ``readout="ward"``.

    Returns
    -------
    MetricClusterer, ParticleFlow, PointNetRegressor, NeutralRegressor or SuperResolver

    Raises
    ------
    FileNotFoundError
        No such folder or packaged model; lists the packaged ones.
    ValueError
        A folder of another version, or with files that do not fit together.

    Examples
    --------
    >>> import cmlflow
    >>> type(cmlflow.load("rho-supcon")).__name__
    'ParticleFlow'
    """
    if is_cell_network(name):
        return load_regressor(name, **changes)
    return (ParticleFlow if is_particle_flow(name) else MetricClusterer).load(name, **changes)


def models() -> list[PackagedModel]:
    """The packaged models, by name.

    Examples
    --------
    >>> import cmlflow
    >>> cmlflow.models()[0].detector
    'hgcal'
    """
    out = []
    for name in packaged_models(every=True):
        config = json.loads((find_model(PACKAGED / name) / "config.json").read_text())
        chosen, of = config["parameters"], config["trained_on"]
        if is_cell_network(PACKAGED / name):
            network = chosen.get("network", config["network"])
            out.append(
                PackagedModel(name, "cells", network, chosen.get("output", "fine cells"), of["detector"], of["sample"])
            )
            continue
        kind = "particle flow" if is_particle_flow(PACKAGED / name) else "clusterer"
        out.append(PackagedModel(name, kind, chosen["head"], chosen["readout"], of["detector"], of["sample"]))
    return out
