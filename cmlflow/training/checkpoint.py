"""Checkpoints: written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


def save_checkpoint(state: dict[str, Any], path: str | Path) -> None:
    """Write `state` to a temporary file beside `path`, then rename it.

    Raises
    ------
    OSError
        The file cannot be written; an older checkpoint is then still there.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.tmp")  # the same name every time: a killed run leaves at most one
    try:
        with open(temporary, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as err:  # torch reports a full disk as RuntimeError
        raise OSError(f"{path}: the checkpoint could not be written ({err})") from err
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote.

    Raises
    ------
    ValueError
        The file is not a checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as err:
        raise ValueError(f"{path}: not a checkpoint of cmlflow ({err})") from err
    if not isinstance(state, dict):
        raise ValueError(f"{path}: not a checkpoint of cmlflow (holds a {type(state).__name__})")
    return state
