"""What models of particle flow have to reach, and whether they do."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import Any

from cmlflow.metrics.intervals import Interval
from cmlflow_benchmarks.flow.plan import ALWAYS_1, GUNS, JETS, PARAMETRIC, RHO, WITHIN
from cmlflow_benchmarks.verdicts import FAILS, HOLDS, NOT_RUN, OPEN

F1, LEAD = 0.92, 0.10
WIDTHS = {GUNS[0]: 3.0, GUNS[-1]: 2.0}
"""How much narrower the core of the neutral residual has to be than that of the parametric algorithm."""
BIAS = 0.03
BARYCENTRE = 3.0
GUN_MODEL = "pi-gun-supcon"
POINTNET_F1, JETS_F1 = 0.955, 0.74
NETWORK_WIDTHS = {
    "pi-gun-graph": {GUNS[0]: 2.2, GUNS[-1]: 1.8},
    "pi-gun-deepset": {GUNS[0]: 1.8},
    "pi-gun-convnet": {GUNS[0]: 1.7},
    "pi-gun-unet": {GUNS[0]: 1.7},
}


def goals(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every goal with its figure and verdict.

    Parameters
    ----------
    results : dict of str to dict
        By sample, what `cmlflow_benchmarks.flow.testing.measured` gave; samples that were not run are missing.

    Returns
    -------
    list of dict
        ``goal``; ``sample``; ``value`` [value, low, high], None where it has not been run; ``met``: whether the value
        is where it should be; ``verdict``: the same of the whole interval, "not decided" where its ends disagree.
    """
    out = []
    model = "rho-supcon"
    out.append(_least(f"{model}: energy-weighted F1 ≥ {F1:g}", RHO, _figure(results, RHO, model), F1))
    for reference, title in ((ALWAYS_1, "always 1"), (WITHIN, "the nearest track within the radius")):
        lead = _versus(results, RHO, model, reference, "association", "weighted_f1_difference")
        out.append(_least(f"{model}: energy-weighted F1 at least {LEAD:.2f} above {title}", RHO, lead, LEAD))
    for gun, least in WIDTHS.items():
        ratio = _versus(results, gun, GUN_MODEL, PARAMETRIC, "neutral", "core_sigma_ratio")
        text = f"{_range(gun)}: core σ of the neutral residual {least:g} times narrower than parametric"
        out.append(_least(text, gun, ratio, least))
    for gun in GUNS:
        bias = _figure(results, gun, GUN_MODEL, "neutral", "bias")
        out.append(_within(f"{_range(gun)}: |bias| of the neutral residual ≤ {BIAS:g}", gun, bias, BIAS))
    for gun in GUNS:
        ratio = _versus(results, gun, GUN_MODEL, PARAMETRIC, "neutral", "barycentre_mean_ratio")
        text = f"{_range(gun)}: barycentres in ECAL2 {BARYCENTRE:g} times nearer than parametric"
        out.append(_least(text, gun, ratio, BARYCENTRE))
    return out + _network_goals(results)


def _network_goals(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of the networks of cells."""
    model = "rho-pointnet"
    out = [_least(f"{model}: energy-weighted F1 ≥ {POINTNET_F1:g}", RHO, _figure(results, RHO, model), POINTNET_F1)]
    lead = _versus(results, RHO, model, "rho-supcon", "association", "weighted_f1_difference")
    out.append(_least(f"{model}: energy-weighted F1 not below rho-supcon", RHO, lead, 0.0))
    bias = _figure(results, RHO, model, "neutral", "bias")
    out.append(_within(f"{model}: |bias| of the neutral residual ≤ 0.01", RHO, bias, 0.01))
    f1 = _figure(results, JETS, "jets-pointnet")
    out.append(_least(f"jets-pointnet: energy-weighted F1 ≥ {JETS_F1:g}", JETS, f1, JETS_F1))
    for name, widths in NETWORK_WIDTHS.items():
        for gun, least in widths.items():
            ratio = _versus(results, gun, name, PARAMETRIC, "neutral", "core_sigma_ratio")
            text = f"{name}, {_range(gun)}: core σ of the neutral residual {least:g} times narrower than parametric"
            out.append(_least(text, gun, ratio, least))
    for name in NETWORK_WIDTHS:
        for gun in GUNS:
            bias = _figure(results, gun, name, "neutral", "bias")
            out.append(_within(f"{name}, {_range(gun)}: |bias| of the neutral residual ≤ {BIAS:g}", gun, bias, BIAS))
    return out


def _figure(
    results: Mapping[str, Any], sample: str, system: str, table: str = "association", name: str = "weighted_f1"
) -> Interval:
    found = results.get(sample, {}).get(table, {}).get("figures", {}).get(system, {}).get(name)
    return interval(found)


def _versus(results: Mapping[str, Any], sample: str, system: str, against: str, table: str, name: str) -> Interval:
    for pair in results.get(sample, {}).get("pairs", []):
        if (pair["system"], pair["against"]) == (system, against):
            return interval(pair.get(table, {}).get(name))
    return interval(None)


def interval(value: Any) -> Interval:
    """From [value, low, high] with None for what is not known."""
    return Interval(*(float("nan") if x is None else float(x) for x in value or (None,)))


def _least(text: str, sample: str, value: Interval, least: float) -> dict[str, Any]:
    return _goal(text, sample, value, bool(value >= least), bool(value.low >= least), bool(value.high < least))


def _within(text: str, sample: str, value: Interval, most: float) -> dict[str, Any]:
    inside = -most <= value.low and value.high <= most
    return _goal(text, sample, value, abs(value) <= most, inside, value.low > most or value.high < -most)


def _goal(text: str, sample: str, value: Interval, met: bool, holds: bool, fails: bool) -> dict[str, Any]:
    if isnan(value):
        return {"goal": text, "sample": sample, "value": None, "met": None, "verdict": NOT_RUN}
    verdict = HOLDS if holds else FAILS if fails else OPEN
    return {"goal": text, "sample": sample, "value": value.to_list(), "met": met, "verdict": verdict}


def _range(gun: str) -> str:
    low, high = gun.split("-")[-2:]
    return f"π gun {low}–{high} GeV"
