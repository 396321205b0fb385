"""What every network of cells offers, and what all of them share: fit, save, load, calibration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import nn

from cmlflow.association.cell_shares import CellShares, require_tracks
from cmlflow.association.origin import fit_origin
from cmlflow.baselines.learned.clouds import Cloud, CloudTask
from cmlflow.baselines.learned.folder import read_regressor, round_weights, write_regressor
from cmlflow.baselines.learned.losses import CellLoss
from cmlflow.detectors import DETECTORS, Slab
from cmlflow.event import Event, as_events
from cmlflow.event.deposits import origins
from cmlflow.training import History, TrainingConfig, train

EVENTS_PER_PASS = 64


class CellRegressor(Protocol):
    """From events to the share of every track, and of neutral particles, in every cell."""

    def fit(self, events: Sequence[Event], validation: Sequence[Event] | None = None) -> Self:
        """Train on events with truth."""
        ...

    def predict(self, events: Sequence[Event] | Iterable[Event]) -> list[CellShares]:
        """Shares of the cells of every event; the same whatever the other events are."""
        ...

    def save(self, folder: str | Path) -> None:
        """Write the model into a folder."""
        ...

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """A packaged model by its name, or a saved one by its folder."""
        ...


class CellNetwork(ABC):
    """A network that says of every cell whose it is. Abstract: see `PointNetRegressor` and `NeutralRegressor`.

    Attributes
    ----------
    network : torch module
        ``network(x, ptr) -> {"scores": (N, O)}``, on the points of `Cloud`.
    loss : CellLoss
    calibration : tuple of float
        Of `cmlflow.association.origin.calibrated`; empty before `calibrate`.
    calibrations : dict of str to tuple of float
        The same by mode, where a network has several.
    history_ : History or None
    trained_on_ : dict
        ``sample`` and ``detector``.
    """

    name: ClassVar[str]
    network: nn.Module
    loss: CellLoss

    def __init__(self, config: Any, training: TrainingConfig, device: str = "cpu", verbose: bool = False) -> None:
        self.config, self.training, self.device, self.verbose = config, training, device, verbose
        self.calibration: tuple[float, ...] = ()
        self.calibrations: dict[str, tuple[float, ...]] = {}
        self.history_: History | None = None
        self.trained_on_: dict[str, Any] = {"sample": None, "detector": None}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            self.build()

    @abstractmethod
    def build(self) -> None:
        """Set `network` and `loss` from `config`."""

    @abstractmethod
    def clouds(self, event: Event) -> list[Cloud]:
        """The samples of one event, with what is known of the truth."""

    def prepare(self, events: Sequence[Event]) -> None:  # noqa: B027  most have nothing to prepare
        """Take scales from the training sample."""

    def fit(
        self,
        events: Sequence[Event] | Iterable[Event],
        validation: Sequence[Event] | Iterable[Event] | None = None,
        *,
        folder: str | Path | None = None,
        tensorboard: bool = False,
    ) -> Self:
        """Train on events with tracks and truth.

        Parameters
        ----------
        events, validation : sequence of Event
            The samples of all of them are held in memory.
        folder : path, optional
            For checkpoint and log; an interrupted run continues from there.
        tensorboard : bool, default=False

        Raises
        ------
        ValueError
            Tracks that are not known (None), or no cell with a known truth.
        """
        sample = list(as_events(events))  # simulated ones are made once
        require_tracks(sample)
        self.prepare(sample)
        clouds = self._labelled(sample)
        if not clouds:
            raise ValueError("none of the training events has a cell with a known truth and a track")
        detectors = {e.detector for e in sample}
        symmetric = all(isinstance(DETECTORS.get(d or ""), Slab) for d in detectors)
        training = self.training if symmetric else replace(self.training, augment=False)
        held_out = None if validation is None else self._labelled(as_events(validation))
        self.history_ = train(
            self.network,
            CloudTask(self.loss),
            clouds,
            held_out,
            training,
            folder=folder,
            device=self.device,
            progress=self.verbose,
            tensorboard=tensorboard,
        )
        self.network.cpu()
        round_weights(self.network)
        self.calibration, self.calibrations = (), {}
        name = getattr(getattr(events, "sample", None), "name", None)
        self.trained_on_ = {"sample": name, "detector": detectors.pop() if len(detectors) == 1 else None}
        return self

    def calibrate(self, events: Sequence[Event] | Iterable[Event]) -> Self:
        """Make summed charged and neutral energies unbiased on events that were not trained on.

        Raises
        ------
        ValueError
            Tracks that are not known (None).
        """
        sample = list(as_events(events))
        require_tracks(sample)
        self.calibration = ()
        self.calibration = self.fitted_calibration(sample, self.predict(sample))
        return self

    def fitted_calibration(self, events: Sequence[Event], found: Sequence[CellShares]) -> tuple[float, ...]:
        """The numbers that make the sums of shares, which are not calibrated, unbiased."""
        parts, true = [], []
        unassigned = self.loss.output == "parts"
        for event, shares in zip(events, found, strict=True):
            if not event.n_hits:
                continue
            charged, neutral = shares.charged.sum(axis=0), shares.neutral
            rest = (1 - charged - neutral).clip(0, 1)
            parts.append(torch.tensor([charged.tolist(), neutral.tolist(), rest.tolist()]).T.numpy())
            of = origins(event)
            if not unassigned:
                of = of.copy()
                of[:, 0] += of[:, 2]
                of[:, 2] = 0
            true.append(of)
        return fit_origin(parts, true, [e.energy for e in events if e.n_hits])

    def predict(self, events: Sequence[Event] | Iterable[Event]) -> list[CellShares]:
        """Shares of the cells of every event.

        Raises
        ------
        ValueError
            Tracks that are not known (None).
        """
        return self.cell_shares(events)

    @abstractmethod
    def cell_shares(self, events: Sequence[Event] | Iterable[Event]) -> list[CellShares]:
        """The same as `predict`."""

    def save(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``weights.safetensors`` into a folder."""
        config: dict[str, Any] = {"network": self.name, "parameters": self.parameters()}
        config |= {
            "training": asdict(self.training),
            "calibration": list(self.calibration),
            "calibrations": {mode: list(numbers) for mode, numbers in self.calibrations.items()},
            "trained_on": self.trained_on_,
        }
        write_regressor(folder, config, self.network.state_dict())

    def parameters(self) -> dict[str, Any]:
        """The configuration, as JSON has it."""
        return asdict(self.config)

    @classmethod
    def load(cls, name: str | Path, **changes: Any) -> Self:
        """A packaged model by its name, or a saved one by its folder.

        Parameters
        ----------
        name : str or path
        **changes
            Parameters in place of the saved ones that do not change the network, such as ``mode``; ``device``.

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
            model = cls._from_saved(config["parameters"] | changes, TrainingConfig(**config["training"]), device)
            model.network.load_state_dict(state)
        except (TypeError, KeyError, RuntimeError) as err:
            raise ValueError(f"{name}: configuration and weights do not fit together ({err})") from err
        model.calibration = tuple(float(v) for v in config["calibration"])
        model.calibrations = {mode: tuple(numbers) for mode, numbers in config.get("calibrations", {}).items()}
        model.trained_on_ = config["trained_on"]
        return model

    @classmethod
    @abstractmethod
    def _from_saved(cls, parameters: dict[str, Any], training: TrainingConfig, device: str) -> Self: ...

    def _labelled(self, events: Sequence[Event]) -> list[Cloud]:
        clouds = (cloud for event in events for cloud in self.clouds(event))
        return [c for c in clouds if (c.energy * c.parts.sum(axis=1)).sum() > 0]
