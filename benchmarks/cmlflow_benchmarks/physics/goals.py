"""What the recipe `best` has to reach beside the paper's own, both tuned on the same events, and whether it does."""

from __future__ import annotations

from typing import Any

import numpy as np

from cmlflow_benchmarks.physics.matrix import WIDE
from cmlflow_benchmarks.physics.results import Query, Results
from cmlflow_benchmarks.verdicts import NOT_RUN, TOO_FEW, Test, verdict

GAINS = (("em", 15, 0.15), ("had", 8, 0.12))
"""Kind, number of particles, and how much purer `best` has to be with efficiency no lower."""

LEVELS = (
    ("em", 15, "efficiency", 0.95),
    ("em", 15, "purity", 0.85),
    ("em", 8, "efficiency", 0.97),
    ("em", 8, "purity", 0.93),
)
"""Kind, number of particles, figure and the least value of `best`."""

RATIO = ("em", 15, 0.06)
"""Kind, number of particles, and the largest distance of clusters per particle from one."""

AT_FLOOR = 0.005
"""A width counts as that of perfect pattern recognition where it is not above it by more."""

NO_LOWER = 0.01
"""Efficiency counts as no lower where it is above that of SupCon minus this."""


def goals(results: Results) -> list[dict[str, Any]]:
    """Every goal with its verdict and figures.

    Returns
    -------
    list of dict
        ``goal``, ``verdict``, ``evidence`` (list of str) and ``met``: whether the values, without their intervals,
        are where they should be; None where they have not been run.
    """
    r = results
    out = []
    for kind, n, gain in GAINS:
        best, paper = _both(kind, n, "purity")
        e_best, e_paper = _both(kind, n, "efficiency")
        tests = [
            Test(f"purity at {n}, best − SupCon", r.combine(_above(gain), best, paper), r.difference(best, paper)),
            Test(f"efficiency at {n}, best − SupCon", r.combine(_above(-NO_LOWER), e_best, e_paper),
                 r.difference(e_best, e_paper)),
        ]  # fmt: skip
        out.append(_goal(f"{kind.upper()} at {n}: purity +{gain:g}, efficiency no lower", tests))
    for kind, n, figure, least in LEVELS:
        query = Query(kind, "best", kind, figure, (n,), f"native{WIDE}")
        test = Test(f"best {figure}", r.combine(lambda x, least=least: x - least, query), r.estimate(query))
        out.append(_goal(f"{kind.upper()} at {n}: {figure} ≥ {least:g}", [test]))
    kind, n, most = RATIO
    query = Query(kind, "best", kind, "ratio", (n,), f"native{WIDE}")
    test = Test("best ratio", r.combine(lambda x: most - abs(x - 1), query), r.estimate(query))
    out.append(_goal(f"{kind.upper()} at {n}: |ratio − 1| ≤ {most:g}", [test]))
    tests = [_halved(r, n) for n in r.numbers if n > 1]
    out.append(_goal("EM: distance of σ_eff to the floor at least halved, or within 0.005", tests))
    if {15, 30} <= set(r.numbers):
        for kind in ("em", "had"):
            queries = [q for n in (30, 15) for q in _both(kind, n, "purity")]
            kept = r.combine(lambda a, b, c, d: (a - b) - (c - d), *queries)
            out.append(_goal(f"{kind.upper()}: lead in purity at 30 no smaller than at 15", [Test("change", kept)]))
    return out


def _both(kind: str, n: int, figure: str) -> tuple[Query, Query]:
    """Of `best` and of SupCon, tuned on the same events."""
    best, paper = (Query(kind, system, kind, figure, (n,), f"native{WIDE}") for system in ("best", "supcon"))
    return best, paper


def _above(least: float) -> Any:
    return lambda a, b: a - b - least


def _halved(r: Results, n: int) -> Test:
    best, paper = _both("em", n, "resolution")
    floor = Query("em", "supcon", "em", "floor", (n,), f"native{WIDE}")
    gain = r.combine(lambda b, s, f: np.maximum((s - f) / 2, AT_FLOOR) - (b - f), best, paper, floor)
    return Test(f"what the distance of best may be minus what it is, at {n}", gain)


def _goal(text: str, tests: list[Test]) -> dict[str, Any]:
    values = [t.estimate.value for t in tests if t.estimate is not None and t.outcome not in (NOT_RUN, TOO_FEW)]
    met = all(v >= 0 for v in values) if values else None
    return {"goal": text, "verdict": verdict(tests), "met": met, "evidence": [str(t) for t in tests]}
