"""The report: one page with the paper's tables and figures, made from our results, and a verdict on each claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from cmlflow.metrics import Interval
from cmlflow.plots.page import figure_html, table_html
from cmlflow.plots.report import Section, text, write_report
from cmlflow.recipes import RECIPES
from cmlflow_benchmarks.physics import figures, tables
from cmlflow_benchmarks.physics.claims import OWN
from cmlflow_benchmarks.physics.equal import FIGURES, equally_tuned
from cmlflow_benchmarks.physics.matrix import SYSTEMS, WIDE, Run, datasets, readouts_of, recipe_name, training_range
from cmlflow_benchmarks.physics.paper import SOURCE, TEXT
from cmlflow_benchmarks.physics.results import Results
from cmlflow_benchmarks.verdicts import FAILS, HOLDS, NOT_RUN, OPEN, TOO_FEW

GOALS = {HOLDS: "met", FAILS: "not met", OPEN: "within the interval", NOT_RUN: NOT_RUN, TOO_FEW: TOO_FEW}
MIXED = "mixed"
CLASSES = {HOLDS: "holds", FAILS: "fails", OPEN: "open", NOT_RUN: "absent", TOO_FEW: "absent"}


def write_physics_report(
    path: Path,
    results: Results,
    states: Mapping[Run, str],
    claims: Sequence[Mapping[str, Any]],
    goals: Sequence[Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    path : Path
    results : Results
    states : dict of Run to str
        ``done``, ``partly run`` or ``not run``.
    claims : sequence of dict
        From `cmlflow_benchmarks.physics.claims.judged`.
    goals : sequence of dict
        From `cmlflow_benchmarks.physics.goals.goals`.
    facts : dict
        ``cmlflow`` (version), ``date``, ``command``.
    """
    r = results
    made = [text(_what(r)), tables.run_table(r, dict(states)), f"<pre>{escape(str(facts['command']))}</pre>"]
    made.append(text(f"cmlflow {facts['cmlflow']}, {facts['date']}.", "note"))
    parts = [
        Section("Figure 3: by number of particles", _figure(figures.number_figure(r), "figure 3")),
        Section("Claims of the paper", [_verdict_count(claims), text(_RULE, "note"), claim_table(claims)]),
        Section(
            "Figure 2: by particle energy",
            [*_figure(figures.energy_figure(r), "figure 2"), tables.regions_table(r)],
        ),
        Section("Figure 4: energy resolution", _figure(figures.energy_figure(r, ("resolution",)), "figure 4")),
        Section("Table 2: neighbourhoods in the embedding", [text(NOTES["table 2"], "note"), tables.table_2(r)]),
        Section("Figure 1: distances in the embedding", _figure(figures.distribution_figure(r), "figure 1")),
        Section("Table 1: thresholds", [tables.table_1(r)]),
        Section("Table 3: dimension of the embedding", [text(NOTES["table 3"], "note"), tables.table_3(r)]),
        Section("SupCon against OC, event by event", _differences(r)),
        Section("SupCon and OC, equally tuned", _equal(r)),
        Section("All readouts", _all_readouts(r)),
        Section("The better recipe against the paper's", _best(r, goals)),
        Section("Variants", _controls(r)),
        Section("What was run", made),
    ]
    done = Counter(states.values())
    lead = (
        f"The comparison of {SOURCE} on simulated events from open Geant4 showers: supervised contrastive embeddings "
        "(SupCon, the paper's CML) against object condensation (OC), with the same backbone, events and schedule. "
        f"{done['done']} of {len(states)} models are done; what has not been run is shown so. Brackets hold 95 % "
        "intervals, bootstrapped over test events that are the same for all systems."
    )
    title = "Metric learning against object condensation"
    return write_report(path, title, parts, lead)


