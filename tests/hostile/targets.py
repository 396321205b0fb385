"""What is damaged: files of every format, a model folder, a checkpoint, the arguments of `Event`."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import cmlflow
from cmlflow import Event


@dataclass(frozen=True)
class Target:
    """A file to damage, and how it is read.

    Attributes
    ----------
    file : path
        Its undamaged bytes are there.
    read : callable
        From a path to a value of numbers that `pickle` tells apart; the path takes the place of `file`.
    sealed : bool
        Whether the file has a checksum of cmlflow, so that other numbers are a fault.
    """

    file: Path
    read: Callable[[Path], Any]
    sealed: bool


def small_events(n: int = 4, hits: int = 30) -> list[Event]:
    """Events with everything that a file can hold."""
    out = []
    for i in range(n):
        rng = np.random.default_rng(i)
        hit = np.arange(hits)
        out.append(
            Event(
                rng.normal([0, 50, 330], 10, (hits, 3)),
                rng.exponential(2, hits) + 0.5,
                rng.integers(1, 20, hits),
                deposits=(
                    np.r_[hit, hit[::2]],
                    np.r_[hit % 3, hit[::2] * 0 + 2],
                    np.r_[np.ones(hits), hit[::2] * 0 + 0.3],
                ),
                particles=([11, 211, 22], [10.0, 20.0, 5.0], np.eye(3)),
                tracks=([5.0, 6.0], [[0, 0.6, 0.8]] * 2, [[0, 50, 320]] * 2, [0, 1]),
                features={"time": rng.normal(0, 1, hits)},
                detector="hgcal",
                number=i,
            )
        )
    return out


def _events(path: Path) -> Any:
    return [_values(event) for event in cmlflow.read(path)]


def _values(event: Event) -> Any:
    return pickle.dumps(event._arguments())


def _labels(path: Path) -> Any:
    return [a.tobytes() for a in cmlflow.io.read_labels(path)]


def _focus(path: Path) -> Any:
    from cmlflow.sampling.focus_file import FocusFile

    return [pickle.dumps(vars(sample)) for sample in FocusFile(path)]


def _checkpoint(path: Path) -> Any:
    from cmlflow.training import load_checkpoint

    return pickle.dumps({k: v.numpy() if hasattr(v, "numpy") else v for k, v in load_checkpoint(path).items()})


def _showers(path: Path) -> Any:
    from cmlflow.simulation import ShowerLibrary

    return pickle.dumps(vars(ShowerLibrary.load(path)))


def _model(path: Path) -> Any:
    from cmlflow import MetricClusterer

    found = MetricClusterer.load(path.parent)
    return pickle.dumps((found.get_params(), found.transform(small_events(1))[0]))


def make_targets(folder: Path) -> dict[str, Target]:
    """One of each kind, written into a folder."""
    import torch

    from cmlflow.sampling import focus_samples
    from cmlflow.sampling.focus_file import write_focus
    from cmlflow.simulation import ShowerLibrary
    from cmlflow.training import save_checkpoint

    events = small_events()
    labels = [np.arange(e.n_hits) % 3 - 1 for e in events]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cmlflow.write(events, folder / "a.parquet", labels=labels)
        cmlflow.write(events, folder / "a.root", labels=labels)
        cmlflow.write(events, folder / "m.root", format="mltree", beam="y")
    write_focus([s for e in events for s in focus_samples(e)], folder / "focus.parquet")
    save_checkpoint({"network": torch.arange(300.0), "step": 3}, folder / "checkpoint.pt")
    library = ShowerLibrary.packaged("hgcal-em")
    library.take(range(3)).save(folder / "showers.npz")
    cmlflow.MetricClusterer.load("compact-em-supcon").save(folder / "model")
    return {
        "parquet": Target(folder / "a.parquet", _events, True),
        "labels": Target(folder / "a.parquet", _labels, True),
        "hgcaltb": Target(folder / "a.root", _events, True),
        "hgcaltb labels": Target(folder / "a.root", _labels, False),
        "mltree": Target(folder / "m.root", _events, False),
        "focus": Target(folder / "focus.parquet", _focus, True),
        "checkpoint": Target(folder / "checkpoint.pt", _checkpoint, True),
        "showers": Target(folder / "showers.npz", _showers, False),
        "weights": Target(folder / "model" / "weights.safetensors", _model, True),
        "config": Target(folder / "model" / "config.json", _model, False),
    }
