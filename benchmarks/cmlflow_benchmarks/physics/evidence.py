"""What would have to be true of the results for each claim of arXiv:2603.23356: differences above zero.

Each public function takes the results, the kind trained on and the kind tested on, and returns tests.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from cmlflow_benchmarks.physics.matrix import training_range
from cmlflow_benchmarks.physics.results import Query, Results
from cmlflow_benchmarks.verdicts import Test

Tests = Callable[[Results, str, str], list[Test]]

SIMILAR = 0.05
"""Differences of efficiency and purity below this count as similar, stable, comparable (our choice)."""
MODEST = 0.10
"""Losses of efficiency and purity below this count as modest (our choice)."""
NEAR_ZERO = 0.2
"""Medians of the margin within this count as near zero (our choice)."""

READOUTS = (("native", "native readouts"), ("ward", "Ward"))


def _pair(kind: str, sample: str, figure: str, n: tuple[int, ...], **more: Any) -> tuple[Query, Query]:
    """The same figure of SupCon and OC."""
    return Query(kind, "supcon", sample, figure, n, **more), Query(kind, "oc", sample, figure, n, **more)


def _lead(
    r: Results, kind: str, sample: str, figure: str, n: tuple[int, ...], sign: int, what: str, **more: Any
) -> Test:
    """SupCon minus OC, with the sign that makes a lead of SupCon positive."""
    a, b = _pair(kind, sample, figure, n, **more)
    return Test(f"{what}, SupCon − OC", r.combine(lambda x, y: sign * (x - y), a, b), r.difference(a, b))


def _several(r: Results) -> tuple[int, ...]:
    return tuple(n for n in r.numbers if n > 1)


def neighbours(r: Results, kind: str, sample: str) -> list[Test]:
    """R@1, R@10, C@10 and AUC at each number of particles above one."""
    names = (
        ("recall_at_1", "R@1", 1),
        ("recall_at_10", "R@10", 1),
        ("contamination_at_10", "C@10", -1),
        ("auc", "AUC", 1),
    )
    return [_lead(r, kind, sample, f, (n,), sign, f"{t} at {n}") for f, t, sign in names for n in _several(r)]


def growing_neighbours(r: Results, kind: str, sample: str) -> list[Test]:
    """Lead in R@1 and C@10 at the largest number of particles minus that at the smallest."""
    out = []
    for figure, title, sign in (("recall_at_1", "R@1", 1), ("contamination_at_10", "C@10", -1)):
        out.append(_growth(r, kind, sample, figure, sign, title, "native"))
    return out


def _growth(r: Results, kind: str, sample: str, figure: str, sign: int, title: str, readout: str) -> Test:
    """The lead of SupCon at the largest number of particles minus that at the smallest above one."""
    few, many = _several(r)[0], _several(r)[-1]
    queries = [q for n in (many, few) for q in _pair(kind, sample, figure, (n,), readout=readout)]
    change = r.combine(lambda a, b, c, d: sign * ((a - b) - (c - d)), *queries)
    return Test(f"lead in {title} at {many} minus that at {few}", change)


def narrow(r: Results, kind: str, sample: str) -> list[Test]:
    """Interquartile ranges over events of d_inter, d_intra and margin."""
    return [
        _lead(r, kind, sample, f"spread_{name}", (n,), -1, f"spread of {name} over events at {n}")
        for name in ("d_inter", "d_intra", "margin")
        for n in _several(r)
    ]


def separable(r: Results, kind: str, sample: str) -> list[Test]:
    """Median margins."""
    return [_lead(r, kind, sample, "median_margin", (n,), 1, f"median margin at {n}") for n in _several(r)]


def positive_margin(r: Results, kind: str, sample: str) -> list[Test]:
    """Sign of the median margin of SupCon: above zero for EM, near zero for HAD."""

    def of(n: int) -> Query:
        return Query(kind, "supcon", sample, "median_margin", (n,))

    if sample == "em":
        return [Test(f"SupCon median margin at {n}", r.estimate(of(n))) for n in _several(r)]
    return [
        Test(f"SupCon median margin at {n}", r.combine(lambda m: NEAR_ZERO - abs(m), of(n)), r.estimate(of(n)))
        for n in _several(r)
    ]


def negative_oc(r: Results, kind: str, sample: str) -> list[Test]:
    """Negative margins of OC."""
    out = []
    for n in _several(r):
        median = Query(kind, "oc", sample, "median_margin", (n,))
        if sample == "em":
            out.append(_lead(r, kind, sample, "negative_margin", (n,), -1, f"share of negative margins at {n}"))
        else:
            out.append(Test(f"OC median margin at {n}", r.combine(lambda m: -m, median), r.estimate(median)))
    return out


def tails(r: Results, kind: str, sample: str) -> list[Test]:
    """Whether systems differ more in the tail d_intra than in the median d_inter."""
    out = []
    for n in _several(r):
        queries = [*_pair(kind, sample, "d_intra", (n,)), *_pair(kind, sample, "d_inter", (n,))]
        change = r.combine(lambda a, b, c, d: abs(a - b) - abs(c - d), *queries)
        out.append(Test(f"|difference of d_intra| − |difference of d_inter| at {n}", change))
    return out


def dense(figure: str, sign: int = 1) -> Tests:
    """Tests of a figure at each number of particles beyond training."""

    def tests(r: Results, kind: str, sample: str) -> list[Test]:
        return [
            _lead(r, kind, sample, figure, (n,), sign, f"{figure} at {n}, {title}", readout=readout)
            for n in r.beyond(kind)
            for readout, title in READOUTS
        ]

    return tests


def growing(figure: str) -> Tests:
    """Tests of whether the lead in a figure grows with the number of particles."""

    def tests(r: Results, kind: str, sample: str) -> list[Test]:
        return [_growth(r, kind, sample, figure, 1, f"{figure}, {title}", readout) for readout, title in READOUTS]

    return tests


def closer_to_one(r: Results, kind: str, sample: str) -> list[Test]:
    """Distance of the ratio of clusters to particles from one, beyond training."""
    out = []
    for n in r.beyond(kind):
        for readout, title in READOUTS:
            a, b = _pair(kind, sample, "ratio", (n,), readout=readout)
            gain = r.combine(lambda x, y: abs(y - 1) - abs(x - 1), a, b)
            out.append(Test(f"|ratio − 1| of OC − that of SupCon at {n}, {title}", gain))
    return out


def similar(r: Results, kind: str, sample: str) -> list[Test]:
    """Efficiency and purity at one and two particles."""
    out = []
    for n in (n for n in r.numbers if n <= 2):
        for figure in ("efficiency", "purity"):
            a, b = _pair(kind, sample, figure, (n,))
            close = r.combine(lambda x, y: SIMILAR - abs(x - y), a, b)
            out.append(Test(f"{figure} at {n}, SupCon − OC", close, r.difference(a, b)))
    return out


def _bins(r: Results) -> list[tuple[float, float]]:
    edges = r.size.energy_bins
    return list(pairwise(edges))


def resolution(r: Results, kind: str, sample: str) -> list[Test]:
    """σ_eff in each energy bin."""
    return [
        _lead(
            r, kind, sample, "resolution", _several(r), -1, f"σ_eff at {low:g}–{high:g} GeV, native readouts",
            energy=(low, high),
        )
        for low, high in _bins(r)
    ]  # fmt: skip


def low_energy(r: Results, kind: str, sample: str) -> list[Test]:
    """Gain in σ_eff in the lowest energy bin minus that in the highest."""
    low, high = _bins(r)[0], _bins(r)[-1]
    queries = [q for e in (low, high) for q in _pair(kind, sample, "resolution", _several(r), energy=e)]
    gain = r.combine(lambda a, b, c, d: (b - a) - (d - c), *queries)
    return [Test(f"gain in σ_eff at {low[0]:g}–{low[1]:g} GeV minus that at {high[0]:g}–{high[1]:g} GeV", gain)]


def _regions(r: Results, kind: str) -> dict[str, dict[str, Any]]:
    """Events and particles within the training range, and beyond it in number or energy."""
    top = training_range(r.size, kind)[1][1]
    inside, beyond = r.inside(kind), r.beyond(kind)
    last = r.size.energy_bins[-1] + 1
    return {
        "within": {"n": inside, "energy": (0.0, top)},
        "more particles": {"n": beyond, "energy": (0.0, top)},
        "higher energies": {"n": inside, "energy": (top, last)},
    }


def generalises(r: Results, kind: str, sample: str) -> list[Test]:
    """Loss of efficiency and purity from within the training range to beyond it."""
    regions = _regions(r, kind)
    out = []
    for figure in ("efficiency", "purity"):
        for name in ("more particles", "higher energies"):
            queries = [
                q for at in ("within", name)
                for q in _pair(kind, sample, figure, regions[at]["n"], energy=regions[at]["energy"])
            ]  # fmt: skip
            less = r.combine(lambda s, o, s2, o2: (o - o2) - (s - s2), *queries)
            out.append(Test(f"loss of {figure} towards {name}, OC − SupCon", less))
    return out


def stable_in_energy(r: Results, kind: str, sample: str) -> list[Test]:
    """Change of efficiency and purity beyond the training energies, both systems."""
    regions = _regions(r, kind)
    out = []
    for system, title in (("supcon", "SupCon"), ("oc", "OC")):
        for figure in ("efficiency", "purity"):
            a, b = (
                Query(kind, system, sample, figure, regions[at]["n"], energy=regions[at]["energy"])
                for at in ("higher energies", "within")
            )
            close = r.combine(lambda x, y: SIMILAR - abs(x - y), a, b)
            out.append(Test(f"{title} {figure}, higher energies − within", close, r.difference(a, b)))
    return out


def degrades(r: Results, kind: str, sample: str) -> list[Test]:
    """Loss from the EM model to the mixed model."""
    out = []
    for n in r.beyond(kind):
        for figure in ("efficiency", "purity"):
            own, mixed = _pair(sample, sample, figure, (n,)), _pair(kind, sample, figure, (n,))
            drop = r.difference(own[1], mixed[1])
            out.append(Test(f"drop of OC {figure} at {n}, {sample.upper()} model − mixed", drop))
            more = r.combine(lambda s, o, s2, o2: (o - o2) - (s - s2), *own, *mixed)
            out.append(Test(f"that drop, OC − SupCon, {figure} at {n}", more))
    return out


def mixed_had(r: Results, kind: str, sample: str) -> list[Test]:
    """Mixed model on HAD: efficiencies and purities."""
    out = []
    for n in r.beyond(kind):
        a, b = _pair(kind, sample, "efficiency", (n,))
        close = r.combine(lambda x, y: SIMILAR - abs(x - y), a, b)
        out.append(Test(f"efficiency at {n} similar, SupCon − OC", close, r.difference(a, b)))
        out.append(_lead(r, kind, sample, "purity", (n,), 1, f"purity at {n}"))
    return out


def one_scale(r: Results, kind: str, sample: str) -> list[Test]:
    """Difference between EM and HAD margins of the mixed model."""
    out = []
    for n in _several(r):
        queries = [q for s in ("em", "had") for q in _pair("mixed", s, "median_margin", (n,))]
        gain = r.combine(lambda s, o, s2, o2: abs(o - o2) - abs(s - s2), *queries)
        out.append(Test(f"EM–HAD difference of the median margin at {n}, OC − SupCon", gain))
    return out


def dimension_order(r: Results, kind: str, sample: str) -> list[Test]:
    """Purity and efficiency in 16 and 4 dimensions."""
    return [
        _lead(r, "mixed", "mixed", figure, (), 1, f"{figure}, {dim}-d, {title}", dim=dim, readout=readout)
        for dim in (16, 4)
        for readout, title in READOUTS
        for figure in ("purity", "efficiency")
    ]


def modest(r: Results, kind: str, sample: str) -> list[Test]:
    """Loss from 16 to 4 dimensions."""
    out = []
    for system, name in (("supcon", "SupCon"), ("oc", "OC")):
        for readout, title in READOUTS:
            for figure in ("purity", "efficiency"):
                a, b = (Query("mixed", system, "mixed", figure, readout=readout, dim=dim) for dim in (16, 4))
                small = r.combine(lambda x, y: MODEST - (x - y), a, b)
                out.append(Test(f"loss of {figure} from 16 to 4, {name}, {title}", small, r.difference(a, b)))
    return out


def unscaled(r: Results, kind: str, sample: str) -> list[Test]:
    """Figures of the embedding with and without scaled inputs, first seed."""
    out = []
    for figure, title in (("recall_at_1", "R@1"), ("contamination_at_10", "C@10"), ("auc", "AUC")):
        for n in _several(r):
            a, b = (Query(kind, system, sample, figure, (n,)) for system in ("raw", "supcon"))
            close = r.combine(lambda x, y: SIMILAR - abs(x - y), a, b)
            out.append(Test(f"{title} at {n}, unscaled − scaled", close, r.difference(a, b)))
    return out
