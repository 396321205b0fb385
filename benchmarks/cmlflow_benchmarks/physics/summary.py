"""The results in short, as Markdown: scores by number of particles with own readouts, and the verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cmlflow_benchmarks.physics.equal import equal_table
from cmlflow_benchmarks.physics.matrix import SYSTEMS

EQUAL = (
    "SupCon and OC equally tuned: thresholds from the same events, of more particles, and each with the",
    "readout that comes nearest to perfect there; efficiency / purity / ratio, and SupCon − rival on the",
    "same test events:",
)
SHOWN = ("efficiency", "purity", "ratio", "resolution", "floor")


def markdown(found: Mapping[str, Any]) -> str:
    """Two tables from what ``results.json`` holds.

    Parameters
    ----------
    found : dict
        As `cmlflow_benchmarks.physics.running.physics_benchmark` returns it.

    Returns
    -------
    str
        Scores of every kind of model with its own readout, largest dimension; and the verdict on every claim.
    """
    own = {(c["kind"], c["system"]): c["own_readout"] for c in found["cells"]}
    dims = {key: max(c["dim"] for c in found["cells"] if (c["kind"], c["system"]) == key) for key in own}
    rows = [
        f
        for f in found["figures"]
        if "particles" in f
        and f.get("readout") == own[f["kind"], f["system"]]
        and f["dim"] == dims[f["kind"], f["system"]]
    ]
    lines = _scores([f for f in rows if not SYSTEMS[f["system"]].control_of])
    if controls := [f for f in rows if SYSTEMS[f["system"]].control_of]:
        lines += ["", "Variants, first seed:", "", *_scores(controls)]
    if found.get("equal"):
        lines += ["", *EQUAL, "", *equal_table(found["equal"])]
    columns = list(dict.fromkeys(on for claim in found["claims"] for on in claim["verdicts"]))
    lines += ["", "| claim | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for claim in found["claims"]:
        verdicts = [claim["verdicts"].get(on, {}).get("verdict", "") for on in columns]
        lines.append(f"| {claim['claim']} ({claim['where']}) | " + " | ".join(verdicts) + " |")
    for goal in found["goals"]:
        met = {True: "met", False: "not met", None: "not run"}[goal["met"]]
        lines += (
            ["", "| goal of best | values | with intervals |", "|---|---|---|"] if goal is found["goals"][0] else []
        )
        lines.append(f"| {goal['goal']} | {met} | {goal['verdict']} |")
    return "\n".join(lines) + "\n"


def _scores(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ["trained on", "tested on", "particles", "system", "readout", "efficiency", "purity", "ratio"]
    lines = ["| " + " | ".join([*head, "σ_eff", "σ_eff, floor"]) + " |", "|---|---|---:|---|---|---|---|---|---|---|"]
    order = list(SYSTEMS)
    for f in sorted(rows, key=lambda f: (f["kind"], f["sample"], f["particles"], order.index(f["system"]))):
        entries = [f["kind"], f["sample"], str(f["particles"]), SYSTEMS[f["system"]].title, f["readout"]]
        lines.append("| " + " | ".join(entries + [_figure(f.get(name)) for name in SHOWN]) + " |")
    return lines


def _figure(value: Mapping[str, Any] | None) -> str:
    if value is None or value["value"] is None:
        return "-"
    if value["low"] is None:
        return f"{value['value']:.3f}"
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
