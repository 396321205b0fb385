"""The report of the particle-flow benchmark: goals, tables and figures on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from cmlflow.plots.page import figure_html, table_html
from cmlflow.plots.report import Section, columns, text, write_report
from cmlflow_benchmarks.flow import figures
from cmlflow_benchmarks.flow.plan import GUNS, JETS, RHO, TRANSFER
from cmlflow_benchmarks.flow.superres import superres_section
from cmlflow_benchmarks.flow.tables import TABLES, choices, goal_rows, pair_rows, speeds, states, system_rows

Result = Mapping[str, Any]

NOTES = {
    "f1": "F1 of cells and tracks, shares above 0.5, without hits of noise; bars with 95 % intervals over events.",
    "residuals": "Residual of the neutral energy of each event of {}; what lies beyond is in the outermost bins.",
    "jets": "Bias and effective width of E / E_true of jets by true jet energy [GeV]; bands: 95 % intervals.",
    "charged": "Charged candidates by true energy [GeV]: each is judged by the cells of its own track's particle.",
    "neutral": "Neutral candidates by true energy [GeV].",
    "reliability": "Mean true share of the cells with a predicted share, of tracks and of what is neutral, weighted "
    "with energy: on the diagonal where shares are unbiased.",
    "goals": "A goal is met by its value, or by its interval where all of the 95 % interval is where it should be; "
    "“not decided” where the ends of the interval disagree.",
    "systems": "“hard” gives every cell wholly to the candidate with the largest share. Ratios are the reference's "
    "width or distance over the system's: 3 says three times better. Differences are the system's minus the "
    "reference's. Both are taken on the same resamples of events.",
    "neutral energy": "A width says something only beside its bias. Barycentres are compared in the events in which "
    "all systems of the table have neutral energy in the layer.",
    "transfer": "Trained on events of 1–3 tracks, tested on jets, beside the model trained on jets. Ratios below 1 and "
    "differences in efficiency and purity below 0 are what the transfer costs. “scale of jets”: the same candidates, "
    "with neutral energies calibrated on jets, so that what is left is the loss of pattern recognition.",
}


def write_flow_report(
    path: Path,
    results: Mapping[str, Result],
    goals: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
    fine: Mapping[str, Any] | None = None,
) -> Path:
    """Write the report.

    Parameters
    ----------
    path : Path
    results : dict of str to dict
        By sample, what `cmlflow_benchmarks.flow.testing.measured` gave.
    goals : sequence of dict
        From `cmlflow_benchmarks.flow.goals.goals`.
    facts : dict
        ``cmlflow`` (version), ``date``, ``command``.
    fine : dict, optional
        From `cmlflow_benchmarks.flow.superres.superres_figures`.
    """
    sections = [
        Section("Goals", [text(NOTES["goals"], "note"), table_html(*goal_rows(goals))]),
        Section("ρ decays: cells and tracks", _rho(results)),
        Section("Charged and neutral pion on top of each other", _guns(results)),
        Section("Jets", _jets(results)),
        Section("Transfer from few tracks to jets", _transfer(results)),
        Section("Super-resolution: fine cells from coarse ones", superres_section(fine)),
        Section("What was run", _run(results, facts)),
    ]
    absent = [name for name, on in states(results).items() if on == "not run"]
    lead = (
        "Trained models beside systems without learning on simulated events of the slab detector, made of showers that "
        "were used for nothing else. Brackets hold 95 % intervals, bootstrapped over test events that are the same for "
        f"all systems. Models that have not been run: {', '.join(absent) or 'none'}."
    )
    return write_report(path, "Particle flow: which cells belong to which track", sections, lead)


def _rho(results: Mapping[str, Result]) -> list[str]:
    if RHO not in results:
        return [text("Not run.")]
    result = results[RHO]
    parts = [text(choices(RHO, result), "note"), figure_html(figures.f1_figure(result), NOTES["f1"])]
    parts += [text(NOTES["systems"], "note"), *_tables(RHO, result), _pairs(RHO, result)]
    return [*parts, columns(_residuals(RHO, result), _reliability(result))]


def _guns(results: Mapping[str, Result]) -> list[str]:
    parts = [text(NOTES["neutral energy"], "note")]
    shown = [gun for gun in GUNS if gun in results]
    for gun in shown:
        parts += [f"<h3>{escape(gun)}</h3>", text(choices(gun, results[gun]), "note")]
        parts += [*_tables(gun, results[gun]), _pairs(gun, results[gun])]
    parts += [columns(*(_residuals(gun, results[gun]) for gun in two)) for two in (shown[:2], shown[2:]) if two]
    return [*parts, *(text(f"{gun}: not run.") for gun in GUNS if gun not in results)]


def _jets(results: Mapping[str, Result]) -> list[str]:
    if JETS not in results:
        return [text("Not run.")]
    result = results[JETS]
    parts = [text(choices(JETS, result), "note"), figure_html(figures.jet_figure(result), NOTES["jets"])]
    parts += [text(NOTES["systems"], "note"), *_tables(JETS, result), _pairs(JETS, result)]
    for kind in ("charged", "neutral"):
        names = (f"{kind}_efficiency", f"{kind}_purity")
        parts.append(figure_html(figures.candidate_figure(result, names), NOTES[kind]))
    return [*parts, columns(_residuals(JETS, result), _reliability(result))]


def _transfer(results: Mapping[str, Result]) -> list[str]:
    head, rows = pair_rows(results[JETS], TABLES[JETS], transfer=True) if JETS in results else ([], [])
    if not rows:
        return [text(f"{TRANSFER}: not run.")]
    return [text(NOTES["transfer"], "note"), table_html(head, rows)]


def _run(results: Mapping[str, Result], facts: Mapping[str, Any]) -> list[str]:
    rows = [[name, on] for name, on in states(results).items()]
    seconds = sum(r["cpu_seconds"] for r in results.values())
    resamples = ", ".join(dict.fromkeys(str(r["settings"]["bootstrap"]) for r in results.values()))
    note = (
        f"cmlflow {facts['cmlflow']}, {facts['date']}; {seconds / 60:.1f} CPU minutes; resamples: {resamples or '-'}."
    )
    return [table_html(["model", "run on"], rows), f"<pre>{escape(str(facts['command']))}</pre>", text(note, "note")]


def _tables(sample: str, result: Result) -> list[str]:
    tables = [table_html(*system_rows(result, table, sample), table.title) for table in TABLES[sample]]
    return [*tables, *([text(speeds(result), "note")] if speeds(result) else [])]


def _pairs(sample: str, result: Result) -> str:
    head, rows = pair_rows(result, TABLES[sample])
    return table_html(head, rows, "Paired, on the same events") if rows else text("No model has been run.")


def _residuals(sample: str, result: Result) -> str:
    return figure_html(figures.residuals_figure(result), NOTES["residuals"].format(sample))


def _reliability(result: Result) -> str:
    return figure_html(figures.reliability_of(result), NOTES["reliability"])
