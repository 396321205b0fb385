"""The measurements of the speed benchmark as lines, as tables, and against the targets set for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from cmlflow_benchmarks.rows import ROWS

Entry = Mapping[str, Any]

# (row, size, rival, what is compared, sense, target); None: cmlflow alone
TARGETS: tuple[tuple[str, int, str | None, str, str, float], ...] = (
    ("step-supcon", 4000, "textbook", "ratio", ">=", 7.0),
    ("step-supcon", 8000, "textbook", "ratio", ">=", 10.0),
    ("step-supcon", 4000, "textbook", "memory", "<=", 1 / 8),
    ("step-supcon", 8000, "textbook", "memory", "<=", 1 / 8),
    ("step-supcon", 8000, None, "floor", "<=", 2.5),
    ("supcon", 4000, "pytorch-metric-learning", "ratio", ">=", 15.0),
    ("knn-64d", 10000, "torch-cluster", "ratio", ">=", 10.0),
    ("knn-64d", 10000, "faiss", "ratio", ">=", 1.5),
    ("density", 10000, "full matrix, per hit", "ratio", ">=", 10.0),
    ("ward", 10000, "scikit-learn", "ratio", ">=", 5.0),
    ("association", 8000, "loops", "ratio", ">=", 100.0),
    ("association", 30000, "loops", "ratio", ">=", 100.0),
    ("embedding-metrics", 2000, "loops", "ratio", ">=", 100.0),
    ("inference", 32000, None, "exponent", "<=", 1.8),
    ("best", 8000, "SupCon, density (another algorithm)", "ratio", ">=", 0.5),
)


def floor_of(entry: Entry, gemm: Mapping[str, float]) -> float | None:
    """Time of the matrix products alone at the measured rate [s]."""
    rate = gemm.get(entry["precision"])
    return entry["flops"] / rate / 1e9 if entry["flops"] and rate else None


def exponent(entries: Sequence[Entry]) -> float | None:
    """Slope of log(time) over log(size) of cmlflow, fitted to all sizes of a row; None for fewer than two."""
    points = [(math.log(e["size"]), math.log(e["cmlflow"]["median"])) for e in entries]
    if len(points) < 2:
        return None
    x, y = (sum(p[i] for p in points) / len(points) for i in (0, 1))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


def targets(entries: Sequence[Entry], gemm: Mapping[str, float]) -> list[dict[str, Any]]:
    """What was aimed for and what was reached, of the rows that were measured."""
    out = []
    for row, size, rival, what, sense, target in TARGETS:
        entry = next((e for e in entries if e["row"] == row and e["size"] == size), None)
        reached = None if entry is None else _reached(entry, rival, what, entries, gemm)
        if reached is not None:
            met = reached >= target if sense == ">=" else reached <= target
            found = {"row": row, "size": size, "rival": rival, "what": what, "sense": sense, "target": target}
            out.append(found | {"reached": reached, "met": met})
    return out


def _reached(
    entry: Entry, rival: str | None, what: str, entries: Sequence[Entry], gemm: Mapping[str, float]
) -> float | None:
    if what == "exponent":
        return exponent([e for e in entries if e["row"] == entry["row"]])
    if what == "floor":
        floor = floor_of(entry, gemm)
        return entry["cmlflow"]["median"] / floor if floor else None
    other = next((r for r in entry["rivals"] if r["name"] == rival), None)
    if other is None:
        return None
    if what == "ratio":
        ratio: float = other["ratio"]["median"]
        return ratio
    if "peak_mb" in other and "peak_mb" in entry["cmlflow"]:
        share: float = entry["cmlflow"]["peak_mb"] / max(other["peak_mb"], 1e-9)
        return share
    return None


def line(entry: Entry, found: Mapping[str, Any]) -> str:
    """One case for the terminal."""
    row = ROWS[entry["row"]]
    parts = [f"{row.title}, {entry['size']} {row.unit}: {seconds(entry['cmlflow']['median'])}"]
    floor = floor_of(entry, found.get("gemm_gflops", {}))
    if floor:
        parts.append(f"{entry['cmlflow']['median'] / floor:.1f} x floor")
    parts += [f"{r['name']} {seconds(r['median'])} ({r['ratio']['median']:.1f} x)" for r in entry["rivals"]]
    return "; ".join(parts)


def markdown(found: Mapping[str, Any]) -> str:
    """Everything as a Markdown page without a title."""
    gemm, place = found.get("gemm_gflops", {}), found["machine"]
    rates = ", ".join(f"{rate:.0f} GFLOP/s in {kind}" for kind, rate in gemm.items())
    used = ", ".join(f"{name} {version}" for name, version in found.get("versions", {}).items())
    counts = ", ".join(f"{name}: {n}" for name, n in found.get("threads", {}).items())
    where = f"{place['cpu']}, {place['cores']} cores, {place['memory_gb']:g} GB, {place['system']}"
    lines = [
        f"- Machine: {where}{', ' + place['gpu'] if 'gpu' in place else ''}; Python {place['python']}; {found['date']}",
        f"- Matrix products: {rates}",
        f"- Threads: {counts}",
        f"- Versions: {used}",
        f"- Embeddings: {found.get('model', '-')}",
        "",
    ]
    if found.get("targets"):
        lines += ["| target | wanted | reached | |", "|---|---:|---:|---|"]
        for t in found["targets"]:
            value = f"{t['reached']:.3f}" if t["what"] == "memory" else f"{t['reached']:.3g}"
            sense = "≥" if t["sense"] == ">=" else "≤"
            lines.append(f"| {_name(t)} | {sense} {t['target']:.3g} | {value} | {'met' if t['met'] else 'missed'} |")
        lines.append("")
    lines.append("| row | size | cmlflow | × floor | MB | rival | time | ratio | MB | difference |")
    lines.append("|---|---:|---|---:|---:|---|---|---|---:|---:|")
    for entry in found["rows"]:
        lines += _lines(entry, gemm)
    fits = {name: exponent([e for e in found["rows"] if e["row"] == name]) for name in ("step-supcon", "inference")}
    shown = [f"{ROWS[name].title} {slope:.2f}" for name, slope in fits.items() if slope is not None]
    if shown:
        lines += ["", "Time of cmlflow grows with the number of hits to the power of: " + ", ".join(shown) + "."]
    return "\n".join(lines) + "\n"


def seconds(value: float) -> str:
    """A time with three digits and its unit."""
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"


def _lines(entry: Entry, gemm: Mapping[str, float]) -> list[str]:
    row, own = ROWS[entry["row"]], entry["cmlflow"]
    floor = floor_of(entry, gemm)
    start = [row.title, f"{entry['size']:,} {row.unit}", _times(own), f"{own['median'] / floor:.1f}" if floor else ""]
    start.append(_memory(own))
    lines = []
    for rival in entry["rivals"] or [None]:
        if rival is None:
            cells = [""] * 5
        else:
            r = rival["ratio"]
            ratio = f"**{r['median']:.3g}** [{r['low']:.3g}, {r['high']:.3g}]"
            difference = "" if rival["difference"] is None else f"{rival['difference']:.1g}"
            cells = [rival["name"], _times(rival), ratio, _memory(rival), difference]
        lines.append("| " + " | ".join(start + cells) + " |")
        start = ["", "", "", "", ""]
    return lines


def _times(part: Entry) -> str:
    if len(part["seconds"]) < 2:
        return f"{seconds(part['median'])} (once)"
    return f"{seconds(part['median'])} [{seconds(part['low'])}, {seconds(part['high'])}]"


def _memory(part: Entry) -> str:
    return f"{part['peak_mb']:.0f}" if "peak_mb" in part else ""


def _name(target: Entry) -> str:
    row = ROWS[target["row"]]
    what = {
        "ratio": f"times faster than {target['rival']}",
        "memory": f"memory, share of {target['rival']}",
        "floor": "times the floor",
        "exponent": "growth exponent",
    }
    size = "all sizes" if target["what"] == "exponent" else f"{target['size']:,} {row.unit}"
    return f"{row.title}, {size}: {what[target['what']]}"
