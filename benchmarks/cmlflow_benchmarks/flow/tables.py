"""Tables of the results, the same for the page and for Markdown: what they show, their heads and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cmlflow_benchmarks.flow.goals import interval
from cmlflow_benchmarks.flow.plan import AT_HOME, GUNS, JETS, MODELS, RHO, TRANSFER, models_of
from cmlflow_benchmarks.verdicts import NOT_RUN

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """One table of a sample.

    Attributes
    ----------
    name : str
        Of `cmlflow_benchmarks.flow.testing.TABLES`.
    title : str
    figures : dict of str to str
        Head of the column of each figure, with its unit.
    versus : dict of str to str
        The same of the differences and ratios against a reference.
    """

    name: str
    title: str
    figures: Mapping[str, str]
    versus: Mapping[str, str]


NEUTRAL = Table(
    "neutral",
    "Neutral energy (E_pred − E_true) / E_true, and barycentres in ECAL2",
    {"core_sigma": "core σ", "bias": "bias", "sigma_eff": "σ_eff", "tails": "tails beyond 3 σ",
     "barycentre_mean": "barycentre, mean [cm]"},
    {"core_sigma_ratio": "core σ, times better", "bias_difference": "bias, difference",
     "barycentre_mean_ratio": "barycentre, times better"},
)  # fmt: skip
F1 = {"weighted_f1": "F1, energy", "weighted_precision": "precision, energy", "weighted_recall": "recall, energy",
      "weighted_accuracy": "accuracy, energy", "f1": "F1", "precision": "precision", "recall": "recall",
      "accuracy": "accuracy"}  # fmt: skip
F1_VERSUS = {"weighted_f1_difference": "F1, energy, difference", "f1_difference": "F1, difference"}
SOFT_VERSUS = {"weighted_f1_difference": "F1 of soft shares, energy, difference"}
ASSOCIATION = (
    Table("association", "Cells to tracks, shares above 0.5", F1, F1_VERSUS),
    Table("association_soft", "Cells to tracks, shares as they are", F1, SOFT_VERSUS),
)
CANDIDATES = tuple(
    Table(
        "candidates",
        f"{kind.capitalize()} candidates",
        {f"{kind}_efficiency": "efficiency", f"{kind}_purity": "purity", f"{kind}_ratio": "ratio"} | own,
        {f"{kind}_efficiency_difference": f"{kind} efficiency, difference",
         f"{kind}_purity_difference": f"{kind} purity, difference"} | versus,
    )
    for kind, own, versus in (
        ("charged", {"charged_cell_resolution": "σ_eff of the cells' energy"}, {}),
        ("neutral", {"neutral_response": "response", "neutral_resolution": "σ_eff of the response"},
         {"neutral_resolution_ratio": "neutral σ_eff, times better"}),
    )
)  # fmt: skip
JET_TABLE = Table(
    "jets",
    "Jets, E / E_true",
    {"energy_bias": "bias of the energy", "energy_core_sigma": "core σ of the energy",
     "energy_sigma_eff": "σ_eff of the energy", "energy_tails": "tails beyond 3 σ",
     "mass_sigma_eff": "σ_eff of the mass [GeV]", "angle_median": "angle, median [mrad]"},
    {"energy_sigma_eff_ratio": "σ_eff of the energy, times better",
     "energy_bias_difference": "bias of the energy, difference", "angle_median_ratio": "angle, times better"},
)  # fmt: skip
TABLES: dict[str, tuple[Table, ...]] = {
    RHO: (*ASSOCIATION, NEUTRAL),
    **dict.fromkeys(GUNS, (NEUTRAL,)),
    JETS: (*CANDIDATES, NEUTRAL, JET_TABLE, *ASSOCIATION),
}

Rows = tuple[list[str], list[list[Any]]]


def system_rows(result: Result, table: Table, sample: str) -> Rows:
    """Head and rows: one for each system, then one for each model that has not been run."""
    found = result.get(table.name, {}).get("figures", {})
    rows = [[name, *(interval(own.get(f)) for f in table.figures)] for name, own in found.items()]
    absent = [m for m in models_of(sample) if m not in result["settings"]["models"]]
    rows += [[name, *([NOT_RUN] * len(table.figures))] for name in absent]
    return ["system", *table.figures.values()], rows


def pair_rows(result: Result, tables: Sequence[Table], *, transfer: bool = False) -> Rows:
    """Head and rows of the systems against their references, in the figures of some tables.

    Parameters
    ----------
    result : dict
        Of one sample.
    tables : sequence of Table
    transfer : bool
        Those of the model trained on few tracks, in place of all others.
    """
    columns = [(t.name, f, head) for t in tables for f, head in t.versus.items()]
    rows = []
    for pair in result["pairs"]:
        of_transfer = pair["system"].startswith(TRANSFER) and pair["against"] == AT_HOME
        cells = [interval(pair.get(name, {}).get(f)) for name, f, _ in columns]
        if of_transfer == transfer and any(c == c for c in cells):
            rows.append([pair["system"], pair["against"], *cells])
    return ["system", "against", *(head for *_, head in columns)], rows


def goal_rows(goals: Sequence[Mapping[str, Any]]) -> Rows:
    """Head and rows of the goals: figure, whether the value is where it should be, and whether its interval is."""
    words = {True: "met", False: "not met", None: NOT_RUN}
    rows = [[g["goal"], interval(g["value"]), words[g["met"]], verdict_word(g["verdict"])] for g in goals]
    return ["goal", "figure", "value", "interval"], rows


def verdict_word(verdict: str) -> str:
    """What a verdict is called of a goal."""
    return {"holds": "met", "does not hold": "not met"}.get(verdict, verdict)


def states(results: Mapping[str, Result]) -> dict[str, str]:
    """Of every model: the samples it was run on, or ``not run``."""
    ran = {m: [s for s, found in results.items() if m in found["settings"]["models"]] for m in MODELS}
    return {model: ", ".join(on) or NOT_RUN for model, on in ran.items()}


def speeds(result: Result) -> str:
    """CPU time of the models, in words; empty where it was not measured."""
    parts = [f"{name} {1000 * value:.2g} ms" for name, value in result.get("seconds", {}).items()]
    return f"CPU time for one event: {', '.join(parts)}." if parts else ""


def choices(sample: str, result: Result) -> str:
    """What was chosen for a sample on other events, in words."""
    c = result["chosen"]
    parts = [f"{result['events']} test events of {sample}, in the mean {result['hits']:g} hits and "
             f"{result['tracks']:g} tracks"]  # fmt: skip
    if "radius" in c:
        tried = ", ".join(f"{r}: {f1:.3f}" for r, f1 in c["radii"].items())
        parts.append(f"radius of the nearest track ΔR {c['radius']:g}, of largest energy-weighted F1 on "
                     f"{c['validation_events']} validation events ({tried})")  # fmt: skip
        parts.append(f"random answers are 1 in {100 * c['rate']:.1f} % of the pairs of track and hit, as there")
    if "scale" in c:
        parts.append(f"energies of neutral candidates of truth, nearest track and parametric: scale of {c['scale']}")
    return "; ".join(parts) + "."
