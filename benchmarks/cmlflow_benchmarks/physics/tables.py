"""The tables of the report: ours beside those of the paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cmlflow.plots.page import table_html
from cmlflow_benchmarks.physics.matrix import SYSTEMS, Run, datasets, readouts_of, training_range
from cmlflow_benchmarks.physics.paper import TABLE_1, TABLE_2, TABLE_3
from cmlflow_benchmarks.physics.results import Query, Results
from cmlflow_benchmarks.verdicts import Estimate

NOT_RUN = "not run"
READOUT_TITLES = {
    "density": "density", "condensation": "OC inference", "ward": "Ward", "clue": "CLUE", "hdbscan": "HDBSCAN",
}  # fmt: skip
EMBEDDING = (("recall_at_1", "R@1"), ("recall_at_10", "R@10"), ("contamination_at_10", "C@10"), ("auc", "AUC"))


def dataset_title(kind: str, sample: str) -> str:
    """As in ``EM``, ``mixed model on HAD``."""
    return kind.upper() if kind == sample else f"mixed model on {sample.upper()}"


def readout_title(r: Results, kind: str, system: str, readout: str) -> str:
    """As in ``density``; ``CLUE, tuned on 2–15`` with other thresholds."""
    name, _, wide = r.readout(kind, system, readout).partition("@")
    title = READOUT_TITLES.get(name, name)
    return f"{title}, tuned on {r.size.wide[0]}–{r.size.wide[1]}" if wide else title


def run_table(r: Results, states: dict[Run, str]) -> str:
    """What has been run."""
    rows = []
    for run in r.runs:
        origin, tuning, sets = r.origins.get(run, {}), r.tuning.get(run, {}), r.tests.get(run, {})
        trained = f"{origin['minutes']:.1f} min" if "minutes" in origin else origin.get("model", "-")
        test_minutes = (
            sum(seconds * s["settings"]["n_events"] for s in sets.values() for seconds in s["cpu_seconds"].values())
            / 60
        )
        tuned = f"{tuning['cpu_seconds'] / 60:.1f} min" if "cpu_seconds" in tuning else "-"
        tested = f"{test_minutes:.1f} min" if sets else "-"
        rows.append([run.kind, SYSTEMS[run.system].title, run.dim, run.seed, states[run], trained, tuned, tested])
    head = ["kind", "system", "dimension", "seed", "state", "training, or model taken", "tuning (CPU)", "tests (CPU)"]
    return table_html(head, rows)


def table_1(r: Results) -> str:
    """Thresholds found on the auxiliary samples, first seed of each dimension, beside those of the paper."""
    rows = []
    for run in [c for c in r.runs if c.seed == r.seeds[0]]:
        tuning = r.tuning.get(run)
        for readout in readouts_of(r.size, run):
            found = NOT_RUN if tuning is None else _setting(tuning["thresholds"].get(readout, {}))
            score = {} if tuning is None else tuning["scores"].get(readout, {})
            shown = [_plain(score.get(f)) for f in ("efficiency", "purity", "ratio")]
            printed = _paper_1(run, readout, readout == r.readout(run.kind, run.system, "native"))
            title = readout_title(r, run.kind, run.system, readout)
            rows.append([run.kind, SYSTEMS[run.system].title, run.dim, title, found, printed, *shown])
    head = ["kind", "system", "dim.", "readout", "thresholds here", "paper", "efficiency", "purity", "ratio"]
    return table_html(head, rows, "Thresholds, and what they reach on the auxiliary sample")


def _paper_1(run: Run, readout: str, native: bool) -> str:
    printed = TABLE_1.get((run.kind, run.system), {}) if run.dim == 16 else {}
    if readout == "ward" and printed:
        return f"height {printed['ward']:g}"
    return f"threshold {printed['threshold']:g}, radius {printed['radius']:g}" if native and printed else "-"


def _setting(values: dict[str, Any]) -> str:
    shown = (
        f"{k.replace('_', ' ')} {v:.4g}" if isinstance(v, float) else f"{k.replace('_', ' ')} {v}"
        for k, v in values.items()
    )
    return ", ".join(shown) or "-"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def table_2(r: Results) -> str:
    """Neighbourhoods and pairs in the embedding, ours and the paper's."""
    parts = []
    for kind, sample in datasets(r.kinds):
        rows = []
        numbers = {n for n in r.numbers if n > 1} | {n for k, n, _ in TABLE_2 if k == kind}
        for n in sorted(numbers):
            for system in r.systems:
                printed = TABLE_2.get((kind, n, system))
                row: list[Any] = [n, SYSTEMS[system].title]
                for i, (figure, _) in enumerate(EMBEDDING):
                    here = r.estimate(Query(kind, system, sample, figure, (n,))) if n in r.numbers else None
                    row += [shown(here), "-" if printed is None else f"{printed[i]:.3f}"]
                rows.append(row)
        head = ["particles", "system"] + [h for _, title in EMBEDDING for h in (title, "paper")]
        parts.append(table_html(head, rows, dataset_title(kind, sample)))
    return "\n".join(parts)


