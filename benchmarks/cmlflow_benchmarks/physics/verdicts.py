"""From differences with intervals to verdicts on statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from cmlflow_benchmarks.physics.results import Estimate

HOLDS, FAILS, OPEN, NOT_RUN = "holds", "does not hold", "not decided", "not run"
TOO_FEW = "too few"
"""Run, but with too little to tell: no width where there are hardly any pure clusters."""


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
