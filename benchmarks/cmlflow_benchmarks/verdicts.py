"""From differences with intervals to verdicts on statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from cmlflow.metrics import Interval

HOLDS, FAILS, OPEN, NOT_RUN = "holds", "does not hold", "not decided", "not run"
TOO_FEW = "too few"
"""Run, but with too little to tell: no width where there are hardly any pure clusters."""


@dataclass(frozen=True)
class Estimate:
    """A figure: mean over seeds, with its bootstrap interval over events, and the value of each seed.

    Attributes
    ----------
    value : Interval
        The same events are resampled for all seeds; the interval says nothing about other trainings.
    seeds : dict of int to float
    """

    value: Interval
    seeds: Mapping[int, float]

    @property
    def spread(self) -> float:
        """Standard deviation over seeds; nan for one."""
        return float(np.std(list(self.seeds.values()), ddof=1)) if len(self.seeds) > 1 else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        value, low, high = self.value.to_list()
        seeds = {str(s): None if isnan(v) else round(v, 5) for s, v in self.seeds.items()}
        rounded = [None if x is None else round(x, 5) for x in (value, low, high)]
        return dict(zip(("value", "low", "high"), rounded, strict=True)) | {"seeds": seeds}


@dataclass(frozen=True)
class Test:
    """One thing that a statement says.

    Attributes
    ----------
    what : str
    estimate : Estimate or None
        Above zero where the statement is right; None where it has not been run.
    shown : Estimate or None
        What to print, where it is not `estimate` itself.
    """

    __test__ = False  # no test for pytest

    what: str
    estimate: Estimate | None
    shown: Estimate | None = None

    @property
    def outcome(self) -> str:
        """One of the five verdicts.

        It holds where the interval over events lies above zero and every seed is above zero, does not hold where the
        interval lies below zero and every seed is below, and is open in between.
        """
        if self.estimate is None:
            return NOT_RUN
        if isnan(self.estimate.value):
            return TOO_FEW
        _, low, high = self.estimate.value
        values = self.estimate.seeds.values()
        if low > 0 and all(v > 0 for v in values):
            return HOLDS
        if high < 0 and all(v < 0 for v in values):
            return FAILS
        return OPEN

    def __str__(self) -> str:
        shown = self.shown or self.estimate
        return f"{self.what}: {'not run' if shown is None else _signed(shown)}"


def verdict(tests: Sequence[Test]) -> str:
    """Of a statement that says all of this.

    It does not hold where one test fails, holds where all that have a value hold, and is open otherwise.
    """
    outcomes = [t.outcome for t in tests if t.outcome not in (NOT_RUN, TOO_FEW)]
    if not outcomes:
        return TOO_FEW if any(t.outcome == TOO_FEW for t in tests) else NOT_RUN
    if FAILS in outcomes:
        return FAILS
    return HOLDS if all(o == HOLDS for o in outcomes) else OPEN


def _signed(estimate: Estimate) -> str:
    value, low, high = estimate.value
    if isnan(value):
        return "-"
    return f"{value:+.3f}" if isnan(low) else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
