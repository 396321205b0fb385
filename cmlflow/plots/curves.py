"""Figures of merit by number of particles and by energy, and training curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from cmlflow.metrics.intervals import Interval
from cmlflow.metrics.reconstruction import RATES
from cmlflow.metrics.scores import Evaluation
from cmlflow.plots.colours import LINES

MARKERS = "osD^vPX<>h"
STYLES = ("-", "--", "-.", ":")


def score_figure(
    evaluations: Mapping[str, Evaluation], by: str = "multiplicity", figures: Sequence[str] | None = None
) -> Any:
    """Scores of several clusterings with their intervals, by number of particles or by particle energy.

    Parameters
    ----------
    evaluations : dict of str to Evaluation
        By the name of the clustering, as `cmlflow.evaluate` returns them.
    by : {"multiplicity", "energy"}
    figures : sequence of str, optional
        Figures to show, one panel each; efficiency, purity and ratio by default, by energy efficiency, purity and
        resolution.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        `by` is neither of the two, or a figure is not known by multiplicity or energy.

    References
    ----------
    arXiv:2603.23356, figures 2-4.
    """
    from matplotlib.figure import Figure

    if by not in ("multiplicity", "energy"):
        raise ValueError(f"by is {by!r}, expected 'multiplicity' or 'energy'")
    if figures is None:
        figures = ("efficiency", "purity", "ratio" if by == "multiplicity" else "resolution")
    figure = Figure(figsize=(4.4 * len(figures), 4.0), layout="constrained")
    axes = figure.subplots(1, len(figures), squeeze=False)[0]
    for ax, name in zip(axes, figures, strict=True):
        for i, (label, evaluation) in enumerate(evaluations.items()):
            points = [(x, half, row) for x, half, row in _points(evaluation, by) if _known(row, name, by)]
            if points:
                _curve(ax, i, len(evaluations), label, [(x, half, row[name]) for x, half, row in points], by)
        ax.set_title(name.replace("_", " "), fontsize=11)
        ax.set_xlabel("particles per event" if by == "multiplicity" else "particle energy [GeV]")
        ax.set_ylabel(_axis(name))
        if name == "ratio":
            ax.axhline(1, color="0.6", linewidth=0.8, zorder=0)
        if by == "multiplicity":
            ax.set_xticks(sorted({p for e in evaluations.values() for p in e.by_multiplicity}))
        if name in RATES and name != "ratio" and ax.has_data():
            ax.set_ylim(max(-0.03, ax.get_ylim()[0] - 0.05), 1.03)
        ax.grid(alpha=0.25)
    handles, names = axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 5), frameon=False, fontsize=9)
    return figure


def training_figure(runs: Mapping[str, str | Path | Sequence[Mapping[str, Any]]]) -> Any:
    """Training and validation loss by epoch.

    Parameters
    ----------
    runs : dict of str to path or sequence of dict
        By the name of the run: its ``log.jsonl``, the folder with it, or the records (``History.records``).

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        A line of a log is not a record; names file and line.
    FileNotFoundError
        No such log.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    ax = figure.subplots()
    for i, (name, run) in enumerate(runs.items()):
        records = read_log(run) if isinstance(run, (str, Path)) else run
        for key, style, what in (("loss", "--", "training"), ("validation_loss", "-", "validation")):
            shown = [(r["epoch"], r[key]) for r in records if r.get(key) is not None]
            if shown:
                mark = "." if len(shown) < 40 else ""
                label = f"{name}, {what}"
                ax.plot(*zip(*shown, strict=True), style, marker=mark, color=LINES[i % len(LINES)], label=label)
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss per event")
    ax.grid(alpha=0.25)
    if ax.lines:
        ax.legend(frameon=False, fontsize=9)
    return figure


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """Records of a training log, one for each epoch; `path` is the file ``log.jsonl`` or the folder with it."""
    path = Path(path) / "log.jsonl" if Path(path).is_dir() else Path(path)
    records = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            record = json.loads(line)
            record["epoch"]
        except (ValueError, KeyError, TypeError) as err:
            raise ValueError(f"{path}, line {number}: not a record of a training log ({err!r})") from err
        records.append(record)
    return records


def _points(evaluation: Evaluation, by: str) -> list[tuple[float, float, Mapping[str, Any]]]:
    """Position, half width of the bin, and figures."""
    if by == "multiplicity":
        return [(float(p), 0.0, row) for p, row in evaluation.by_multiplicity.items()]
    return [((r["low"] + r["high"]) / 2, (r["high"] - r["low"]) / 2, r) for r in evaluation.by_energy]


def _known(row: Mapping[str, Any], name: str, by: str) -> bool:
    if name not in row or not isinstance(row[name], Interval):
        known = ", ".join(k for k, v in row.items() if isinstance(v, Interval))
        raise ValueError(f"figures: {name!r} is not known by {by}; there are {known}")
    return not isnan(row[name])


def _curve(ax: Any, i: int, n: int, label: str, points: list[tuple[float, float, Interval]], by: str) -> None:
    x, half = (np.array([point[k] for point in points], float) for k in (0, 1))
    y = np.array([float(value) for *_, value in points])
    limits = np.array([[v.value - v.low, v.high - v.value] for *_, v in points]).T
    error = np.clip(np.nan_to_num(limits), 0, None)
    # Clusterings are drawn side by side, so that their intervals can be told apart.
    room = 0.5 if by == "multiplicity" else 0.9 * half
    x = x + room * ((i + 0.5) / n - 0.5)
    ax.errorbar(
        x,
        y,
        error,
        label=label,
        color=LINES[i % len(LINES)],
        marker=MARKERS[i % len(MARKERS)],
        linestyle=STYLES[i // 5 % len(STYLES)] if by == "multiplicity" else "none",
        markersize=5,
        linewidth=1.2,
        elinewidth=1,
        capsize=2,
    )


def _axis(name: str) -> str:
    units = {
        "ratio": "clusters / particles",
        "resolution": "σ_eff of E_reco / E_true",
        "resolution_floor": "σ_eff of E_reco / E_true, perfect clusters",
        "response": "E_reco / E_true",
    }
    return units.get(name, name.replace("_", " "))
