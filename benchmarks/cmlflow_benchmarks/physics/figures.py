"""The figures of the report: distributions in the embedding, scores by energy and number of particles, resolution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import isnan
from typing import Any

import numpy as np

from cmlflow_benchmarks.physics.matrix import SYSTEMS, datasets, training_range
from cmlflow_benchmarks.physics.results import Query, Results
from cmlflow_benchmarks.physics.tables import dataset_title, readout_title
from cmlflow_benchmarks.verdicts import Estimate

COLOURS = {"supcon": "#0072b2", "oc": "#d55e00", "best": "#009e73", "slopes": "#999999"}
LOOKS = {"native": ("o", "-"), "ward": ("s", "--")}
WIDTH = 13.0
AXES = {
    "efficiency": "efficiency",
    "purity": "purity",
    "ratio": "clusters / particles",
    "resolution": "σ_eff of E_reco / E_true",
}
DISTANCES = (
    ("d_inter", "d_inter: median cosine distance\nbetween particles"),
    ("d_intra", "d_intra: 99th percentile of cosine\ndistances within particles"),
    ("margin", "margin = d_inter − d_intra"),
)


def distribution_figure(r: Results) -> Any:
    """Figure 1: d_inter, d_intra and margin of each event, by number of particles."""
    pairs = datasets(r.kinds)
    figure, panels = _panels(len(DISTANCES), len(pairs), 3.3)
    numbers = [n for n in r.numbers if n > 1]
    systems = r.systems
    for column, (kind, sample) in enumerate(pairs):
        for row, (name, title) in enumerate(DISTANCES):
            ax = panels[row][column]
            for i, system in enumerate(systems):
                for place, n in enumerate(numbers):
                    values = _per_event(r, Query(kind, system, sample, name, (n,)), name)
                    if len(values):
                        x = place + 0.74 * ((i + 0.5) / len(systems) - 0.5)
                        _box(ax, x, 0.56 / len(systems), values, COLOURS[system])
            if name == "margin":
                ax.axhline(0, color="0.35", linewidth=0.9, zorder=0)
            ax.set_xticks(range(len(numbers)), [str(n) for n in numbers])
            ax.set_xlim(-0.6, len(numbers) - 0.4)
            _dress(ax, "particles per event", title if column == 0 else "")
            if row == 0:
                ax.set_title(dataset_title(kind, sample))
    _share_rows(panels)
    handles = [_patch(COLOURS[s], SYSTEMS[s].title) for s in systems]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=11)
    return figure


def energy_figure(r: Results, figures: Sequence[str] = ("efficiency", "purity")) -> Any:
    """Figures 2 and 4: scores by particle energy, all numbers of particles above one together."""
    edges = r.size.energy_bins
    numbers = tuple(n for n in r.numbers if n > 1)
    bins = list(pairwise(edges))

    def points(query: Query) -> list[tuple[float, Estimate | None]]:
        return [((a + b) / 2, r.estimate(replace(query, particles=numbers, energy=(a, b)))) for a, b in bins]

    width = min(b - a for a, b in bins)
    figure, panels = _curves(r, figures, points, "particle energy [GeV]", 0.28 * width, floor="resolution" in figures)
    for column, (kind, _) in enumerate(datasets(r.kinds)):
        for row in range(len(figures)):
            ax = panels[row][column]
            ax.axvspan(training_range(r.size, kind)[1][1], edges[-1], color="0.93", zorder=-2)
            ax.set_xlim(edges[0], edges[-1])
            ax.set_xticks(edges, [f"{e:g}" for e in edges])
    return figure


def number_figure(r: Results, figures: Sequence[str] = ("efficiency", "purity", "ratio")) -> Any:
    """Figure 3: scores by number of particles."""

    def points(query: Query) -> list[tuple[float, Estimate | None]]:
        return [(float(i), r.estimate(replace(query, particles=(n,)))) for i, n in enumerate(r.numbers)]

    figure, panels = _curves(r, figures, points, "particles per event", 0.3, floor=False)
    for column, (kind, _) in enumerate(datasets(r.kinds)):
        most = training_range(r.size, kind)[0][1]
        first = sum(n <= most for n in r.numbers)
        for row in range(len(figures)):
            ax = panels[row][column]
            ax.axvspan(first - 0.5, len(r.numbers) - 0.5, color="0.93", zorder=-2)
            ax.set_xlim(-0.5, len(r.numbers) - 0.5)
            ax.set_xticks(range(len(r.numbers)), [str(n) for n in r.numbers])
    return figure


def _curves(
    r: Results,
    figures: Sequence[str],
    points: Callable[[Query], list[tuple[float, Estimate | None]]],
    along: str,
    room: float,
    floor: bool,
) -> tuple[Any, Any]:
    pairs = datasets(r.kinds)
    figure, panels = _panels(len(figures), len(pairs), 3.5)
    handles: dict[str, Any] = {}
    curves = [(system, readout) for system in r.systems for readout in LOOKS]
    for column, (kind, sample) in enumerate(pairs):
        for row, name in enumerate(figures):
            ax = panels[row][column]
            for i, (system, readout) in enumerate(curves):
                label = f"{SYSTEMS[system].title}, {readout_title(r, kind, system, readout)}"
                shift = room * ((i + 0.5) / len(curves) - 0.5)
                found = points(Query(kind, system, sample, name, readout=readout))
                handle = _curve(ax, found, shift, COLOURS[system], *LOOKS[readout], label)
                if handle is not None:
                    handles.setdefault(label, handle)
            if floor and name == "resolution":
                each = (points(Query(kind, system, sample, "floor")) for system in r.systems)
                found = next((f for f in each if any(e for _, e in f)), [])
                handle = _curve(ax, found, 0.0, "0.25", "", ":", "perfect pattern recognition")
                if handle is not None:
                    handles.setdefault("perfect pattern recognition", handle)
            if name == "ratio":
                ax.axhline(1, color="0.35", linewidth=0.9, zorder=0)
            _dress(ax, along, AXES[name] if column == 0 else "")
            if row == 0:
                ax.set_title(dataset_title(kind, sample))
            if not ax.has_data() or not any(c.get_label() for c in ax.containers):
                ax.text(0.5, 0.5, "not run", transform=ax.transAxes, ha="center", va="center", color="0.5", fontsize=13)
    _share_rows(panels)
    for row, name in enumerate(figures):
        if name in ("efficiency", "purity"):
            low = min(ax.get_ylim()[0] for ax in panels[row])
            panels[row][0].set_ylim(max(-0.03, low), 1.03)
        else:
            panels[row][0].set_ylim(bottom=0)
    if handles:
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="outside upper center",
            ncols=min(len(handles), 3),
            frameon=False,
            fontsize=11,
        )
    return figure, panels


def _panels(rows: int, columns: int, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height * rows + 0.4), layout="constrained")
    return figure, figure.subplots(rows, max(columns, 1), squeeze=False, sharey="row")


def _share_rows(panels: Any) -> None:
    for row in panels:
        for ax in row[1:]:
            ax.tick_params(labelleft=False)


def _dress(ax: Any, x: str, y: str) -> None:
    ax.set_xlabel(x, fontsize=11)
    ax.set_ylabel(y, fontsize=11)
    ax.tick_params(labelsize=10)
    ax.grid(alpha=0.3)
    ax.set_axisbelow(True)


def _curve(
    ax: Any, points: list[tuple[float, Estimate | None]], shift: float, colour: str, marker: str, line: str, label: str
) -> Any:
    there = [(x + shift, e.value) for x, e in points if e is not None and not isnan(e.value)]
    if not there:
        return None
    x, y = np.array([p[0] for p in there]), np.array([p[1].value for p in there])
    limits = np.array([[v.value - v.low, v.high - v.value] for _, v in there]).T
    error = np.clip(np.nan_to_num(limits), 0, None) if marker else None
    return ax.errorbar(
        x, y, error, color=colour, marker=marker, linestyle=line, label=label, markersize=5.5, linewidth=1.5,
        elinewidth=1.1, capsize=2.5, markerfacecolor=colour if line == "-" else "white",
    )  # fmt: skip


def _per_event(r: Results, query: Query, name: str) -> Any:
    """The figure of each event, of all seeds."""
    found = [r.rows(c, query) for c in r.runs if r.asks_for(query, c)]
    values = [rows.embedding[name] for rows in found if rows is not None]
    joined = np.concatenate(values) if values else np.empty(0)
    return joined[np.isfinite(joined)]


def _box(ax: Any, x: float, width: float, values: Any, colour: str) -> None:
    ax.boxplot(
        [values], positions=[x], widths=width, whis=(5, 95), showfliers=False, patch_artist=True, manage_ticks=False,
        boxprops={"facecolor": colour, "alpha": 0.35, "edgecolor": colour},
        medianprops={"color": colour, "linewidth": 2},
        whiskerprops={"color": colour}, capprops={"color": colour},
    )  # fmt: skip
    spread = np.random.default_rng(0).uniform(-0.3, 0.3, len(values)) * width
    ax.plot(x + spread, values, ".", color=colour, markersize=2.5, alpha=0.55)


def _patch(colour: str, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, alpha=0.5, edgecolor=colour, label=label)
