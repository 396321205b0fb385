"""Where models are on disk: packaged ones and folders of one's own. Torch is not needed here."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

CELLS = "cells"
"""The kind that ``config.json`` names in networks of cells; clusterers name none."""
PACKAGED = Path(__file__).parent / "assets" / "models"


def packaged_models(every: bool = False) -> list[str]:
    """Names of the clusterers that come with the package, with or without particle flow; or of models of every kind."""
    if not PACKAGED.exists():
        return []
    return sorted(p.name for p in PACKAGED.iterdir() if (p / "config.json").exists() and (every or not is_cells(p)))


def is_cells(folder: Path) -> bool:
    """Whether a folder with a ``config.json`` holds a network of cells, see `cmlflow.baselines.learned`."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except ValueError:
        return False
    return isinstance(config, dict) and config.get("kind") == CELLS


def find_model(name: str | Path) -> Path:
    """Folder of a saved model, or of a packaged one.

    Raises
    ------
    FileNotFoundError
        Neither; lists the packaged ones.
    """
    for folder in (Path(name), PACKAGED / str(name)):
        if (folder / "config.json").is_file():
            return folder
    names = ", ".join(packaged_models(every=True)) or "none"
    raise FileNotFoundError(f"{name}: neither a folder with a config.json nor a packaged model; packaged are: {names}")


def model_digest(name: str | Path) -> str:
    """The first 16 digits of the sha256 of all that decides what a model predicts: parameters, thresholds, weights."""
    folder = find_model(name)
    digest = hashlib.sha256()
    for file in ("config.json", "association.json", "weights.safetensors"):
        if (folder / file).is_file():
            digest.update((folder / file).read_bytes())
    return digest.hexdigest()[:16]


def replace_files(writers: dict[Path, Callable[[Path], Any]]) -> None:
    """Let each function fill a temporary file beside its path, then rename them all; nothing half-written is left.

    The files are on disk before they are renamed.

    Raises
    ------
    OSError
        One of them can't be written; all files that were there before are then kept.
    """
    temporary = {path: path.with_name(f"{path.name}.{os.getpid()}.tmp") for path in writers}
    path = next(iter(writers))
    try:
        for path, write in writers.items():
            write(temporary[path])
            with open(temporary[path], "rb+") as written:
                os.fsync(written.fileno())
        for path in writers:
            os.replace(temporary[path], path)
    except OSError as err:
        raise OSError(f"{path}: cannot be written ({err})") from err
    finally:
        for file in temporary.values():
            file.unlink(missing_ok=True)
