"""Figures of particle flow: residuals, figures by energy, F1 bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.metrics.intervals import Interval
from cmlflow.metrics.matching import numpy_array
from cmlflow.metrics.residuals import core
from cmlflow.metrics.systems import SystemFigures
from cmlflow.plots.colours import LINES
from cmlflow.plots.curves import MARKERS

Array = NDArray[np.float64]

LABELS = {
    "energy_bias": "bias of E / E$_{true}$",
    "energy_median": "median of E / E$_{true}$ − 1",
    "energy_core_sigma": "core σ of E / E$_{true}$",
    "energy_sigma_eff": "σ$_{eff}$ of E / E$_{true}$",
    "angle_median": "median angle to the true jet [mrad]",
    "core_sigma": "core σ of the neutral residual",
    "bias": "bias of the neutral residual",
    "barycentre_mean": "mean distance of the barycentres [cm]",
}


def residual_figure(
    residuals: Mapping[str, ArrayLike],
    *,
    limits: tuple[float, float] = (-1.2, 2.0),
    label: str = "neutral energy, (E$_{pred}$ − E$_{true}$) / E$_{true}$",
) -> Any:
    """Distributions of the residuals of several systems over each other, with core, bias and tails in the legend.

    Parameters
    ----------
    residuals : dict of str to array_like of shape (n,), float
        By the name of the system; nan are left out.
    limits : (float, float)
        Ends of the axis; values beyond are in the first and last bin.
    label : str
        Of the axis.

    Returns
    -------
    matplotlib.figure.Figure

    References
    ----------
    F. A. Di Bello et al., arXiv:2003.08863, figure 5.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    ax = figure.subplots()
    bins = np.linspace(*limits, 66).tolist()
    for i, (name, given) in enumerate(residuals.items()):
        value = numpy_array(given).astype(np.float64)
        value = value[np.isfinite(value)]
        if not len(value):
            continue
        mean, sigma = core(value)
        colour, far = LINES[i % len(LINES)], float(np.mean(np.abs(value - mean) > 3 * sigma)) if sigma > 0 else 0.0
        text = f"{name}\ncore σ {sigma:.3f}, bias {mean:+.3f}, tails {100 * far:.1f} %"
        inside = np.clip(value, *limits)
        weight = np.full(len(value), 1 / len(value))
        ax.hist(inside, bins, weights=weight, histtype="stepfilled", color=colour, alpha=0.15)
        ax.hist(inside, bins, weights=weight, histtype="step", color=colour, linewidth=1.5, label=text)
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    ax.set_xlim(*limits)
    ax.set_xlabel(label)
    ax.set_ylabel("share of the events")
    _legend(figure, ax)
    return figure


def energy_figure(
    systems: SystemFigures, figures: Sequence[str], *, label: str = "true energy [GeV]", versus: bool = False
) -> Any:
    """Figures of several systems in bins of true energy, with bands for their intervals: response and resolution.

    Parameters
    ----------
    systems : SystemFigures
        With `by_energy`, as from `cmlflow.metrics.compare_jets`.
    figures : sequence of str
        One panel each, such as ``("energy_bias", "energy_sigma_eff")``.
    label : str
        Of the axis of energy.
    versus : bool
        Show `versus` instead of the figures themselves.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        A figure is not known; lists those that are.
    """
    from matplotlib.figure import Figure

    known = list(dict.fromkeys(n for own in (systems.versus if versus else systems.figures).values() for n in own))
    for name in figures:
        if known and name not in known:
            raise ValueError(f"figures: {name!r} is not known; there are {', '.join(known)}")
    figure = Figure(figsize=(4.6 * max(len(figures), 1), 4.1), layout="constrained")
    axes = figure.subplots(1, max(len(figures), 1), squeeze=False)[0]
    for ax, name in zip(axes, figures, strict=False):
        for i, system in enumerate(systems.figures):
            points = []
            for part in systems.by_energy:
                value = (part.versus if versus else part.figures).get(system, {}).get(name)
                if value is not None and not isnan(value) and part.low is not None and part.high is not None:
                    points.append((part.low, part.high, value))
            if points:
                _band(ax, i, system, points)
        if name.endswith(("bias", "median", "_difference")) and not name.startswith(("angle", "barycentre")):
            ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
        if name.endswith("_ratio"):
            ax.axhline(1, color="0.6", linewidth=0.8, zorder=0)
        elif ("sigma" in name or name.startswith(("angle", "barycentre"))) and ax.has_data():
            ax.set_ylim(bottom=0)
        ax.set_xlabel(label)
        ax.set_ylabel(LABELS.get(name, name.replace("_", " ")))
        ax.grid(alpha=0.25)
    _shared_legend(figure, axes)
    return figure


