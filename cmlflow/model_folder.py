"""Saved models: a folder with ``config.json`` and ``weights.safetensors``; and the packaged ones.

Format 2. ``config.json`` names the sha256 of its weights, so that files of two models are never mixed.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from cmlflow import __version__
from cmlflow.methods import METHODS
from cmlflow.model_format1 import upgraded
from cmlflow.model_paths import find_model as find_model  # where it was
from cmlflow.model_paths import is_cells, replace_files
from cmlflow.nets.network import NetworkConfig
from cmlflow.prediction.readout import AUTO
from cmlflow.readouts import READOUTS
from cmlflow.training import TrainingConfig

FORMAT = 2
PARTS = ("embedder", "refiner")  # of the weights; their names in the file begin with these


@dataclass(frozen=True)
class SavedModel:
    """What a model folder holds.

    Attributes
    ----------
    parameters : dict
        Of `MetricClusterer`, as JSON has them.
    thresholds : dict of str to dict
    weights : dict of str to dict of str to Tensor
        Of the embedder and of the refiner.
    trained_on : dict
    """

    parameters: dict[str, Any]
    thresholds: dict[str, dict[str, Any]]
    weights: dict[str, dict[str, Tensor]]
    trained_on: dict[str, Any]


def write_model(folder: str | Path, model: SavedModel) -> None:
    """Write both files under temporary names, then put them in place of the old ones.

    Raises
    ------
    OSError
        The folder can't be written; files that were there before are kept.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{part}.{name}": value.detach().cpu().contiguous()
        for part in PARTS
        for name, value in model.weights[part].items()
    }
    data = save(tensors)
    config = {"format": FORMAT, "cmlflow": __version__, "parameters": model.parameters, "thresholds": model.thresholds}
    config |= {"trained_on": model.trained_on, "weights": hashlib.sha256(data).hexdigest()}
    text = json.dumps(config, indent=1) + "\n"
    replace_files(
        {
            folder / "weights.safetensors": lambda p: p.write_bytes(data),
            folder / "config.json": lambda p: p.write_text(text),
        }
    )


def read_model(folder: Path) -> SavedModel:
    """Read and check both files of a folder.

    Raises
    ------
    ValueError
        A file of another format version, one that is not readable, or weights that are not those of the configuration.
    """
    path = folder / "config.json"
    if is_cells(folder):
        raise ValueError(f"{folder}: is a network of cells, not a clusterer; load it with cmlflow.load")
    try:
        config = json.loads(path.read_text())
        found = config["format"]
        parts = [config.get("parameters"), config.get("thresholds"), config.get("trained_on", {})]
        if found in (1, FORMAT) and not all(isinstance(part, dict) for part in parts):
            raise ValueError("parameters, thresholds and trained_on must be objects")
        if found == FORMAT and not isinstance(config.get("weights"), str):
            raise ValueError("weights must be the sha256 of the weights")
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise ValueError(f"{path}: not the configuration of a cmlflow model ({err!r})") from err
    if found not in (1, FORMAT):
        raise ValueError(
            f"{folder}: model format {found}, written by cmlflow {config.get('cmlflow')}; this is cmlflow "
            f"{__version__}, which reads formats 1 and {FORMAT}"
        )
    parameters, thresholds, trained_on = parts
    _check_ranges(parameters, trained_on, path)
    weights = _read_weights(folder / "weights.safetensors", config.get("weights"))
    if found == 1:
        parameters, weights = upgraded(parameters, weights, path)
    _check_thresholds(thresholds, path)
    own = {
        part: {n.removeprefix(f"{part}."): w for n, w in weights.items() if n.startswith(f"{part}.")} for part in PARTS
    }
    return SavedModel(parameters, thresholds, own, trained_on)


