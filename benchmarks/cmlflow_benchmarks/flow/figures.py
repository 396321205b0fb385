"""Figures of the report, drawn from what is kept of each sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cmlflow.metrics import SystemFigures
from cmlflow.plots import bar_figure, energy_figure, residual_figure
from cmlflow.plots.reliability import binned_reliability_figure
from cmlflow_benchmarks.flow.plan import ALWAYS_0, ALWAYS_1, HARD, NEAREST, PARAMETRIC, TRUTH, WITHIN, is_model

Result = Mapping[str, Any]


def f1_figure(result: Result) -> Any:
    """F1 of cells and tracks by system, plain and weighted with energy."""
    table = SystemFigures.from_dict(result["association"])
    models = [m for m in table if is_model(m)]
    shown = [n for n in (ALWAYS_1, NEAREST, WITHIN, PARAMETRIC, *models) if n in table]
    return bar_figure({name: table[name] for name in shown}, ("f1", "weighted_f1"), label="F1 of cells and tracks")


def residuals_figure(result: Result) -> Any:
    """Residuals of the neutral energy: parametric and soft shares of the models over each other."""
    chosen = {
        name: [float("nan") if v is None else v for v in values]
        for name, values in result["residuals"].items()
        if name not in (ALWAYS_0, WITHIN) and not name.endswith(HARD)
    }
    return residual_figure(chosen)


def jet_figure(result: Result) -> Any:
    """Response and resolution of jets by their true energy."""
    return energy_figure(_of(result["jets"]), ("energy_bias", "energy_sigma_eff"), label="true jet energy [GeV]")


def candidate_figure(result: Result, figures: Sequence[str]) -> Any:
    """Figures of the candidates by true energy of the particle."""
    table = _of(result["candidates"], without=(TRUTH,))
    return energy_figure(table, figures, label="true energy of the particle [GeV]")


def reliability_of(result: Result) -> Any:
    """True against predicted shares of parametric and of the models."""
    return binned_reliability_figure(result["reliability"], label="part of the energy")


def _of(table: Mapping[str, Any], without: Sequence[str] = ()) -> SystemFigures:
    """A table without hard shares, for clearer figures."""

    def chosen(t: SystemFigures) -> SystemFigures:
        own = {n: row for n, row in t.figures.items() if n not in without and not n.endswith(HARD)}
        parts = [chosen(part) for part in t.by_energy]
        return SystemFigures(own, {}, None, t.n, t.low, t.high, parts)

    return chosen(SystemFigures.from_dict(table))
