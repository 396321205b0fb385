"""The claims of arXiv:2603.23356 and the verdict of the results on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cmlflow_benchmarks.physics import evidence
from cmlflow_benchmarks.physics.evidence import Tests
from cmlflow_benchmarks.physics.results import Results
from cmlflow_benchmarks.verdicts import NOT_RUN, verdict

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
            shown = [{"what": str(t), "outcome": t.outcome} for t in tests]
            verdicts[_title(kind, sample)] = {"verdict": verdict(tests) if tests else NOT_RUN, "evidence": shown}
        out.append(
            {"name": claim.name, "claim": claim.text, "where": claim.where, "means": claim.means, "verdicts": verdicts}
        )
    return out


def _title(kind: str, sample: str) -> str:
    return "mixed" if sample == "mixed" else kind.upper() if kind == sample else f"mixed on {sample.upper()}"


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "neighbourhoods",
        "Improved local neighbourhood consistency: higher R@k and AUC, lower C@10 at all multiplicities",
        "abstract; V.1, Table 2",
        evidence.neighbours,
        ALL,
        "SupCon − OC at each number of particles above one",
    ),
    Claim(
        "neighbourhoods-growing",
        "This gap is modest at low multiplicity and increases with shower density",
        "V.1",
        evidence.growing_neighbours,
        ALL,
        "lead at the largest number of particles minus lead at 2",
    ),
    Claim(
        "stable",
        "More stable geometry: narrow distributions of d_inter, d_intra and margin, for OC much broader",
        "abstract; V.1, Figure 1; VI",
        evidence.narrow,
        ALL,
        "interquartile range over events, SupCon − OC",
    ),
    Claim(
        "separable",
        "More separable geometry: larger margins",
        "abstract; V.1; VI",
        evidence.separable,
        ALL,
        "median margin over events, SupCon − OC",
    ),
    Claim(
        "margin-sign",
        "CML margins are positive for EM and near zero (slightly negative) for HAD",
        "V.1; VI",
        evidence.positive_margin,
        ALL,
        f"median margin above zero for EM, within ±{evidence.NEAR_ZERO} for HAD",
    ),
    Claim(
        "oc-margin",
        "OC margins are often negative for EM, systematically negative for HAD",
        "V.1; VI",
        evidence.negative_oc,
        ALL,
        "EM: larger share of negative margins than SupCon; HAD: median below zero",
    ),
    Claim(
        "tails",
        "The advantage arises from the tails of the distance distributions, not from central values",
        "V.1",
        evidence.tails,
        OWN,
        "systems differ more in d_intra (99th percentile) than in d_inter (median)",
    ),
    Claim(
        "efficiency",
        "Higher reconstruction efficiency in high-multiplicity events",
        "abstract; V.2, Figure 3; VI",
        evidence.dense("efficiency"),
        ALL,
        "SupCon − OC at each number of particles beyond training",
    ),
    Claim(
        "purity",
        "Higher purity in high-multiplicity events",
        "abstract; V.2, Figure 3; VI",
        evidence.dense("purity"),
        ALL,
        "SupCon − OC at each number of particles beyond training",
    ),
    Claim(
        "efficiency-growing",
        "The gain in efficiency is largest at high multiplicity",
        "V.2; VI",
        evidence.growing("efficiency"),
        ALL,
        "lead at the largest number of particles minus lead at 2",
    ),
    Claim(
        "purity-growing",
        "The gain in purity is largest at high multiplicity",
        "V.2; VI",
        evidence.growing("purity"),
        ALL,
        "lead at the largest number of particles minus lead at 2",
    ),
    Claim(
        "ratio",
        "More stable ratio of clusters to particles: near one, where OC merges",
        "V.2, Figure 3; VI",
        evidence.closer_to_one,
        ALL,
        "distance of the ratio from one beyond training, OC − SupCon",
    ),
    Claim(
        "low-multiplicity",
        "At low multiplicity all methods perform similarly",
        "V.2",
        evidence.similar,
        ALL,
        f"difference at 1 and 2 particles below {evidence.SIMILAR}",
    ),
    Claim(
        "resolution",
        "Improved energy resolution, closest to perfect pattern recognition",
        "abstract; V.2, Figure 4; VI",
        evidence.resolution,
        ALL,
        "σ_eff in each energy bin, SupCon − OC",
    ),
    Claim(
        "resolution-low",
        "For HAD the improvement is largest at low energy",
        "V.2, Figure 4",
        evidence.low_energy,
        (("had", "had"),),
        "gain in the lowest energy bin minus gain in the highest",
    ),
    Claim(
        "generalisation",
        "Better generalisation to unseen multiplicities and energies",
        "abstract",
        evidence.generalises,
        ALL,
        "loss from within the training range to beyond it, OC − SupCon",
    ),
    Claim(
        "energy-stable",
        "Performance remains stable beyond the training energies",
        "V.2, Figure 2",
        evidence.stable_in_energy,
        ALL,
        f"change beyond the training energies below {evidence.SIMILAR}",
    ),
    Claim(
        "mixed-em",
        "Mixed training: OC degrades significantly on EM, CML does not",
        "abstract; V.2; VI",
        evidence.degrades,
        (("mixed", "em"),),
        "drop from the EM model to the mixed model: of OC above zero, and above that of SupCon",
    ),
    Claim(
        "mixed-had",
        "Mixed training on HAD: comparable efficiencies, CML purer",
        "V.2",
        evidence.mixed_had,
        (("mixed", "had"),),
        f"efficiencies within {evidence.SIMILAR}; purity SupCon − OC",
    ),
    Claim(
        "one-scale",
        "Mixed training: CML has similar margins for EM and HAD, so that one threshold serves both",
        "V.2; VI",
        evidence.one_scale,
        BOTH,
        "difference of EM and HAD median margins, OC − SupCon",
    ),
    Claim(
        "dimension-order",
        "CML outperforms OC in purity and efficiency in 16 and in 4 dimensions",
        "V.2, Table 3",
        evidence.dimension_order,
        BOTH,
        "SupCon − OC on mixed events",
    ),
    Claim(
        "dimension-loss",
        "Four dimensions in place of 16 cost little, for all methods",
        "V.2, Table 3",
        evidence.modest,
        BOTH,
        f"loss below {evidence.MODEST}",
    ),
    Claim(
        "normalisation",
        "Normalisation of the input features has negligible impact",
        "II.1",
        evidence.unscaled,
        OWN,
        f"R@1, C@10 and AUC of SupCon differ by less than {evidence.SIMILAR}, first seed",
    ),
)
