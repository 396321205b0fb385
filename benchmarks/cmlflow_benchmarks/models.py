"""Which trained models a comparison takes in place of its own, and what makes a model the same one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cmlflow.model_paths import find_model, packaged_models


def given_models(entries: Iterable[str], names: Sequence[str], packaged: Mapping[str, str]) -> dict[str, str]:
    """The packaged model or folder that stands for each name.

    Parameters
    ----------
    entries : iterable of str
        ``NAME=MODEL`` with a packaged model or a folder; a packaged model alone, for its own name; ``packaged``, for
        all of `packaged` that are part of the package. Later entries replace earlier ones.
    names : sequence of str
        Names that a model can stand for.
    packaged : dict of str to str
        Name that each packaged model stands for.

    Raises
    ------
    ValueError
        The entry is none of these, or its name is unknown.
    FileNotFoundError
        There is no such model.
    """
    out: dict[str, str] = {}
    for entry in entries:
        name, separator, model = entry.partition("=")
        if entry == "packaged":
            out |= {packaged[m]: m for m in packaged_models(every=True) if m in packaged}
        elif separator and model:
            if name not in names:
                raise ValueError(f"models: unknown name {name!r} in {entry!r}, expected one of {', '.join(names)}")
            find_model(model)
            out[name] = model
        elif entry in packaged:
            find_model(entry)
            out[packaged[entry]] = entry
        else:
            raise ValueError(f"models: {entry!r} is neither NAME=MODEL, 'packaged', nor one of {', '.join(packaged)}")
    return out


def digest(folder: Path) -> str:
    """Of the weights: two models with the same digest are the same."""
    return hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()[:16]