def bar_figure(
    systems: Mapping[str, Mapping[str, Interval]], figures: Sequence[str] = ("f1", "weighted_f1"), *, label: str = ""
) -> Any:
    """Figures of several systems as bars with their intervals and values.

    Parameters
    ----------
    systems : dict of str to dict of str to Interval
        As from `cmlflow.metrics.compare_association`, or of several `cmlflow.metrics.evaluate_association`.
    figures : sequence of str
        One group of bars each.
    label : str
        Of the axis.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    n = max(len(systems), 1)
    figure = Figure(figsize=(max(5.0, 0.75 * n * len(figures) + 2.2), 4.2), layout="constrained")
    ax = figure.subplots()
    width = 0.84 / n
    for i, (system, own) in enumerate(systems.items()):
        values = [own[name] if name in own else Interval(float("nan")) for name in figures]
        x = np.arange(len(figures)) + (i - (n - 1) / 2) * width
        y = np.array([float(v) for v in values])
        error = np.clip(np.nan_to_num(np.array([[v.value - v.low, v.high - v.value] for v in values]).T), 0, None)
        colour = LINES[i % len(LINES)]
        ax.bar(x, y, 0.92 * width, color=colour, alpha=0.8, label=system)
        ax.errorbar(x, y, error.reshape(2, -1), fmt="none", ecolor="0.15", elinewidth=1, capsize=3)
        for place, value in zip(x, values, strict=True):
            if not isnan(value):
                top = value.value if isnan(value.high) else value.high
                ax.annotate(f"{value.value:.3f}", (place, top), (0, 3), textcoords="offset points",
                            ha="center", fontsize=8)  # fmt: skip
    ax.set_xticks(np.arange(len(figures)), [_named(name) for name in figures])
    ax.set_ylabel(label)
    ax.set_axisbelow(True)
    ax.grid(axis="y", alpha=0.25)
    if ax.has_data():
        ax.set_ylim(0, max(1.0, ax.get_ylim()[1]) * 1.05)
    _shared_legend(figure, [ax])
    return figure


def _band(ax: Any, i: int, system: str, points: list[tuple[float, float, Interval]]) -> None:
    x = np.array([(low + high) / 2 for low, high, _ in points])
    y = np.array([v.value for *_, v in points])
    low, high = (np.array([getattr(v, end) for *_, v in points]) for end in ("low", "high"))
    colour = LINES[i % len(LINES)]
    ax.plot(x, y, color=colour, marker=MARKERS[i % len(MARKERS)], markersize=5, linewidth=1.4, label=system)
    known = np.isfinite(low) & np.isfinite(high)
    ax.fill_between(x, low, high, where=known, color=colour, alpha=0.18, linewidth=0)
    ax.errorbar(x, y, xerr=[(b - a) / 2 for a, b, _ in points], fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.6)


def _named(name: str) -> str:
    plain = name.removeprefix("weighted_").replace("_", " ").replace("f1", "F1")
    return f"{plain}, weighted with energy" if name.startswith("weighted_") else plain


def _legend(figure: Any, ax: Any) -> None:
    handles, names = ax.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 2), frameon=False, fontsize=9)


def _shared_legend(figure: Any, axes: Sequence[Any]) -> None:
    found: dict[str, Any] = {}
    for ax in axes:
        found |= {name: handle for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    if found:
        figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=min(len(found), 5),
                      frameon=False, fontsize=9)  # fmt: skip
