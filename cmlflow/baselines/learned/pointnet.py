"""PointNet segmentation of the cells around each track: which are the track's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from cmlflow.association.cell_shares import CellShares, require_tracks
from cmlflow.baselines.learned.base import CellNetwork
from cmlflow.baselines.learned.clouds import Cloud, network_scores
from cmlflow.baselines.learned.focus import FEATURES, SLAB_SCALES, fit_scales, focus_clouds
from cmlflow.baselines.learned.inference import MODES, Inference, common, iterative, true_steps
from cmlflow.baselines.learned.losses import CellLoss
from cmlflow.detectors import DETECTORS, Slab
from cmlflow.event import Event, as_events
from cmlflow.metrics.association import association_counts, evaluate_association, track_shares
from cmlflow.nets.pointnet import PointNet
from cmlflow.sampling.focus import RADIUS, focus_samples
from cmlflow.training import TrainingConfig

SLAB_RADIUS = 0.4
SPREADS, NOISES, LEASTS = (0.03, 0.06, 0.1, 0.2), (0.0, 1.0, 2.0), (0.0, 0.05)
"""Settings of inference that `PointNetRegressor.tune` tries."""
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
        settings, numbers = self.config.inference, self.calibrations.get(mode, self.calibration)
        if mode == "iterative":
            return iterative(sample, self.focus_parts, settings, numbers)
        return [common(e, p, settings, numbers) for e, p in zip(sample, self.focus_parts(sample), strict=True)]

    def calibrate(self, events: Sequence[Event] | Iterable[Event]) -> Self:
        """Make summed charged and neutral energies unbiased in both modes; see `CellNetwork.calibrate`."""
        sample = list(as_events(events))
        self.calibration, self.calibrations = (), {}
        found = {mode: self.fitted_calibration(sample, self.cell_shares(sample, mode)) for mode in MODES}
        self.calibrations, self.calibration = found, found[self.config.mode]
        return self

    def tune(self, events: Sequence[Event] | Iterable[Event]) -> Self:
        """Choose the settings of inference with the largest energy-weighted F1 on events that were not trained on.

        Call it before `calibrate`: it forgets an earlier calibration. On events of one track there is nothing to
        choose, and the settings stay.

        Raises
        ------
        ValueError
            Tracks that are not known (None).
        """
        sample = list(as_events(events))
        require_tracks(sample)
        self.calibration, self.calibrations = (), {}
        settings = self.config.inference
        if any(len(e.tracks or ()) > 1 for e in sample):
            parts = self.focus_parts(sample)
            wide = [replace(settings, spread=spread) for spread in SPREADS]
            ways = [[common(e, p, s) for e, p in zip(sample, parts, strict=True)] for s in wide]
            settings = wide[_best(sample, ways)]
            some = sample[: len(sample) // 2 + 1]
            steps = [replace(settings, noise=noise, least=least) for noise in NOISES for least in LEASTS]
            settings = steps[_best(some, [iterative(some, self.focus_parts, s) for s in steps])]
        self.config = replace(self.config, inference=settings)
        return self

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


def _best(events: Sequence[Event], ways: Sequence[Sequence[CellShares]]) -> int:
    """The way with the largest energy-weighted F1, the first of equal ones."""
    scores = []
    for shares in ways:
        known = [(e.particle_id >= 0)[None] for e in events]
        counts = [
            association_counts(s.charged, track_shares(e), e.energy, mask)
            for e, s, mask in zip(events, shares, known, strict=True)
        ]
        scores.append(np.nan_to_num(float(evaluate_association(counts, bootstrap=0)["weighted_f1"])))
    return int(np.argmax(scores))
