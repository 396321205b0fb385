"""PointNet segmentation of the cells around each track: which are the track's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from cmlflow.association.cell_shares import CellShares, require_tracks
from cmlflow.baselines.learned.base import CellNetwork
from cmlflow.baselines.learned.clouds import Cloud, network_scores
from cmlflow.baselines.learned.inference import MODES, Inference, common, iterative, true_steps
from cmlflow.baselines.learned.losses import CellLoss
from cmlflow.detectors import DETECTORS, Slab
from cmlflow.event import Event, as_events
from cmlflow.event.deposits import origins
from cmlflow.metrics.association import track_shares
from cmlflow.nets.pointnet import PointNet
from cmlflow.sampling.focus import CELL, FOCUS, RADIUS, FocusSample, focus_samples
from cmlflow.training import TrainingConfig

FEATURES = 9
SLAB_RADIUS = 0.4
LEAST_ENERGY = 1e-3
SLAB_SCALES = (200.0, 15.0, 60.0, 10.0, 6.0)
"""Centre of z, scales of x and y, of z, of the distance to the track [cm], and of the layer."""
USUAL = TrainingConfig(
    max_epochs=14,
    batch_size=32,
    learning_rate=3e-3,
    schedule="cyclic",
    optimizer="adamw",
    weight_decay=1e-2,
    gradient_clip=1.0,
    augment=True,
)


@dataclass(frozen=True)
class PointNetConfig:
    """What a `PointNetRegressor` is.

    Parameters
    ----------
    output : {"parts", "binary", "share", "energy"}
        Parts of each cell that belong to the focus track, to other tracks, to neutral particles and to none; whether
        the track's share exceeds one half; that share; or the track's energy in the cell.
    kind, weight : str
        The loss, see `CellLoss`.
    gamma, alpha : float
        Of the focal loss.
    balance : float, default=1
    width : float, default=0.25
        Multiplies the sizes of the network; 1 is the paper's.
    head : str
    dropout : float, default=0.3
    radius : float, optional
        Cells up to this ΔR from the track are in its sample: 0.4 in the slabs, 0.2 elsewhere.
    mode : {"common", "iterative"}
        How the tracks of an event are brought together, see `cmlflow.baselines.learned.inference`.
    scales : tuple of 5 float
        Centre of z, scales of x and y, of z, of the distance to the track [cm], and of the layer.
    inference : Inference
    steps : bool, default=False
        Train on the event before each step of iterative inference with perfect answers, in place of whole events.
    """

    output: str = "parts"
    kind: str = ""
    weight: str = "energy"
    gamma: float = 2.0
    alpha: float = 1.0
    balance: float = 1.0
    width: float = 0.25
    head: str = "standard"
    dropout: float = 0.3
    radius: float | None = None
    mode: str = "common"
    scales: tuple[float, ...] = SLAB_SCALES
    inference: Inference = Inference()  # noqa: RUF009  frozen
    steps: bool = False

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"mode is {self.mode!r}, expected one of {', '.join(MODES)}")
        if self.radius is not None and not self.radius > 0:
            raise ValueError(f"radius is {self.radius}, expected a positive ΔR")


class PointNetRegressor(CellNetwork):
    """PointNet segmentation around one track at a time, brought together over the tracks of an event.

    Parameters
    ----------
    config : PointNetConfig, optional
    training : TrainingConfig, optional
    device : str, default="cpu"
    verbose : bool, default=False

    References
    ----------
    M. Jovanovic, "PointNet for Particle Flow Energy Reconstruction: Documentation" (2024); L. Clissa, ISGC 2026.
    """

    name: ClassVar[str] = "pointnet"
    config: PointNetConfig

    def __init__(
        self,
        config: PointNetConfig | None = None,
        training: TrainingConfig = USUAL,
        device: str = "cpu",
        verbose: bool = False,
    ) -> None:
        super().__init__(config or PointNetConfig(), training, device, verbose)

    def build(self) -> None:
        """See `CellNetwork.build`."""
        c = self.config
        self.loss = CellLoss(c.output, c.kind, c.weight, balance=c.balance, gamma=c.gamma, alpha=c.alpha)
        self.network = PointNet(FEATURES, 4 if c.output == "parts" else 1, c.width, c.head, c.dropout)

    def prepare(self, events: Sequence[Event]) -> None:
        """Scales of detectors other than the slabs, from their training sample."""
        if all(isinstance(DETECTORS.get(e.detector or ""), Slab) for e in events):
            return
        chosen = [events[int(i)] for i in np.unique(np.linspace(0, len(events) - 1, min(200, len(events))).astype(int))]
        scales = fit_scales([s for e in chosen for s in focus_samples(e, self._radius(e))])
        self.config = replace(self.config, scales=scales)

    def clouds(self, event: Event) -> list[Cloud]:
        """The points around each track."""
        if self.config.steps:
            steps = true_steps(event, self.config.inference)
            chosen = [(now, focus_samples(now, self._radius(now))[t]) for now, t in steps]
            return [c for now, sample in chosen for c in focus_clouds(now, [sample], self.config.scales)]
        samples = focus_samples(event, self._radius(event))
        return list(focus_clouds(event, samples, self.config.scales))

    def cell_shares(self, events: Sequence[Event] | Iterable[Event], mode: str | None = None) -> list[CellShares]:
        """Shares of the cells of every event.

        Parameters
        ----------
        events : sequence of Event
            With tracks.
        mode : {"common", "iterative"}, optional
            In place of the model's.

        Raises
        ------
        ValueError
            Tracks that are not known (None), or another mode.
        """
        sample, mode = list(as_events(events)), self.config.mode if mode is None else mode
        require_tracks(sample)
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}, expected one of {', '.join(MODES)}")
        if mode == "iterative":
            return iterative(sample, self.focus_parts, self.config.inference, self.calibration)
        settings = self.config.inference
        return [common(e, p, settings, self.calibration) for e, p in zip(sample, self.focus_parts(sample), strict=True)]

    def focus_parts(self, events: Sequence[Event], chosen: Sequence[int] | None = None) -> list[NDArray[np.float64]]:
        """What each track's sample says of its cells.

        Parameters
        ----------
        events : sequence of Event
        chosen : sequence of int, optional
            One track of each event; all of them by default.

        Returns
        -------
        list of ndarray of shape (n_tracks, 3, n_hits), float64
            Part of the focus track, of neutral particles, of none; nan for cells outside the sample, and in the last
            two rows where the network has one output.
        """
        samples = [focus_samples(e, self._radius(e)) for e in events]
        if chosen is not None:
            samples = [[s[t]] if len(s) else [] for s, t in zip(samples, chosen, strict=True)]
        clouds = [
            list(focus_clouds(e, s, self.config.scales, truth=False)) for e, s in zip(events, samples, strict=True)
        ]
        scores = network_scores(self.network, (c for some in clouds for c in some), self.device)
        out = []
        for event, some in zip(events, clouds, strict=True):
            parts = np.full((len(some), 3, event.n_hits), np.nan)
            for t, cloud in enumerate(some):
                share = self.loss.share(torch.from_numpy(next(scores).astype(np.float64))).numpy()
                cell = cloud.index >= 0
                if share.ndim == 1:
                    parts[t, 0, cloud.index[cell]] = share[cell]
                else:
                    parts[t][:, cloud.index[cell]] = share[cell][:, [0, 2, 3]].T
            out.append(parts)
        return out

    def _radius(self, event: Event) -> float:
        if self.config.radius is not None:
            return self.config.radius
        return SLAB_RADIUS if isinstance(DETECTORS.get(event.detector or ""), Slab) else RADIUS

    @classmethod
    def _from_saved(cls, parameters: dict[str, Any], training: TrainingConfig, device: str) -> Self:
        inference, scales = Inference(**parameters.pop("inference")), tuple(parameters.pop("scales"))
        return cls(PointNetConfig(**parameters, inference=inference, scales=scales), training, device)


def focus_clouds(
    event: Event, samples: Sequence[FocusSample], scales: Sequence[float] = SLAB_SCALES, truth: bool = True
) -> Iterator[Cloud]:
    """Focus samples as points of a network, nine features each.

    x and y from where the focus track enters, z, and the distance to the focus track, scaled; half the logarithm of the
    energy or momentum [GeV]; kind as three numbers (cell, focus track, other track); layer.

    Parameters
    ----------
    event : Event
    samples : sequence of FocusSample
        Of this event.
    scales : sequence of 5 float
        As in `PointNetConfig`.
    truth : bool, default=True
        Also the true parts of the focus track, other tracks, neutral particles and none.
    """
    assert event.tracks is not None
    centre, across, along, near, depth = scales
    if truth:
        of, own = origins(event).astype(np.float64), track_shares(event)
    for s in samples:
        x = np.zeros((len(s), FEATURES), np.float32)
        x[:, :2] = (s.position[:, :2] - event.tracks.entry[s.track, :2]) / across
        x[:, 2] = (s.position[:, 2] - centre) / along
        x[:, 3] = s.distance / near
        x[:, 4] = 0.5 * np.log(np.maximum(s.energy, LEAST_ENERGY))
        x[np.arange(len(s)), 5 + np.select([s.kind == CELL, s.kind == FOCUS], [0, 1], 2)] = 1
        x[:, 8] = s.layer / depth
        cell = s.kind == CELL
        parts = np.zeros((len(s), 4), np.float32)
        if truth and np.isfinite(own[s.track]).all() and event.tracks.particle[s.track] >= 0:
            hit = s.index[cell]
            focus = own[s.track][hit]
            other = np.maximum(of[hit, 0] - focus, 0.0)
            parts[cell] = np.stack([focus, other, of[hit, 1], of[hit, 2]], axis=1)
        energy = np.where(cell, s.energy, 0).astype(np.float32)
        index = np.where(cell, s.index, -1)
        yield Cloud(x, parts, energy, index, f"{event.title}, track {s.track}")


def fit_scales(samples: Sequence[FocusSample]) -> tuple[float, ...]:
    """Scales of a training sample, as in `PointNetConfig`."""
    if not samples:
        return SLAB_SCALES
    middle = [s.position - s.position[s.kind == FOCUS][:1] for s in samples]
    across, position = np.concatenate(middle), np.concatenate([s.position for s in samples])
    distance, layer = (np.concatenate([getattr(s, name) for s in samples]) for name in ("distance", "layer"))
    numbers = (position[:, 2].mean(), across[:, :2].std(), position[:, 2].std(), distance.std(), layer.max())
    centre, *widths = (float(v) for v in numbers)
    return (centre, *(max(w, 1e-3) for w in widths))
