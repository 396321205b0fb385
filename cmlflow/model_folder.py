"""Saved models: a folder with ``config.json`` and ``weights.safetensors``; and the packaged ones."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from cmlflow import __version__
from cmlflow.refiners.profile import ShowerProfile
from cmlflow.refiners.stages import HitAssigner

FORMAT = 1
PROFILE = "profile."  # what the names of the weights of what reassigns hits begin with
PACKAGED = Path(__file__).parent / "assets" / "models"


def packaged_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(p.name for p in PACKAGED.iterdir() if (p / "config.json").exists()) if PACKAGED.exists() else []


def find_model(name: str | Path) -> Path:
    """Folder of a saved model, or of a packaged one."""
    for folder in (Path(name), PACKAGED / str(name)):
        if (folder / "config.json").is_file():
            return folder
    names = ", ".join(packaged_models()) or "none"
    raise FileNotFoundError(f"{name}: neither a folder with a config.json nor a packaged model; packaged are: {names}")


def write_model(
    folder: str | Path,
    parameters: dict[str, Any],
    thresholds: dict[str, dict[str, Any]],
    weights: dict[str, Tensor],
    trained_on: dict[str, Any],
) -> None:
    """Write both files under temporary names, then put them in place of the old ones.

    Raises
    ------
    OSError
        Where the folder cannot be written; files that were there before are kept.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {"format": FORMAT, "cmlflow": __version__, "parameters": parameters, "thresholds": thresholds}
    config["trained_on"] = trained_on
    text = json.dumps(config, indent=1) + "\n"
    tensors = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    replace_files(
        {
            folder / "weights.safetensors": lambda p: p.write_bytes(
                save(tensors)
            ),  # save_file would make it readable for its owner alone
            folder / "config.json": lambda p: p.write_text(text),
        }
    )


def read_model(
    folder: Path,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]], dict[str, Tensor], dict[str, Any]]:
    """Parameters, thresholds, weights of a folder, and what the model was trained on.

    Raises
    ------
    ValueError
        Where the files are of another format version, or not readable.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
        found = config["format"]
        parameters, thresholds = config.get("parameters"), config.get("thresholds")
        trained_on = dict(config.get("trained_on", {}))
        if found == FORMAT and not (isinstance(parameters, dict) and isinstance(thresholds, dict)):
            raise ValueError("parameters and thresholds must be objects")
    except (ValueError, KeyError, TypeError) as err:
        raise ValueError(f"{folder / 'config.json'}: not the configuration of a cmlflow model ({err!r})") from err
    if found != FORMAT:
        raise ValueError(
            f"{folder}: model format {found}, written by cmlflow {config.get('cmlflow')}; this is cmlflow "
            f"{__version__}, which reads format {FORMAT}"
        )
    try:
        weights = load_file(folder / "weights.safetensors")
    except (OSError, SafetensorError) as err:
        raise ValueError(f"{folder / 'weights.safetensors'}: cannot be read ({err})") from err
    return parameters, thresholds, weights, trained_on


def all_weights(network: nn.Module, profile: nn.Module | None) -> dict[str, Tensor]:
    """The weights of a network and of what reassigns hits, as one dict."""
    own = {} if profile is None else profile.state_dict()
    return network.state_dict() | {PROFILE + name: value for name, value in own.items()}


def set_weights(network: nn.Module, weights: dict[str, Tensor], folder: Path) -> ShowerProfile | HitAssigner | None:
    """Put weights from `all_weights` into a network, and into what reassigns hits, if there are weights of it.

    Raises
    ------
    ValueError
        They do not fit the network; names the folder they are from.
    """
    own = {name.removeprefix(PROFILE): value for name, value in weights.items() if name.startswith(PROFILE)}
    stages = {name.split(".")[1] for name in own if name.startswith("stages.")}
    with torch.random.fork_rng(devices=[]):  # the first weights do not matter
        profile = HitAssigner(len(stages)) if stages else ShowerProfile() if own else None
    try:
        network.load_state_dict({name: value for name, value in weights.items() if not name.startswith(PROFILE)})
        if profile is not None:
            profile.load_state_dict(own)
    except RuntimeError as err:
        raise ValueError(f"{folder}: the weights do not fit the configuration ({err})") from err
    return profile


def replace_files(writers: dict[Path, Callable[[Path], Any]]) -> None:
    """Let each function fill a temporary file beside its path, then rename them all; nothing half-written is left.

    Raises
    ------
    OSError
        Where one of them cannot be written; all files that were there before are then kept.
    """
    temporary = {path: path.with_name(f"{path.name}.{os.getpid()}.tmp") for path in writers}
    path = next(iter(writers))
    try:
        for path, write in writers.items():
            write(temporary[path])
        for path in writers:
            os.replace(temporary[path], path)
    except (OSError, SafetensorError) as err:
        raise OSError(f"{path}: cannot be written ({err})") from err
    finally:
        for file in temporary.values():
            file.unlink(missing_ok=True)