def table_3(r: Results) -> str:
    """Dimension of the embedding, mixed model on mixed events with the spectrum of training."""
    rows = []
    for system in r.systems:
        dims = {c.dim for c in r.runs if (c.kind, c.system) == ("mixed", system)} or {
            d for s, d, _ in TABLE_3 if s == system
        }
        for dim in sorted(dims, reverse=True):
            for readout in ("ward", "native"):
                query = [
                    Query("mixed", system, "mixed", f, readout=readout, dim=dim)
                    for f in ("purity", "efficiency", "ratio")
                ]
                printed = TABLE_3.get((system, dim, readout))
                p, e, ratio = (shown(r.estimate(q)) for q in query)
                paper = ["-", "-"] if printed is None else [f"{v:.3f}" for v in printed]
                rows.append(
                    [
                        SYSTEMS[system].title,
                        dim,
                        readout_title(r, "mixed", system, readout),
                        p,
                        paper[0],
                        e,
                        paper[1],
                        ratio,
                    ]
                )
    head = ["system", "dim.", "readout", "purity", "paper", "efficiency", "paper", "ratio"]
    return table_html(head, rows)


def regions_table(r: Results) -> str:
    """Efficiency and purity within the training range and beyond it."""
    rows = []
    for kind, sample in datasets(r.kinds):
        top = training_range(r.size, kind)[1][1]
        regions = [
            (n, e) for n in (r.inside(kind), r.beyond(kind)) for e in ((0.0, top), (top, r.size.energy_bins[-1] + 1))
        ]
        for figure in ("efficiency", "purity"):
            for system in r.systems:
                asked = [Query(kind, system, sample, figure, n, energy=energy) for n, energy in regions]
                found = [shown(r.estimate(q) if q.particles else None) for q in asked]
                rows.append([dataset_title(kind, sample), figure, SYSTEMS[system].title, *found])
    head = ["trained and tested on", "figure", "system"]
    head += ["within", "higher energies", "more particles", "both beyond"]
    caption = "Own readouts within and beyond the training range; all numbers of particles of a range together"
    return table_html(head, condensed(rows, 3), caption)


def difference_table(
    r: Results,
    a: str,
    b: str,
    readouts: Sequence[tuple[str, str, str]] = (("own", "native", "native"), ("Ward", "ward", "ward")),
) -> str:
    """First system minus second on the same events, with interval over events and values of the seeds."""
    rows = []
    for kind, sample in datasets(r.kinds):
        for n in r.numbers:
            for title, *pair in readouts:
                row: list[Any] = [dataset_title(kind, sample), n, title]
                each = []
                for figure in ("efficiency", "purity", "ratio", "resolution"):
                    one, two = (Query(kind, s, sample, figure, (n,), x) for s, x in zip((a, b), pair, strict=True))
                    found = r.difference(one, two)
                    row.append(shown(found, signed=True))
                    if figure == "purity" and found is not None:
                        each = [f"{v:+.3f}" for v in found.seeds.values()]
                rows.append([*row, ", ".join(each) or "-"])
    head = [
        "trained and tested on",
        "particles",
        "readout",
        "efficiency",
        "purity",
        "ratio",
        "σ_eff",
        "purity, each seed",
    ]
    caption = f"{SYSTEMS[a].title} − {SYSTEMS[b].title}, same test events"
    return table_html(head, condensed(rows, 3), caption)


