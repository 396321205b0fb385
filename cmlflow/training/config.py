"""Settings of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

SCHEDULES = ("step", "cosine", "cyclic", "ramp")
OPTIMIZERS = ("adam", "adamw", "sgd")
SELECTIONS = ("loss", "physics", "last")
CYCLES, CYCLE_PEAK, CYCLE_FLOOR = 3, 0.6, 0.02
RAMP_FALL, RAMP_LEAST = 0.7, 1e-5
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. The defaults are those of arXiv:2603.23356, section III.2.

    Parameters
    ----------
    max_epochs : int, default=100
    batch_size : int, default=16
        Events per optimiser step.
    learning_rate : float, default=3e-4
        The largest one.
    schedule : {"step", "cosine", "cyclic", "ramp"}, default="step"
        ``"step"`` multiplies the learning rate by `step_factor` every `step_epochs` epochs; ``"cosine"`` takes it to
        zero over `max_epochs`; ``"cyclic"`` rises linearly over 5 % of all steps, then falls in three equal cosine
        cycles to 2 % of their peaks, each peak 0.6 of the one before; ``"ramp"`` rises linearly over `ramp_epochs`
        epochs, holds for `hold_epochs`, then falls by 0.7 per epoch to 1e-5.
    step_epochs : int, default=25
    step_factor : float, default=0.5
    ramp_epochs : int, default=2
    hold_epochs : int, default=5
    optimizer : {"adam", "adamw", "sgd"}, default="adam"
    weight_decay : float, default=0
    momentum : float, default=0.9
        Of SGD, in Nesterov's form.
    warmup_steps : int, default=0
        Optimiser steps over which the learning rate rises linearly at the start.
    gradient_clip : float, optional
        Largest norm of the gradient; no limit by default.
    hits_per_batch : int, default=30000
        Hits in the network at a time. The events of a step that exceed it go through one after the other, their
        gradients being added: memory stays bounded and the result is the same.
    patience : int, optional
        Stop after this many epochs without a better checkpoint; never by default.
    precision : {"float32", "bfloat16", "float16"}, default="float32"
        What the network computes in; losses stay in float32.
    augment : bool, default=False
        Reflect each event by a random symmetry of the square cell grid.
    select : {"loss", "physics", "last"}, default="loss"
        Which epoch is kept: that of the smallest validation loss; of the smallest distance from perfect efficiency,
        purity and ratio on the validation sample (the `score` of `train`); or the last one.
    balance : float, default=0
        Weight of the loss of summed energies, `cmlflow.losses.origin.balance_loss`, in models with tracks.
    checkpoint_steps : int, default=100
        Optimiser steps between checkpoints; one more is written at the end of each epoch.
    seed : int, default=0
        Of event order, augmentation and dropout.
    """

    max_epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 3e-4
    schedule: str = "step"
    step_epochs: int = 25
    step_factor: float = 0.5
    ramp_epochs: int = 2
    hold_epochs: int = 5
    optimizer: str = "adam"
    weight_decay: float = 0.0
    momentum: float = 0.9
    warmup_steps: int = 0
    gradient_clip: float | None = None
    hits_per_batch: int = 30_000
    patience: int | None = None
    precision: str = "float32"
    augment: bool = False
    select: str = "loss"
    balance: float = 0.0
    checkpoint_steps: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size", "hits_per_batch", "step_epochs", "checkpoint_steps"):
            value: Any = getattr(self, name)
            if not _is_number(value, Integral) or value < 1:
                raise ValueError(f"{name} is {value!r}, expected 1 or more")
        for name in ("learning_rate", "step_factor", "gradient_clip"):
            value = getattr(self, name)
            if value is None and name == "gradient_clip":
                continue
            if not _is_number(value, Real) or not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}, expected a positive number")
        for name in (
            "patience",
            "balance",
            "warmup_steps",
            "ramp_epochs",
            "hold_epochs",
            "weight_decay",
            "momentum",
            "seed",
        ):
            value = getattr(self, name)
            if value is not None and not _is_number(value, Real):
                raise ValueError(f"{name} is {value!r}, expected a number")
        if not isinstance(self.augment, bool):
            raise ValueError(f"augment is {self.augment!r}, expected True or False")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience is {self.patience}, expected 1 or more epochs, or None")
        if not self.balance >= 0:
            raise ValueError(f"balance is {self.balance}, expected 0 or more")
        for name in ("warmup_steps", "ramp_epochs", "hold_epochs", "weight_decay"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 or more")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum is {self.momentum}, expected 0 or more and below 1")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer is {self.optimizer!r}, expected one of {OPTIMIZERS}")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule is {self.schedule!r}, expected one of {SCHEDULES}")
        if self.select not in SELECTIONS:
            raise ValueError(f"select is {self.select!r}, expected one of {SELECTIONS}")
        if self.select == "last" and self.patience is not None:
            raise ValueError(f"patience is {self.patience}, expected None with select='last', which never stops early")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is {self.precision!r}, expected one of {PRECISIONS}")

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of optimiser step `step`, counted from 0 over all epochs."""
        if self.schedule == "step":
            factor = self.step_factor ** (step // steps_per_epoch // self.step_epochs)
        elif self.schedule == "cosine":
            factor = 0.5 * (1 + math.cos(math.pi * step / (self.max_epochs * steps_per_epoch)))
        elif self.schedule == "cyclic":
            factor = _cyclic(step, self.max_epochs * steps_per_epoch)
        else:
            epoch = (step + 1) / steps_per_epoch
            rise = min(1.0, epoch / self.ramp_epochs) if self.ramp_epochs else 1.0
            since = step // steps_per_epoch - (self.ramp_epochs + self.hold_epochs) + 1
            factor = max(rise * RAMP_FALL ** max(since, 0), min(1.0, RAMP_LEAST / self.learning_rate))
        if step < self.warmup_steps:
            factor *= (step + 1) / self.warmup_steps
        return self.learning_rate * factor


def _cyclic(step: int, total: int) -> float:
    """Warm-up over 5 % of the steps, then three cosine cycles."""
    warm = max(1, round(0.05 * total))
    if step < warm:
        return (step + 1) / warm
    place = CYCLES * (step - warm) / max(total - warm, 1)
    cycle = min(int(place), CYCLES - 1)
    peak = CYCLE_PEAK**cycle
    return peak * (CYCLE_FLOOR + (1 - CYCLE_FLOOR) * 0.5 * (1 + math.cos(math.pi * (place - cycle))))


def _is_number(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