_RULE = (
    "A claim is cut into tests, each a difference that has to be above zero. A test holds where its 95 % interval and "
    "every seed lie above zero, fails where both lie below, and is not decided otherwise. A claim holds where all its "
    "tests that were run hold, and does not hold where one fails."
)
_CURVES = "mean over seeds with 95 % intervals over events. Grey: beyond the training range."
NOTES = {
    "figure 1": "One point per event, all seeds; boxes hold the middle half of the events, lines the median, whiskers "
    "90 %.",
    "figure 2": "Efficiency and purity by true energy, all events of two or more particles together; " + _CURVES,
    "figure 3": "Efficiency, purity and ratio of clusters to particles by number of particles per event; " + _CURVES,
    "figure 4": "Effective width of the calibrated response by true energy, events of two or more particles; dotted, "
    "perfect pattern recognition: each particle's own deposits. As in the paper, only particles whose best cluster is "
    "pure enter (R2S < 0.2): a system that merges most particles has its resolution from the few it separates; "
    + _CURVES,
    "best": "Thresholds of best come from auxiliary events of {}–{} particles; SupCon is tuned on the same ones, and "
    "beside that in the paper's way, on events with the numbers of particles of training. Goals compare the two with "
    "the same tuning. Best learns axes of showers and how to share hits among them from 500 events; with pions, of up "
    "to 12 particles, where the others learn their embedding from up to 5. Its energies, and so its resolution, are "
    "those of shares of hits; those of the others of whole hits. With pions it leaves hits without a label that no "
    "shower has 40 % of, some percent of the energy, where density gives every hit to a cluster. Slopes, where they "
    "are in the matrix, are x/z and y/z of the hits without a network, read by CLUE and tuned as best is; for "
    "electrons hits are then given anew by a learned shower profile.",
    "controls": "Models of the first seed. With one thing changed: inputs of SupCon as they are, in place of scaled "
    "ones; x and y projected along lines to the origin; OC trained three times as long. Own readouts.",
    "equal": "Thresholds of both come from the same auxiliary events of {}–{} particles, where both are offered Ward, "
    "CLUE and density, and OC its own inference too. Each has the readout that comes nearest to perfect "
    "efficiency, purity and ratio there. Differences are SupCon − rival, on the same test events.",
    "table 2": "Recall among the 1 and 10 nearest hits, contamination of the 10 nearest, area under the ROC curve of "
    "cosine similarity; core hits, averaged over events. The paper's events have other numbers and energies of "
    "particles in training and test: its columns serve to compare orders, not values.",
    "table 3": "Mixed model on mixed events with the numbers and energies of training, made of test showers.",
}
"""Below figures and above tables."""


