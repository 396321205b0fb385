"""Super-resolution: the neutral energy of fine cells from an event in coarse ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from cmlflow.association.cell_shares import require_tracks
from cmlflow.baselines.learned.fine import FineCells, children_of, true_fractions
from cmlflow.baselines.learned.fine_task import LOSSES, FineSample, FineTask, collate_fine
from cmlflow.baselines.learned.folder import read_regressor, round_weights, write_regressor
from cmlflow.baselines.learned.neutral import event_cloud
from cmlflow.detectors import slab_detector
from cmlflow.event import Event, FloatArray, as_events
from cmlflow.nets.device import usable_device
from cmlflow.nets.superresolution import BroadcastGraph, UpscalingUNet
from cmlflow.sampling.batches import groups
from cmlflow.training import History, TrainingConfig, train

NETWORKS = ("graph", "graph-unet", "conv-unet")
POINTS_PER_PASS = 4_000
USUAL = TrainingConfig(
    max_epochs=6,
    batch_size=32,
    learning_rate=2e-3,
    schedule="cosine",
    warmup_steps=100,
    gradient_clip=1.0,
    augment=True,
)


@dataclass(frozen=True)
class SuperConfig:
    """What a `SuperResolver` is.

    Parameters
    ----------
    network : {"graph", "graph-unet", "conv-unet"}
    loss : {"fraction", "energy"}
    coarse, fine : str
        Detectors.
    width : int, default=8
        Of the UNets.

    Raises
    ------
    ValueError
        Unknown names; coarse cells that are no whole number of fine ones.
    """

    network: str = "graph"
    loss: str = "fraction"
    coarse: str = "slab-lg-sum"
    fine: str = "slab-hg"
    width: int = 8

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(f"network is {self.network!r}, expected one of {', '.join(NETWORKS)}")
        if self.loss not in LOSSES:
            raise ValueError(f"loss is {self.loss!r}, expected one of {', '.join(LOSSES)}")

    def build(self) -> nn.Module:
        """The torch module."""
        coarse, fine = slab_detector(self.coarse), slab_detector(self.fine)
        if self.network == "graph":
            return BroadcastGraph()
        cells = coarse.n_cells.tolist(), fine.n_cells.tolist()
        return UpscalingUNet(*cells, self.network == "graph-unet", coarse.width, self.width)


class SuperResolver:
    """Neutral energy in fine cells, from events in coarse ones.

    Parameters
    ----------
    config : SuperConfig, optional
    training : TrainingConfig, optional
    device : str, default="cpu"
    verbose : bool, default=False

    References
    ----------
    F. A. Di Bello et al., Towards a Computer Vision Particle Flow, arXiv:2003.08863, section on super-resolution.
    """

    name = "superresolution"

    def __init__(
        self,
        config: SuperConfig | None = None,
        training: TrainingConfig = USUAL,
        device: str = "cpu",
        verbose: bool = False,
    ) -> None:
        self.config, self.training = config or SuperConfig(), training
        self.device, self.verbose = device, verbose
        self.history_: History | None = None
        self.trained_on_: dict[str, Any] = {"sample": None, "detector": self.config.coarse}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            self.network = self.config.build()

    def fit(
        self,
        pairs: Iterable[tuple[Event, Event]],
        validation: Iterable[tuple[Event, Event]] | None = None,
        *,
        folder: str | Path | None = None,
        tensorboard: bool = False,
    ) -> Self:
        """Train on pairs of coarse and fine events, see `cmlflow.simulation.pairs.EventPairs`.

        Raises
        ------
        ValueError
            Events of other detectors, or no event with a hit.
        """
        samples = self._samples(pairs)
        if not samples:
            raise ValueError("none of the training events has a hit")
        held_out = None if validation is None else self._samples(validation)
        self.history_ = train(
            self.network,
            FineTask(self.config.loss),
            samples,
            held_out,
            self.training,
            folder=folder,
            device=self.device,
            progress=self.verbose,
            tensorboard=tensorboard,
        )
        self.network.cpu()
        round_weights(self.network)
        self.trained_on_ = {"sample": getattr(pairs, "name", None), "detector": self.config.coarse}
        return self

    def predict(self, events: Sequence[Event] | Iterable[Event]) -> list[FineCells]:
        """Neutral energy in the fine cells of every event.

        Raises
        ------
        ValueError
            Tracks that are not known (None), or another detector than that of the model.
        """
        chosen = list(as_events(events))
        require_tracks(chosen)
        device = usable_device(self.device)
        self.network.to(device).eval()
        out: list[FineCells] = []
        for some in groups(chosen, lambda e: e.n_hits, POINTS_PER_PASS):
            samples = [self._sample(e) for e in some]
            full = [s for s in samples if len(s.parent)]
            found = np.zeros(0, np.float32)
            if full:
                batch = collate_fine(full).to(device)
                with torch.inference_mode():
                    of = (batch.points.x, batch.points.ptr, batch.parent, batch.offset)
                    found = self.network(*of).float().cpu().numpy()
            end = 0
            for event, sample in zip(some, samples, strict=True):
                start, end = end, end + len(sample.parent)
                children = children_of(event, slab_detector(self.config.fine))
                energy = (found[start:end] * event.energy[sample.parent]).astype(np.float32)
                out.append(FineCells(children.position, energy, children.parent))
        return out

    def save(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``weights.safetensors`` into a folder."""
        config: dict[str, Any] = {"network": self.name, "parameters": asdict(self.config)}
        config |= {"training": asdict(self.training), "trained_on": self.trained_on_}
        write_regressor(folder, config, self.network.state_dict())

    @classmethod
    def load(cls, name: str | Path, **changes: Any) -> Self:
        """A packaged model by its name, or a saved one by its folder; ``device`` may be changed.

        Raises
        ------
        FileNotFoundError
            No such folder or packaged model.
        ValueError
            Another kind of model, or files that do not fit together.
        """
        config, state = read_regressor(name)
        if config["network"] != cls.name:
            raise ValueError(f"{name}: is a {config['network']}, not a {cls.name}; load it with cmlflow.load")
        changes.pop("verbose", None)
        device = str(changes.pop("device", "cpu"))
        try:
            model = cls(SuperConfig(**config["parameters"] | changes), TrainingConfig(**config["training"]), device)
            model.network.load_state_dict(state)
        except (TypeError, KeyError, RuntimeError) as err:
            raise ValueError(f"{name}: configuration and weights do not fit together ({err})") from err
        model.trained_on_ = config["trained_on"]
        return model

    def _samples(self, pairs: Iterable[tuple[Event, Event]]) -> list[FineSample]:
        return [self._sample(a, b) for a, b in pairs if a.n_hits]

    def _sample(self, event: Event, fine: Event | None = None) -> FineSample:
        for of, wanted in ((event, self.config.coarse), (fine, self.config.fine)):
            if of is not None and of.detector != wanted:
                raise ValueError(f"{of.title}: is of detector {of.detector!r}, expected {wanted!r}")
        children = children_of(event, slab_detector(self.config.fine))
        coarse = slab_detector(self.config.coarse)
        side = coarse.width / coarse.n_cells[event.layer - 1]
        away = children.position[:, :2] - event.position[children.parent, :2]
        offset = (away / side[children.parent, None]).astype(np.float32)
        fraction = np.zeros(len(children), np.float32) if fine is None else true_fractions(event, fine, children)
        return FineSample(event_cloud(event, truth=False).x, children.parent, offset, fraction, event.title)


def even_split(event: Event, fraction: FloatArray, fine: str = "slab-hg") -> FineCells:
    """The baseline: the neutral part (n_hits,) of every coarse cell, divided evenly over its fine cells."""
    children = children_of(event, slab_detector(fine))
    number = np.bincount(children.parent, minlength=event.n_hits)
    energy = (fraction * event.energy)[children.parent] / number[children.parent]
    return FineCells(children.position, energy.astype(np.float32), children.parent)
