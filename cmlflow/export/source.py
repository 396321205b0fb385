"""What of a model is exported: the one place that looks into it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

import cmlflow
from cmlflow.baselines.learned import CellNetwork, SuperResolver
from cmlflow.clusterer import MetricClusterer
from cmlflow.loading import load
from cmlflow.nets.heads import CondensationHead
from cmlflow.nets.network import Network
from cmlflow.particle_flow import ParticleFlow
from cmlflow.prediction import make_readout
from cmlflow.readouts import Clue, Condensation, Density
from cmlflow.sampling.inputs import Inputs

Model: TypeAlias = "MetricClusterer | ParticleFlow | CellNetwork | SuperResolver | str | Path"

READOUTS = (Density, Condensation, Clue)
UNITS = {"x": "cm", "y": "cm", "z": "cm", "distance": "cm", "momentum": "GeV"}
ENERGY_UNITS = {"hgcal": "MIP", "slab": "GeV"}
"""By the family of the detector."""


@dataclass(frozen=True, eq=False)
class Source:
    """A trained model, taken apart.

    Attributes
    ----------
    head : str
        Its name.
    network : Network or None
        None for slopes.
    on_sphere : bool
        Whether embeddings are made unit vectors.
    tracks : bool
        Whether points are hits and tracks.
    features : tuple of str
        Columns of the points.
    readout : Density, Condensation, Clue or None
        With its thresholds; None where embeddings alone are wanted.
    about : dict of str to str
        See `description`.
    """

    head: str
    network: Network | None
    on_sphere: bool
    tracks: bool
    features: tuple[str, ...]
    readout: Any
    about: dict[str, str]


def source_of(model: Model, readout: bool = True) -> Source:
    """Take a model apart.

    Parameters
    ----------
    model : MetricClusterer, ParticleFlow, str or path
        A trained one, the name of a packaged one, or the folder of a saved one.
    readout : bool, default=True
        Whether the readout is wanted too.

    Raises
    ------
    ValueError
        A model, or a readout, that cannot leave Python.
    """
    clusterer = loaded(model)
    embedder, head = clusterer.embedder_, clusterer.head
    if not getattr(embedder, "torch_only", False):
        raise ValueError(
            f"head is {head!r}, which cannot be exported to ONNX: {type(embedder).__name__} computes outside of torch; "
            "expected supcon, margin, prototype, oc or slopes"
        )
    network: Network | None = getattr(embedder, "network", None)  # slopes have none
    if network is not None:
        network.eval()
    if clusterer.refine:
        raise ValueError(f"refine is {clusterer.refine}, expected 0 for ONNX: refiners compute outside of torch")
    chosen = None
    if readout:
        chosen = make_readout(clusterer.readout_, embedder.on_sphere, clusterer.thresholds_, clusterer.typical_hits_)
        names = ", ".join(kind.__name__.lower() for kind in READOUTS)
        if type(chosen) not in READOUTS:
            raise ValueError(f"readout is {chosen!r}, expected one of {names} for ONNX, or readout=False")
        if isinstance(chosen, Condensation) and not (network and isinstance(network.head, CondensationHead)):
            raise ValueError(f"the readout 'condensation' needs beta, which the head {head!r} does not give")
    about = description(clusterer, chosen)
    features = inputs_of(clusterer).columns(embedder.takes_tracks)
    return Source(about["head"], network, embedder.on_sphere, embedder.takes_tracks, features, chosen, about)


def loaded(model: Model) -> MetricClusterer:
    """The clusterer of a model or of its name.

    Raises
    ------
    ValueError
        It has no weights yet, or is a network of cells.
    """
    if isinstance(model, str | Path):
        model = load(model)
    if isinstance(model, CellNetwork | SuperResolver):
        raise ValueError("model is a network of cells, which can't be exported; expected a clusterer or particle flow")
    assert not isinstance(model, str | Path)
    clusterer = model.clusterer if isinstance(model, ParticleFlow) else model
    if not hasattr(clusterer, "embedder_"):
        raise ValueError("model has no weights yet: call fit, or load one")
    return clusterer


def inputs_of(clusterer: MetricClusterer) -> Inputs:
    """What a model sees of each hit."""
    inputs: Inputs = getattr(clusterer.embedder_, "inputs", Inputs())
    return inputs


def description(clusterer: MetricClusterer, readout: Any) -> dict[str, str]:
    """What a file says of the model in it, by name; lists and numbers as JSON.

    Parameters
    ----------
    clusterer : MetricClusterer
    readout : readout or None
    """
    embedder, detector = clusterer.embedder_, clusterer.trained_on_.get("detector")
    inputs = inputs_of(clusterer)
    features = inputs.columns(embedder.takes_tracks)
    units = {name: UNITS[name] for name in features if name in UNITS}
    units["energy"] = ENERGY_UNITS.get(str(detector).split("-")[0], "as in training")
    return {
        "cmlflow": cmlflow.__version__,
        "head": clusterer.head if isinstance(clusterer.head, str) else type(clusterer.head).__name__,
        "features": json.dumps(features),
        "inputs": json.dumps({"names": inputs.names, "widths": dict(inputs.widths)}),
        "units": json.dumps(units),
        "tracks": json.dumps(embedder.takes_tracks),
        "readout": json.dumps(None if readout is None else type(readout).__name__.lower()),
        "thresholds": json.dumps({} if readout is None else readout.get_params()),
        "detector": json.dumps(detector),
        "sample": json.dumps(clusterer.trained_on_.get("sample")),
        "weights_sha256": digest(embedder.state()),
    }


def digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, shapes and values of weights, in the order of their names."""
    found = hashlib.sha256()
    for name, value in sorted(weights.items()):
        found.update(f"{name} {tuple(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()
