"""SupCon beside object condensation, equally tuned: same auxiliary events, and each with the readout that suits it."""

from __future__ import annotations

from typing import Any

from cmlflow.prediction.tuning import distance
from cmlflow_benchmarks.physics.matrix import SYSTEMS, WIDE, datasets
from cmlflow_benchmarks.physics.results import Query, Results
from cmlflow_benchmarks.verdicts import Estimate

FIGURES = ("efficiency", "purity", "ratio")
PAPER = "supcon"
LEFT_OUT = "hdbscan"
"""No choice: it finds next to nothing in events of one particle."""


def best_readout(r: Results, kind: str, system: str) -> str | None:
    """The readout, HDBSCAN apart, whose thresholds come nearest to perfect reconstruction on the wide auxiliary events.

    The mean over seeds of the distance there decides; no test event takes part. None where nothing is tuned on them.
    """
    distances: dict[str, list[float]] = {}
    for run, tuning in r.tuning.items():
        if (run.kind, run.system) == (kind, system) and r.asks_for(Query(kind, system, kind, "purity"), run):
            for name, score in tuning["scores"].items():
                usable = name.endswith(WIDE) and name.removesuffix(WIDE) != LEFT_OUT
                if usable and all(score[f] is not None for f in FIGURES):
                    distances.setdefault(name, []).append(distance(*(score[f] for f in FIGURES)))
    means = {name: sum(values) / len(values) for name, values in distances.items()}
    return min(means, key=lambda name: means[name]) if means else None


def equally_tuned(r: Results) -> list[dict[str, Any]]:
    """SupCon minus OC, and minus tuned OC, at each number of particles, with the best readout of each.

    Returns
    -------
    list of dict
        ``kind`` and ``sample`` trained and tested on, ``particles``, ``rival`` (system), ``readouts`` of both, and by
        figure ``supcon``, ``other`` and ``difference`` as from `Estimate.to_dict`. What has not been run is left out.
    """
    rivals = [s for s in SYSTEMS if "oc" in (s, SYSTEMS[s].control_of)]
    out = []
    for kind, sample in datasets(r.kinds):
        for rival in rivals:
            readouts = [best_readout(r, kind, system) for system in (PAPER, rival)]
            if None in readouts:
                continue
            for n in r.numbers:
                row: dict[str, Any] = {"kind": kind, "sample": sample, "particles": n, "rival": rival}
                row["readouts"] = readouts
                for figure in FIGURES:
                    a, b = (
                        Query(kind, system, sample, figure, (n,), str(readout))
                        for system, readout in zip((PAPER, rival), readouts, strict=True)
                    )
                    found = {"supcon": r.combine(lambda x, y: x, a, b), "other": r.combine(lambda x, y: y, a, b)}
                    found["difference"] = r.difference(a, b)
                    row[figure] = {name: _plain(value) for name, value in found.items()}
                if row["purity"]["difference"] is not None:
                    out.append(row)
    return out


def _plain(value: Estimate | None) -> dict[str, Any] | None:
    return None if value is None else value.to_dict()


def equal_table(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of a Markdown table of what `equally_tuned` found."""
    head = ["trained on", "tested on", "particles", "rival", "readouts", "SupCon", "rival's", "efficiency", "purity"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|---:|---|---|---|---|---|---|"]
    for row in rows:
        both = [" / ".join(_number(row[f][who]) for f in FIGURES) for who in ("supcon", "other")]
        gains = [_signed(row[f]["difference"]) for f in ("efficiency", "purity")]
        names = ", ".join(name.removesuffix(WIDE) for name in row["readouts"])
        entries = [row["kind"], row["sample"], str(row["particles"]), SYSTEMS[row["rival"]].title, names, *both, *gains]
        lines.append("| " + " | ".join(entries) + " |")
    return lines


def _number(value: dict[str, Any] | None) -> str:
    return "-" if value is None or value["value"] is None else f"{value['value']:.3f}"


def _signed(value: dict[str, Any] | None) -> str:
    if value is None or value["value"] is None:
        return "-"
    if value["low"] is None:
        return f"{value['value']:+.3f}"
    return f"{value['value']:+.3f} [{value['low']:+.3f}, {value['high']:+.3f}]"
