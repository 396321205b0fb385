"""Networks of cells on disk: ``config.json`` and ``weights.safetensors``, beside those of the clusterers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from cmlflow import __version__
from cmlflow.model_paths import CELLS, find_model, is_cells, replace_files

FORMAT = 1


def as_stored(value: Tensor) -> Tensor:
    """A tensor as it is stored: weight matrices in half precision, all else in single."""
    value = value.detach().cpu()
    return (value.half() if value.is_floating_point() and value.ndim > 1 else value).contiguous()


def round_weights(network: nn.Module) -> None:
    """Round the weights of a network to what is stored of them, so that a saved model is the same model."""
    network.load_state_dict({name: as_stored(value).to(value.dtype) for name, value in network.state_dict().items()})


def write_regressor(folder: str | Path, config: dict[str, Any], state: dict[str, Tensor]) -> None:
    """Write both files; those that were there before are kept where that fails (OSError)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = save({name: as_stored(value) for name, value in state.items()})
    whole = {"format": FORMAT, "kind": CELLS, "cmlflow": __version__} | config
    text = json.dumps(whole | {"weights": hashlib.sha256(data).hexdigest()}, indent=1) + "\n"
    replace_files(
        {
            folder / "weights.safetensors": lambda p: p.write_bytes(data),
            folder / "config.json": lambda p: p.write_text(text),
        }
    )


def read_regressor(name: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights of a packaged model or a folder, checked.

    Raises
    ------
    FileNotFoundError
        No such folder or packaged model.
    ValueError
        Another kind of model, another format, or weights that are not those of the configuration.
    """
    folder = find_model(name)
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        kind = config.get("kind")
    except (ValueError, AttributeError) as err:
        raise ValueError(f"{folder / 'config.json'}: not the configuration of a cmlflow model ({err!r})") from err
    if kind != CELLS:
        raise ValueError(f"{name}: is not a network of cells; load it with cmlflow.load")
    if config.get("format") != FORMAT:
        raise ValueError(f"{folder}: format {config.get('format')} of networks of cells, expected {FORMAT}")
    path = folder / "weights.safetensors"
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != config.get("weights"):
        raise ValueError(f"{path}: not the weights of {folder / 'config.json'}; the files are of two models")
    try:
        state = load(data)
    except SafetensorError as err:
        raise ValueError(f"{path}: not readable ({err})") from err
    return config, {n: v.float() if v.dtype == torch.float16 else v for n, v in state.items()}


def is_cell_network(name: str | Path) -> bool:
    """Whether a packaged model or a folder is a network of cells; FileNotFoundError where there is none."""
    return is_cells(find_model(name))