def claim_table(claims: Sequence[Mapping[str, Any]]) -> str:
    """One row for each claim with its verdicts, which opens to the evidence."""
    columns = list(dict.fromkeys(name for c in claims for name in c["verdicts"] if name != MIXED))
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("claim", *columns))
    rows = []
    for claim in claims:
        found = claim["verdicts"]
        entries = "".join(f"<td>{_badge(found[c]['verdict']) if c in found else ''}</td>" for c in columns)
        if MIXED in found:
            before = sum(not c.startswith(MIXED) for c in columns)
            mixed = f'<td colspan="{len(columns) - before}">{_badge(found[MIXED]["verdict"])}</td>'
            entries = "<td></td>" * before + mixed
        where = f'<p class="note">{escape(claim["where"])}. Tested: {escape(claim["means"])}.</p>'
        evidence = "".join(_evidence(name, v["evidence"]) for name, v in found.items())
        behind = f'<details><summary class="note">figures behind</summary>{evidence}</details>' if evidence else ""
        rows.append(f"<tr><td><strong>{escape(claim['claim'])}</strong>{where}{behind}</td>{entries}</tr>")
    body = "\n".join(rows)
    return (
        f'<div class="scroll"><table class="claims"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _evidence(name: str, tests: Sequence[Mapping[str, str]]) -> str:
    run = [t for t in tests if t["outcome"] not in (NOT_RUN, TOO_FEW)]
    if not run:
        return ""
    held = sum(t["outcome"] == HOLDS for t in run)
    lines = "".join(f'<li class="{CLASSES[t["outcome"]]}">{escape(t["what"])}</li>' for t in run)
    absent = len(tests) - len(run)
    more = f"<li>{absent} more not run, or without a value</li>" if absent else ""
    return f"<p><b>{escape(name)}</b>: {held} of {len(run)} tests hold</p><ul>{lines}{more}</ul>"


def _badge(verdict: str, said: str = "") -> str:
    return f'<span class="verdict {CLASSES[verdict]}">{escape(said or verdict)}</span>'


def _met(met: bool | None) -> str:
    return "" if met is None else "met by the values" if met else "not met by the values"


def _verdict_count(claims: Sequence[Mapping[str, Any]]) -> str:
    count = Counter(v["verdict"] for c in claims for v in c["verdicts"].values())
    shown = " ".join(
        f'<span class="verdict {CLASSES[k]}">{count[k]} {k}</span>' for k in (HOLDS, FAILS, OPEN, TOO_FEW, NOT_RUN)
    )
    return f"<p>{len(claims)} claims, each on the models and samples it is about: {shown}</p>"


def _figure(figure: Any, name: str) -> list[str]:
    return [figure_html(figure, NOTES[name]), text(TEXT[name], "note")]


def _differences(r: Results) -> list[str]:
    parts = []
    if {"supcon", "oc"} <= set(r.systems):
        parts.append(tables.difference_table(r, "supcon", "oc"))
    else:
        parts.append(text("Not run: the matrix has not both systems."))
    return [*parts, tables.seed_table(r)]


def _equal(r: Results) -> list[str]:
    rows = [
        [
            tables.dataset_title(row["kind"], row["sample"]),
            row["particles"],
            SYSTEMS[row["rival"]].title,
            *row["readouts"],
        ]
        + [_interval(row[figure][who]) for figure in FIGURES for who in ("supcon", "other", "difference")]
        for row in equally_tuned(r)
    ]
    if not rows:
        return [text("Not run: no two systems are tuned on events of more particles.")]
    head = ["trained and tested on", "particles", "rival", "readout of SupCon", "of the rival"]
    head += [f"{figure}, {who}" for figure in FIGURES for who in ("SupCon", "rival", "difference")]
    return [text(NOTES["equal"].format(*r.size.wide), "note"), table_html(head, rows)]


def _interval(value: Mapping[str, Any] | None) -> Interval | str:
    if value is None or value["value"] is None:
        return "-"
    known = (float("nan") if value[name] is None else value[name] for name in ("value", "low", "high"))
    return Interval(*known)


def _best(r: Results, goals: Sequence[Mapping[str, Any]]) -> list[str]:
    if "best" not in r.systems:
        known = any(recipe_name(r.size, k, "best") in RECIPES for k in r.kinds)
        return [text("Not run." if known else "Not run: there is no recipe of that name yet.")]
    pairs = [p for p in datasets(r.kinds) if recipe_name(r.size, p[0], "best") in RECIPES]
    control = ("slopes",) if "slopes" in r.systems else ()
    wide = f"native{WIDE}"
    each = [("same tuning", wide, wide), ("SupCon as in the paper", wide, "native")]
    items = "".join(
        f"<details><summary>{_badge(g['verdict'], GOALS[g['verdict']])} {escape(g['goal'])} "
        f"<small>{_met(g['met'])}</small></summary><ul>"
        + "".join(f"<li>{escape(e)}</li>" for e in g["evidence"])
        + "</ul></details>"
        for g in goals
    )
    return [
        text(NOTES["best"].format(*r.size.wide), "note"),
        "<h3>Goals</h3>",
        items,
        "<h3>Each with its own readout</h3>",
        *(tables.readout_table(r, *pair, ("supcon", *control, "best"), ("native", wide)) for pair in pairs),
        tables.difference_table(r, "best", "supcon", each),
        *(tables.difference_table(r, "best", system, each[:1]) for system in control),
        "<h3>Both with the same readouts</h3>",
        *(
            _folded(tables.dataset_title(*p), tables.readout_table(r, *p, ("supcon", "best"), _shared(r, p[0])))
            for p in pairs
        ),
    ]


def _controls(r: Results) -> list[str]:
    if not r.controls:
        return [text("Not run.")]
    parts = [text(NOTES["controls"], "note")]
    for kind, sample in OWN:
        mine = [c for c in r.controls if any((x.kind, x.system) == (kind, c) for x in r.runs)]
        if mine:
            parts.append(tables.control_table(r, kind, sample, mine))
    return parts


def _shared(r: Results, kind: str) -> tuple[str, ...]:
    """Readouts that SupCon and `best` both have, tuned on the same events."""
    one, two = (readouts_of(r.size, Run(kind, system, 0, 1)) for system in ("supcon", "best"))
    return tuple(name for name in two if name in one and name.endswith(WIDE))


def _all_readouts(r: Results) -> list[str]:
    out = []
    for kind, sample in datasets(r.kinds):
        systems = [s for s in r.systems if recipe_name(r.size, kind, s) in RECIPES]
        out.append(_folded(tables.dataset_title(kind, sample), tables.readout_table(r, kind, sample, systems, None)))
    return out


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def _what(r: Results) -> str:
    size = r.size
    ranges = []
    for kind in r.kinds:
        (few, many), (low, high) = training_range(size, kind)
        ranges.append(f"{kind} {few}–{many} particles of {low:g}–{high:g} GeV")
    events = ", ".join(f"{events} at {n}" for n, events in sorted(size.events.items()))
    test = f"{size.energy_bins[0]:g}–{size.energy_bins[-1]:g} GeV"
    names = " and ".join(SYSTEMS[s].title for s in r.systems)
    return (
        f"Size {size.name}. {names} trained on {'; '.join(ranges)}. Test events per number of particles: {events}; "
        f"{test}; of showers used for nothing else. Every readout of every model is tuned on the same {size.n_tuning} "
        "auxiliary events of its kind. "
        f"Intervals: {size.bootstrap} resamples of the events."
    )