def as_saved(
    parameters: dict[str, Any], thresholds: dict[str, dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Parameters of `MetricClusterer` and thresholds, as JSON has them.

    Raises
    ------
    ValueError
        A head, readout or refiner that is not one of cmlflow's own.
    """
    out = {name: parameters[name] for name in parameters.keys() - {"loss", "device", "verbose"}}
    if not isinstance(out["head"], str):
        raise ValueError(f"head {out['head']!r} can't be saved, expected one of {', '.join(METHODS)}")
    if not isinstance(out["readout"], str):
        name = next((n for n, kind in READOUTS.items() if type(out["readout"]) is kind), None)
        if name is None:
            raise ValueError(f"readout {out['readout']!r} can't be saved, expected one of {', '.join(READOUTS)}")
        thresholds = thresholds | {name: out["readout"].get_params()}
        out["readout"] = name
    if not isinstance(out["refine"], int):
        if type(out["refine"]) is not METHODS[out["head"]].refiner:
            raise ValueError(
                f"refine {out['refine']!r} can't be saved, expected {METHODS[out['head']].refiner.__name__}"
            )
        settings: Any = out["refine"]
        out["refine"] = {f.name: getattr(settings, f.name) for f in fields(settings) if f.compare}
    for name in ("network", "training"):
        out[name] = None if out[name] is None else asdict(out[name])
    return dict(sorted(out.items())), thresholds


KINDS: dict[str, tuple[type, ...]] = {
    "head": (str,),
    "readout": (str,),
    "refine": (int, dict),
    "features": (list, type(None)),
    "dim": (int, type(None)),
    "max_epochs": (int, type(None)),
    "batch_size": (int, type(None)),
    "learning_rate": (float, int, type(None)),
    "network": (dict, type(None)),
    "training": (dict, type(None)),
    "tracks": (bool,),
    "random_state": (int,),
}
"""Types of the parameters in config.json."""


def from_saved(parameters: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Parameters of `MetricClusterer` from those of ``config.json``, checked.

    Raises
    ------
    ValueError
        Unknown parameters, or values of another type or outside their range.
    """
    path = folder / "config.json"
    if unknown := parameters.keys() - KINDS.keys():
        raise ValueError(f"{path} has unknown parameters {sorted(unknown)}")
    for name, value in parameters.items():
        if not isinstance(value, KINDS[name]) or (isinstance(value, bool) and name != "tracks"):
            raise ValueError(f"{path}: {name} is {value!r}, expected {KINDS[name][0].__name__}")
    out = dict(parameters)
    if out.get("head") not in METHODS:
        raise ValueError(f"{path}: head is {out.get('head')!r}, expected one of {', '.join(METHODS)}")
    if out.get("readout", "density").partition("@")[0] not in (*READOUTS, AUTO):
        raise ValueError(f"{path}: readout is {out['readout']!r}, expected one of {', '.join(READOUTS)}")
    builders = {"network": NetworkConfig, "training": TrainingConfig, "refine": METHODS[out["head"]].refiner}
    for name, build in builders.items():
        if isinstance(out.get(name), dict):
            try:
                out[name] = build(**out[name])
            except (TypeError, ValueError) as err:
                raise ValueError(f"{path}: {name}: {err}") from err
    return out


def _read_weights(path: Path, digest: str | None) -> dict[str, Tensor]:
    """The tensors of a file, checked against its digest; all floating point and finite."""
    try:
        data = path.read_bytes()
        weights = load(data)
    except (OSError, SafetensorError) as err:
        raise ValueError(f"{path}: cannot be read ({err})") from err
    if digest is not None and hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(f"{path}: cannot be read: not the weights that config.json names, or damaged (sha256 differs)")
    for name, value in weights.items():
        if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
            raise ValueError(f"{path}: {name} holds values that are not finite floating-point numbers")
    return weights


def _check_thresholds(thresholds: dict[str, Any], path: Path) -> None:
    for name, values in thresholds.items():
        kind = READOUTS.get(name.partition("@")[0])
        if kind is None or not isinstance(values, dict):
            raise ValueError(f"{path}: thresholds of {name!r}, expected those of {', '.join(READOUTS)}")
        if unknown := values.keys() - kind().get_params().keys():
            raise ValueError(f"{path}: thresholds of {name} have unknown parameters {sorted(unknown)}")
        for key, value in values.items():
            usual = kind().get_params()[key]
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not number and type(value) is not type(usual):
                raise ValueError(f"{path}: thresholds of {name}: {key} is {value!r}, expected a number")
            if isinstance(value, float) and not number:
                raise ValueError(f"{path}: thresholds of {name}: {key} is {value!r}, expected a finite number")


def _check_seen(seen: Any, path: Path) -> None:
    """What the training sample was like, see `cmlflow.checks.summary`: positive numbers, ranges of what hits have."""
    if not isinstance(seen, dict):
        raise ValueError(f"{path}: trained_on.seen is {seen!r}, expected an object")
    numbers = {name: [seen[name]] for name in ("events", "hits_per_particle") if name in seen}
    if "ranges" in seen:
        if not isinstance(seen["ranges"], dict) or not {*"xyz", "energy", "layer"} <= seen["ranges"].keys():
            raise ValueError(f"{path}: trained_on.seen.ranges is {seen['ranges']!r}, expected those of x ... layer")
        numbers |= seen["ranges"]
    for name, row in numbers.items():
        if not isinstance(row, list) or not all(type(v) in (int, float) and math.isfinite(v) for v in row):
            raise ValueError(f"{path}: trained_on.seen: {name} is {row!r}, expected finite numbers")
    if any(not numbers[name][0] > 0 for name in ("events", "hits_per_particle") if name in numbers):
        raise ValueError(f"{path}: trained_on.seen has no events or hits, expected more than 0")
    lengths = {len(row) for name, row in numbers.items() if name in seen.get("ranges", {})}
    if len(lengths) > 1:
        raise ValueError(f"{path}: trained_on.seen.ranges has rows of lengths {sorted(lengths)}, expected one length")


LARGEST = {"k": 4096, "dim": 65536}
"""Sizes above these are damage: they would ask for more memory than there is."""


def _check_ranges(parameters: dict[str, Any], trained_on: dict[str, Any], path: Path) -> None:
    """What a file of either format may say; sizes that no model has are refused before they ask for memory."""
    inner = parameters.get("network")
    for name, most in LARGEST.items():
        for group in (parameters, inner if isinstance(inner, dict) else {}):
            value = group.get(name)
            if value is not None and (type(value) is not int or not 1 <= value <= most):
                raise ValueError(f"{path}: {name} is {value!r}, expected a whole number in 1..{most}")
    if not isinstance(parameters.get("head", ""), str):
        raise ValueError(f"{path}: head is {parameters['head']!r}, expected one of {', '.join(METHODS)}")
    for name, least in (("reassign", 0), ("min_share", 0)):
        value = parameters.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value < math.inf:
            raise ValueError(f"{path}: {name} is {value!r}, expected a number of {least} or more")
    if str(parameters.get("device", "cpu")).partition(":")[0] not in ("cpu", "cuda", "mps"):
        raise ValueError(f"{path}: device is {parameters['device']!r}, expected cpu, cuda or mps")
    _check_seen(trained_on.get("seen", {}), path)
    for name in ("detector", "sample"):
        if not isinstance(trained_on.get(name), str | None):
            raise ValueError(f"{path}: trained_on.{name} is {trained_on[name]!r}, expected a name")