def seed_table(r: Results) -> str:
    """Mean and standard deviation over seeds, own readouts."""
    rows = []
    for kind, sample in datasets(r.kinds):
        for system in r.systems:
            for n in r.numbers:
                row: list[Any] = [dataset_title(kind, sample), SYSTEMS[system].title, n]
                for figure in ("efficiency", "purity", "ratio", "resolution"):
                    found = r.estimate(Query(kind, system, sample, figure, (n,)))
                    row.append(NOT_RUN if found is None else _mean_spread(found))
                rows.append(row)
    head = ["trained and tested on", "system", "particles", "efficiency", "purity", "ratio", "σ_eff"]
    return table_html(
        head,
        condensed(rows, 3),
        f"Mean ± standard deviation over seeds {', '.join(map(str, r.seeds))}, own readouts",
    )


def _mean_spread(e: Estimate) -> str:
    value = e.value.value
    if value != value:
        return "-"
    return f"{value:.3f} ± {e.spread:.3f}" if len(e.seeds) > 1 else f"{value:.3f} (one seed)"


def readout_table(r: Results, kind: str, sample: str, systems: Sequence[str], readouts: Sequence[str] | None) -> str:
    """Scores of systems at every number of particles, with these readouts, or with all that each has."""
    rows = []
    for n in r.numbers:
        for system in systems:
            own = [r.readout(kind, system, readout) for readout in readouts or ()]
            for name in dict.fromkeys(own) if own else readouts_of(r.size, Run(kind, system, 0, 1)):
                figures = ("efficiency", "purity", "ratio", "resolution", "floor")
                found = [shown(r.estimate(Query(kind, system, sample, f, (n,), name))) for f in figures]
                rows.append([n, SYSTEMS[system].title, readout_title(r, kind, system, name), *found])
    head = ["particles", "system", "readout", "efficiency", "purity", "ratio", "σ_eff", "σ_eff, floor"]
    best = SYSTEMS["best"].title
    return table_html(head, rows, dataset_title(kind, sample), [i for i, row in enumerate(rows) if row[1] == best])


def control_table(r: Results, kind: str, sample: str, controls: Sequence[str]) -> str:
    """Controls beside what they are variants of, same seed: scores with own readouts, and the embedding."""
    first = r.of_seed(min(r.seeds))
    figures = ("efficiency", "purity", "ratio", "resolution", "recall_at_1", "contamination_at_10", "auc")
    systems = list(dict.fromkeys(s for c in controls for s in (SYSTEMS[c].control_of, c)))
    rows = []
    for n in r.numbers:
        for system in systems:
            queries = [Query(kind, system, sample, f, (n,)) for f in figures]
            rows.append([n, SYSTEMS[system].title, *(shown(first.estimate(q)) for q in queries)])
    head = ["particles", "system", "efficiency", "purity", "ratio", "σ_eff", "R@1", "C@10", "AUC"]
    return table_html(head, rows, dataset_title(kind, sample))


def condensed(rows: Sequence[list[Any]], labels: int) -> list[list[Any]]:
    """Rows with the same first entry become one where nothing of them has been run."""
    out: list[list[Any]] = []
    for name in dict.fromkeys(row[0] for row in rows):
        group = [row for row in rows if row[0] == name]
        if all(entry in (NOT_RUN, "-") for row in group for entry in row[labels:]):
            group = [[name, *["all"] * (labels - 1), *[NOT_RUN] * (len(group[0]) - labels)]]
        out += group
    return out


def shown(estimate: Estimate | None, signed: bool = False) -> str:
    """A figure as tables show it."""
    if estimate is None:
        return NOT_RUN
    if not signed or estimate.value != estimate.value:
        return str(estimate.value)
    value, low, high = estimate.value
    return f"{value:+.3f}" if low != low else f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"
