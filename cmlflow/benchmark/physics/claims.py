"""The claims of arXiv:2603.23356, each as what would have to be true of the results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from cmlflow.benchmark.physics.matrix import training_range
from cmlflow.benchmark.physics.results import Query, Results
from cmlflow.benchmark.physics.verdicts import NOT_RUN, Test, verdict

Tests = Callable[[Results, str, str], list[Test]]

SIMILAR = 0.05
"""Differences of efficiency and purity below this count as similar, stable, comparable (our choice)."""
MODEST = 0.10
"""Losses of efficiency and purity below this count as modest (our choice)."""
NEAR_ZERO = 0.2
"""Medians of the margin within this count as near zero (our choice)."""

READOUTS = (("native", "native readouts"), ("ward", "Ward"))
ALL = (("em", "em"), ("had", "had"), ("mixed", "em"), ("mixed", "had"))
OWN = ALL[:2]
BOTH = (("mixed", "mixed"),)


@dataclass(frozen=True)
class Claim:
    """A claim and how it is tested.

    Attributes
    ----------
    name : str
    text : str
        What the paper says, in few words.
    where : str
        In the paper.
    tests : callable
        ``tests(results, kind, sample)``
    on : sequence of (str, str)
        Pairs of training and test kind that it is about.
    means : str
        What is tested.
    """

    name: str
    text: str
    where: str
    tests: Tests
    on: Sequence[tuple[str, str]]
    means: str


def judged(results: Results) -> list[dict[str, Any]]:
    """Every claim with its verdict on each pair of training and test kind, and the evidence."""
    out = []
    for claim in CLAIMS:
        verdicts = {}
        for kind, sample in claim.on:
            tests = claim.tests(results, kind, sample) if kind in results.kinds else []
            evidence = [{"what": str(t), "outcome": t.outcome} for t in tests]
            verdicts[_title(kind, sample)] = {"verdict": verdict(tests) if tests else NOT_RUN, "evidence": evidence}
        out.append(
            {"name": claim.name, "claim": claim.text, "where": claim.where, "means": claim.means, "verdicts": verdicts}
        )
    return out


def _title(kind: str, sample: str) -> str:
    return "mixed" if sample == "mixed" else kind.upper() if kind == sample else f"mixed on {sample.upper()}"


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


def _neighbours(r: Results, kind: str, sample: str) -> list[Test]:
    names = (
        ("recall_at_1", "R@1", 1),
        ("recall_at_10", "R@10", 1),
        ("contamination_at_10", "C@10", -1),
        ("auc", "AUC", 1),
    )
    return [_lead(r, kind, sample, f, (n,), sign, f"{t} at {n}") for f, t, sign in names for n in _several(r)]


def _growing_neighbours(r: Results, kind: str, sample: str) -> list[Test]:
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


def _narrow(r: Results, kind: str, sample: str) -> list[Test]:
    out = []
    for name, title in (("d_inter", "d_inter"), ("d_intra", "d_intra"), ("margin", "margin")):
        for n in _several(r):
            out.append(_lead(r, kind, sample, f"spread_{name}", (n,), -1, f"spread of {title} over events at {n}"))
    return out


def _separable(r: Results, kind: str, sample: str) -> list[Test]:
    return [_lead(r, kind, sample, "median_margin", (n,), 1, f"median margin at {n}") for n in _several(r)]


def _positive_margin(r: Results, kind: str, sample: str) -> list[Test]:
    def of(n: int) -> Query:
        return Query(kind, "supcon", sample, "median_margin", (n,))

    if sample == "em":
        return [Test(f"SupCon median margin at {n}", r.estimate(of(n))) for n in _several(r)]
    return [
        Test(f"SupCon median margin at {n}", r.combine(lambda m: NEAR_ZERO - abs(m), of(n)), r.estimate(of(n)))
        for n in _several(r)
    ]


def _negative_oc(r: Results, kind: str, sample: str) -> list[Test]:
    out = []
    for n in _several(r):
        median = Query(kind, "oc", sample, "median_margin", (n,))
        if sample == "em":
            out.append(_lead(r, kind, sample, "negative_margin", (n,), -1, f"share of negative margins at {n}"))
        else:
            out.append(Test(f"OC median margin at {n}", r.combine(lambda m: -m, median), r.estimate(median)))
    return out


def _tails(r: Results, kind: str, sample: str) -> list[Test]:
    out = []
    for n in _several(r):
        queries = [*_pair(kind, sample, "d_intra", (n,)), *_pair(kind, sample, "d_inter", (n,))]
        change = r.combine(lambda a, b, c, d: abs(a - b) - abs(c - d), *queries)
        out.append(Test(f"|difference of d_intra| − |difference of d_inter| at {n}", change))
    return out


def _dense(figure: str, sign: int = 1) -> Tests:
    def tests(r: Results, kind: str, sample: str) -> list[Test]:
        return [
            _lead(r, kind, sample, figure, (n,), sign, f"{figure} at {n}, {title}", readout=readout)
            for n in r.beyond(kind)
            for readout, title in READOUTS
        ]

    return tests


def _growing(figure: str) -> Tests:
    def tests(r: Results, kind: str, sample: str) -> list[Test]:
        return [_growth(r, kind, sample, figure, 1, f"{figure}, {title}", readout) for readout, title in READOUTS]

    return tests


def _closer_to_one(r: Results, kind: str, sample: str) -> list[Test]:
    out = []
    for n in r.beyond(kind):
        for readout, title in READOUTS:
            a, b = _pair(kind, sample, "ratio", (n,), readout=readout)
            gain = r.combine(lambda x, y: abs(y - 1) - abs(x - 1), a, b)
            out.append(Test(f"|ratio − 1| of OC − that of SupCon at {n}, {title}", gain))
    return out


def _similar(r: Results, kind: str, sample: str) -> list[Test]:
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


def _resolution(r: Results, kind: str, sample: str) -> list[Test]:
    return [
        _lead(
            r, kind, sample, "resolution", _several(r), -1, f"σ_eff at {low:g}–{high:g} GeV, native readouts",
            energy=(low, high),
        )
        for low, high in _bins(r)
    ]  # fmt: skip


def _low_energy(r: Results, kind: str, sample: str) -> list[Test]:
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


def _generalises(r: Results, kind: str, sample: str) -> list[Test]:
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


def _stable_in_energy(r: Results, kind: str, sample: str) -> list[Test]:
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


def _degrades(r: Results, kind: str, sample: str) -> list[Test]:
    out = []
    for n in r.beyond(kind):
        for figure in ("efficiency", "purity"):
            own, mixed = _pair(sample, sample, figure, (n,)), _pair(kind, sample, figure, (n,))
            drop = r.difference(own[1], mixed[1])
            out.append(Test(f"drop of OC {figure} at {n}, {sample.upper()} model − mixed", drop))
            more = r.combine(lambda s, o, s2, o2: (o - o2) - (s - s2), *own, *mixed)
            out.append(Test(f"that drop, OC − SupCon, {figure} at {n}", more))
    return out


def _mixed_had(r: Results, kind: str, sample: str) -> list[Test]:
    out = []
    for n in r.beyond(kind):
        a, b = _pair(kind, sample, "efficiency", (n,))
        close = r.combine(lambda x, y: SIMILAR - abs(x - y), a, b)
        out.append(Test(f"efficiency at {n} similar, SupCon − OC", close, r.difference(a, b)))
        out.append(_lead(r, kind, sample, "purity", (n,), 1, f"purity at {n}"))
    return out


def _one_scale(r: Results, kind: str, sample: str) -> list[Test]:
    out = []
    for n in _several(r):
        queries = [q for s in ("em", "had") for q in _pair("mixed", s, "median_margin", (n,))]
        gain = r.combine(lambda s, o, s2, o2: abs(o - o2) - abs(s - s2), *queries)
        out.append(Test(f"EM–HAD difference of the median margin at {n}, OC − SupCon", gain))
    return out


def _dimension_order(r: Results, kind: str, sample: str) -> list[Test]:
    return [
        _lead(r, "mixed", "mixed", figure, (), 1, f"{figure}, {dim}-d, {title}", dim=dim, readout=readout)
        for dim in (16, 4)
        for readout, title in READOUTS
        for figure in ("purity", "efficiency")
    ]


def _modest(r: Results, kind: str, sample: str) -> list[Test]:
    out = []
    for system, name in (("supcon", "SupCon"), ("oc", "OC")):
        for readout, title in READOUTS:
            for figure in ("purity", "efficiency"):
                a, b = (Query("mixed", system, "mixed", figure, readout=readout, dim=dim) for dim in (16, 4))
                small = r.combine(lambda x, y: MODEST - (x - y), a, b)
                out.append(Test(f"loss of {figure} from 16 to 4, {name}, {title}", small, r.difference(a, b)))
    return out


def _untested(r: Results, kind: str, sample: str) -> list[Test]:
    return []


CLAIMS: tuple[Claim, ...] = (
    Claim("neighbourhoods", "Improved local neighbourhood consistency: higher R@k and AUC, lower C@10 at all multiplicities",
          "abstract; V.1, Table 2", _neighbours, ALL, "SupCon − OC at each number of particles above one"),
    Claim("neighbourhoods-growing", "This gap is modest at low multiplicity and increases with shower density",
          "V.1", _growing_neighbours, ALL, "lead at the largest number of particles minus lead at 2"),
    Claim("stable", "More stable geometry: narrow distributions of d_inter, d_intra and margin, for OC much broader",
          "abstract; V.1, Figure 1; VI", _narrow, ALL, "interquartile range over events, SupCon − OC"),
    Claim("separable", "More separable geometry: larger margins", "abstract; V.1; VI", _separable, ALL,
          "median margin over events, SupCon − OC"),
    Claim("margin-sign", "CML margins are positive for EM and near zero (slightly negative) for HAD", "V.1; VI",
          _positive_margin, ALL, f"median margin above zero for EM, within ±{NEAR_ZERO} for HAD"),
    Claim("oc-margin", "OC margins are often negative for EM, systematically negative for HAD", "V.1; VI", _negative_oc,
          ALL, "EM: larger share of negative margins than SupCon; HAD: median below zero"),
    Claim("tails", "The advantage arises from the tails of the distance distributions, not from central values", "V.1",
          _tails, OWN, "systems differ more in d_intra (99th percentile) than in d_inter (median)"),
    Claim("efficiency", "Higher reconstruction efficiency in high-multiplicity events", "abstract; V.2, Figure 3; VI",
          _dense("efficiency"), ALL, "SupCon − OC at each number of particles beyond training"),
    Claim("purity", "Higher purity in high-multiplicity events", "abstract; V.2, Figure 3; VI", _dense("purity"), ALL,
          "SupCon − OC at each number of particles beyond training"),
    Claim("efficiency-growing", "The gain in efficiency is largest at high multiplicity", "V.2; VI", _growing("efficiency"),
          ALL, "lead at the largest number of particles minus lead at 2"),
    Claim("purity-growing", "The gain in purity is largest at high multiplicity", "V.2; VI", _growing("purity"), ALL,
          "lead at the largest number of particles minus lead at 2"),
    Claim("ratio", "More stable ratio of clusters to particles: near one, where OC merges", "V.2, Figure 3; VI",
          _closer_to_one, ALL, "distance of the ratio from one beyond training, OC − SupCon"),
    Claim("low-multiplicity", "At low multiplicity all methods perform similarly", "V.2", _similar, ALL,
          f"difference at 1 and 2 particles below {SIMILAR}"),
    Claim("resolution", "Improved energy resolution, closest to perfect pattern recognition", "abstract; V.2, Figure 4; VI",
          _resolution, ALL, "σ_eff in each energy bin, SupCon − OC"),
    Claim("resolution-low", "For HAD the improvement is largest at low energy", "V.2, Figure 4", _low_energy,
          (("had", "had"),), "gain in the lowest energy bin minus gain in the highest"),
    Claim("generalisation", "Better generalisation to unseen multiplicities and energies", "abstract", _generalises, ALL,
          "loss from within the training range to beyond it, OC − SupCon"),
    Claim("energy-stable", "Performance remains stable beyond the training energies", "V.2, Figure 2", _stable_in_energy,
          ALL, f"change beyond the training energies below {SIMILAR}"),
    Claim("mixed-em", "Mixed training: OC degrades significantly on EM, CML does not", "abstract; V.2; VI", _degrades,
          (("mixed", "em"),), "drop from the EM model to the mixed model: of OC above zero, and above that of SupCon"),
    Claim("mixed-had", "Mixed training on HAD: comparable efficiencies, CML purer", "V.2", _mixed_had,
          (("mixed", "had"),), f"efficiencies within {SIMILAR}; purity SupCon − OC"),
    Claim("one-scale", "Mixed training: CML has similar margins for EM and HAD, so that one threshold serves both",
          "V.2; VI", _one_scale, BOTH, "difference of EM and HAD median margins, OC − SupCon"),
    Claim("dimension-order", "CML outperforms OC in purity and efficiency in 16 and in 4 dimensions", "V.2, Table 3",
          _dimension_order, BOTH, "SupCon − OC on mixed events"),
    Claim("dimension-loss", "Four dimensions in place of 16 cost little, for all methods", "V.2, Table 3", _modest,
          BOTH, f"loss below {MODEST}"),
    Claim("normalisation", "Normalisation of the input features has negligible impact", "II.1", _untested, ALL,
          "needs models trained with and without scaled inputs, which are not in this matrix"),
)  # fmt: skip
