"""Networks of the neutral energy in every cell of an event: ConvNet, UNet, Graph, DeepSet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor, nn

from cmlflow.association.cell_shares import CellShares, cell_shares, require_tracks
from cmlflow.association.origin import calibrated
from cmlflow.baselines.learned.base import CellNetwork
from cmlflow.baselines.learned.clouds import Cloud, network_scores
from cmlflow.baselines.learned.losses import CellLoss
from cmlflow.baselines.pflow import nearest_track
from cmlflow.detectors import DETECTORS, Slab, slab_detector
from cmlflow.event import Event, as_events
from cmlflow.event.deposits import origins
from cmlflow.nets.cell_graph import JointGraph, PaperGraph
from cmlflow.nets.deepset import DeepSet
from cmlflow.nets.images import CHANNELS, LayerImages
from cmlflow.training import TrainingConfig

NETWORKS = ("graph", "deepset", "convnet", "unet")
IMAGES = ("convnet", "unet")
NEUTRAL = 1
"""Column of the true parts: charged, neutral, unassigned."""
USUAL = TrainingConfig(
    max_epochs=10,
    batch_size=32,
    learning_rate=2e-3,
    schedule="cosine",
    warmup_steps=100,
    gradient_clip=1.0,
    augment=True,
)
Array = NDArray[np.float64]


@dataclass(frozen=True)
class NeutralConfig:
    """What a `NeutralRegressor` is.

    Parameters
    ----------
    network : {"graph", "deepset", "convnet", "unet"}
    output : {"fraction", "parts"}
        The neutral fraction of a cell, or its charged, neutral and unassigned parts; image networks have the first.
    variant : {"joint", "paper"}
        Of the graph: energies among the coordinates, or apart from them as in arXiv:2003.08863.
    width : int, default=1
        Of the DeepSet, which above 1 also sees which points are tracks; of the UNet, 8 times this.
    channels : tuple of int
        Of the images' convolutions.
    middle : {"3x3", "1x1"}
        Of the image networks.
    balance : float, default=1
        Weight of the loss of summed energies, with ``"parts"``.
    detector : str, default="slab-hg"
        Of image networks.

    Raises
    ------
    ValueError
        Unknown names.
    """

    network: str = "graph"
    output: str = "parts"
    variant: str = "joint"
    width: int = 1
    channels: tuple[int, ...] = CHANNELS
    middle: str = "3x3"
    balance: float = 1.0
    detector: str = "slab-hg"

    def __post_init__(self) -> None:
        if self.network not in NETWORKS:
            raise ValueError(f"network is {self.network!r}, expected one of {', '.join(NETWORKS)}")
        if self.output not in ("fraction", "parts") or (self.network in IMAGES and self.output == "parts"):
            wanted = "'fraction'" if self.network in IMAGES else "'fraction' or 'parts'"
            raise ValueError(f"output is {self.output!r}, expected {wanted} with network={self.network!r}")
        if self.variant not in ("joint", "paper"):
            raise ValueError(f"variant is {self.variant!r}, expected 'joint' or 'paper'")
        if self.width < 1:
            raise ValueError(f"width is {self.width}, expected 1 or more")

    def build(self) -> nn.Module:
        """The torch module."""
        outputs = 3 if self.output == "parts" else 1
        if self.network == "graph":
            return PaperGraph(outputs) if self.variant == "paper" else JointGraph(outputs)
        if self.network == "deepset":
            return DeepSet(outputs, self.width, tracks=self.width > 1)
        slab = slab_detector(self.detector)
        unet = 8 * self.width if self.network == "unet" else 0
        return LayerImages(slab.n_cells.tolist(), slab.width, self.channels, self.middle, unet)


class NeutralRegressor(CellNetwork):
    """Neutral energy of every cell, from all cells and tracks of an event.

    What is not neutral is charged: the track's where there is one, else divided as by the nearest track.

    Parameters
    ----------
    config : NeutralConfig, optional
    training : TrainingConfig, optional
    device : str, default="cpu"
    verbose : bool, default=False

    References
    ----------
    F. A. Di Bello et al., Towards a Computer Vision Particle Flow, arXiv:2003.08863.
    """

    name: ClassVar[str] = "neutral"
    config: NeutralConfig

    def __init__(
        self,
        config: NeutralConfig | None = None,
        training: TrainingConfig = USUAL,
        device: str = "cpu",
        verbose: bool = False,
    ) -> None:
        super().__init__(config or NeutralConfig(), training, device, verbose)

    def build(self) -> None:
        """See `CellNetwork.build`."""
        self.loss = CellLoss(self.config.output, column=NEUTRAL, balance=self.config.balance)
        self.network = self.config.build()

    def prepare(self, events: Sequence[Event]) -> None:
        """Check the detector of image networks; take scales of positions where it is not a slab."""
        if self.config.network in IMAGES:
            for event in events:
                if event.detector != self.config.detector:
                    raise ValueError(
                        f"{event.title}: is of detector {event.detector!r}, expected {self.config.detector!r} "
                        f"for network={self.config.network!r}"
                    )
        elif not all(isinstance(DETECTORS.get(e.detector or ""), Slab) for e in events):
            position = np.concatenate([e.position for e in events[: min(200, len(events))]])
            spread = np.maximum(position.std(axis=0), 1e-3)
            numbers: Tensor = self.network.scaling.numbers  # type: ignore[union-attr, assignment]
            numbers.copy_(torch.tensor([position[:, 2].mean(), spread[:2].mean(), spread[2]]))

    def clouds(self, event: Event) -> list[Cloud]:
        """All points of the event, as one sample; none of an event without hits."""
        return [event_cloud(event)] if event.n_hits else []

    def cell_shares(self, events: Sequence[Event] | Iterable[Event]) -> list[CellShares]:
        """Shares of the cells of every event.

        Raises
        ------
        ValueError
            Tracks that are not known (None), or another detector than that of the images.
        """
        sample = list(as_events(events))
        require_tracks(sample)
        if self.config.network in IMAGES:
            self.prepare(sample)
        with_hits = (event_cloud(e, truth=False) for e in sample if e.n_hits)
        scores = network_scores(self.network, with_hits, self.device)
        return [self._shares(e, next(scores) if e.n_hits else np.zeros((0, 3), np.float32)) for e in sample]

    def _shares(self, event: Event, scores: Any) -> CellShares:
        s = scores[: event.n_hits].astype(np.float64)
        if self.config.output == "parts":
            parts: Array = softmax(s, axis=1) if len(s) else s
        else:
            neutral = 1 / (1 + np.exp(-np.clip(s[:, 0], -50, 50)))
            parts = np.stack([1 - neutral, neutral, np.zeros(len(s))], axis=1)
        if self.calibration and len(s):
            parts = calibrated(parts, self.calibration)
        assert event.tracks is not None
        charged = parts[None, :, 0] if len(event.tracks) == 1 else nearest_track(event) * parts[:, 0]
        return cell_shares(charged, parts[:, 1])

    @classmethod
    def _from_saved(cls, parameters: dict[str, Any], training: TrainingConfig, device: str) -> Self:
        channels = tuple(parameters.pop("channels"))
        return cls(NeutralConfig(**parameters, channels=channels), training, device)


def event_cloud(event: Event, truth: bool = True) -> Cloud:
    """The cells of an event, then its tracks at their entries, with the columns of `cmlflow.nets.cells.COLUMNS`."""
    assert event.tracks is not None
    n, t = event.n_hits, len(event.tracks)
    x = np.zeros((n + t, 7), np.float32)
    x[:n, :3], x[:n, 3], x[:n, 4] = event.position, event.energy, event.layer
    x[n:, :3], x[n:, 5], x[n:, 6] = event.tracks.entry, 1, event.tracks.momentum
    parts = np.zeros((n + t, 3), np.float32)
    if truth:
        parts[:n] = origins(event)
    energy = np.concatenate([event.energy, np.zeros(t, np.float32)])
    return Cloud(x, parts, energy, np.concatenate([np.arange(n), np.full(t, -1)]), event.title)
