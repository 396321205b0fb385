"""Models of format 1, which had one flat list of parameters and one list of weights, as models of format 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from cmlflow.methods import METHODS

DEFAULTS: dict[str, Any] = {
    "head": "supcon", "readout": "density", "loss": None, "dim": 16, "k": 24, "scaling": "standard", "dropout": 0.01,
    "max_epochs": 100, "batch_size": 16, "learning_rate": 3e-4, "schedule": "step", "warmup_steps": 0,
    "gradient_clip": None, "patience": None, "hits_per_batch": 30_000, "precision": "float32", "augment": False,
    "balance": 0.0, "select": "loss", "tracks": False, "reassign": 0, "min_share": 0.0, "random_state": 0,
    "device": "cpu", "verbose": False,
}  # fmt: skip
NETWORK = ("k", "scaling", "dropout")
TRAINING = (
    "schedule", "warmup_steps", "gradient_clip", "patience", "hits_per_batch", "precision", "augment", "select",
    "balance",
)  # fmt: skip


def upgraded(
    parameters: dict[str, Any], weights: dict[str, Tensor], path: Path
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Parameters and weights in format 2.

    Parameters
    ----------
    parameters : dict
        Of format 1; what is missing had its default.
    weights : dict of str to Tensor
    path : Path
        Of the configuration, for messages.

    Raises
    ------
    ValueError
        Unknown parameters or head.
    """
    if unknown := parameters.keys() - DEFAULTS.keys():
        raise ValueError(f"{path} has unknown parameters {sorted(unknown)}")
    old = DEFAULTS | parameters
    if old["head"] not in METHODS:
        raise ValueError(f"{path}: head is {old['head']!r}, expected one of {', '.join(METHODS)}")
    new = {name: old[name] for name in ("head", "readout", "tracks", "random_state")}
    new["refine"] = {"passes": int(old["reassign"])} if old["reassign"] else 0
    if old["reassign"] and old["min_share"]:
        new["refine"]["min_share"] = old["min_share"]
    if METHODS[old["head"]].head is not None:
        new |= {name: old[name] for name in ("dim", "max_epochs", "batch_size", "learning_rate")}
        new["network"] = {name: old[name] for name in NETWORK}
        new["training"] = {name: old[name] for name in TRAINING}
    named = {
        f"refiner.{name.removeprefix('profile.')}" if name.startswith("profile.") else f"embedder.{name}": value
        for name, value in weights.items()
    }
    return new, named
