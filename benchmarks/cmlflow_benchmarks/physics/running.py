"""The benchmark: every run of the matrix trained, tuned and tested, each step kept; then results and report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from math import isnan
from pathlib import Path
from typing import Any

from cmlflow_benchmarks.keeping import read_kept, write_json
from cmlflow_benchmarks.physics.claims import judged
from cmlflow_benchmarks.physics.equal import equally_tuned
from cmlflow_benchmarks.physics.goals import goals
from cmlflow_benchmarks.physics.matrix import (
    KINDS,
    SIZES,
    SPECTRUM,
    SYSTEMS,
    Run,
    Size,
    available_systems,
    datasets,
    plain,
    planned_runs,
    readouts_of,
    recipe_of,
    sets_to_test,
)
from cmlflow_benchmarks.physics.models import given_models, model_of
from cmlflow_benchmarks.physics.page import write_physics_report
from cmlflow_benchmarks.physics.results import Query, Results
from cmlflow_benchmarks.physics.summary import markdown
from cmlflow_benchmarks.physics.testing import scored, tuned
from cmlflow_benchmarks.publishing import Say, facts, printer, publish
from cmlflow_benchmarks.sizes import find_size

RECONSTRUCTION = ("efficiency", "purity", "ratio", "resolution", "floor")
EMBEDDING = (
    "recall_at_1", "recall_at_10", "contamination_at_10", "auc", "d_intra", "d_inter", "margin",
    "median_margin", "spread_d_intra", "spread_d_inter", "spread_margin", "negative_margin",
)  # fmt: skip


def physics_benchmark(
    folder: str | Path,
    size: str | Size = "compact",
    *,
    kinds: Sequence[str] = KINDS,
    systems: Sequence[str] | None = None,
    dims: Sequence[int] = (16, 4),
    seeds: Sequence[int] = (1, 2, 3),
    models: Sequence[str] = (),
    train: bool = True,
    report_only: bool = False,
    again: bool = False,
    library: str | Path | None = None,
    device: str = "cpu",
    command: str = "",
    verbose: bool = True,
) -> dict[str, Any]:
    """Compare SupCon, OC and the better recipe as arXiv:2603.23356 does, on simulated events.

    Every model is trained (or taken), all its readouts are tuned on the auxiliary sample, and all are tested on the
    same events at fixed numbers of particles. Each step is kept in `folder`; a run that is interrupted goes on
    where it stopped when it is started again.

    Parameters
    ----------
    folder : path
        Gets ``models/``, ``cells/``, ``results.json``, ``results.md`` and ``report.html``.
    size : str or Size
        A key of `SIZES`: ``"compact"`` for a CPU, ``"paper"`` with the paper's samples and training for a GPU,
        ``"quick"`` to see everything work.
    kinds : sequence of {"em", "had", "mixed"}
    systems : sequence of str, optional
        Keys of `SYSTEMS`; all that have a recipe by default.
    dims : sequence of int
        Dimensions of the embedding. All but the largest are run with the first seed alone.
    seeds : sequence of int
    models : sequence of str
        Trained models in place of training, see `cmlflow_benchmarks.physics.models.given_models`.
    train : bool, default=True
        Train runs for which there is no model; without, they are not run.
    report_only : bool, default=False
        Run nothing, only write results and report of what `folder` keeps.
    again : bool, default=False
        Make results anew that were kept with other settings, in place of an error.
    library : path, optional
        Showers in place of the packaged ones.
    device : str
    command : str
        To print in the report.
    verbose : bool
        Print each step as it is done.

    Returns
    -------
    dict
        What ``results.json`` holds.

    Raises
    ------
    ValueError
        For an unknown name, or where `folder` keeps results of other settings.
    """
    how = find_size(size, SIZES)
    names = available_systems(how, kinds) if systems is None else list(systems)
    first = max(dims)
    matrix = [
        c
        for c in planned_runs(how, kinds, names, dims, seeds)
        if SYSTEMS[c.system].own or c.dim == first or c.seed == min(seeds)
    ]
    folder = Path(folder)
    given = given_models(models, how, matrix)
    say = printer(verbose)
    for run in [] if report_only else matrix:
        here = run in given or (folder / "models" / run.name).exists()
        if not here and not again and _finished(folder, how, run, library):
            say(f"{run.name}: all kept, without its model")
        elif train or run in given or (folder / "models" / run.name / "trained.json").exists():
            carry_out(run, how, folder, given.get(run), library=library, device=device, again=again, say=say)
    results = collected(folder, how, matrix)
    states = {c: _state(results, c) for c in matrix}
    claims, aims = judged(results), goals(results)
    marks = facts(command)
    out: dict[str, Any] = marks | {"size": plain(how), "cells": _runs(results, states)}
    out |= {"figures": figures_of(results), "equal": equally_tuned(results), "claims": claims}
    out["goals"] = aims if "best" in results.systems else []

    def write_page(path: Path) -> None:
        write_physics_report(path, results, states, claims, aims, marks)

    return publish(folder, out, markdown, write_page, say, indent=1)


def carry_out(
    run: Run,
    size: Size,
    folder: Path,
    given: str | None = None,
    *,
    library: str | Path | None = None,
    device: str = "cpu",
    again: bool = False,
    say: Say = print,
) -> None:
    """Train or take the model of a run, tune it, test it; steps that are kept are not repeated."""
    start = time.process_time()
    model, origin = model_of(run, size, folder, given, library=library, device=device, again=again, verbose=False)
    home, readouts = folder / "cells" / run.name, readouts_of(size, run)
    write_json(home / "model.json", {"settings": _model_settings(size, run, library)} | origin, indent=1)
    say(f"{run.name}: model {origin['model']}, {_minutes(start)}")
    tuned(model, home / "tuned.json", run, size, origin, library=library, again=again)
    say(f"{run.name}: {len(readouts)} readouts tuned, {_minutes(start)}")
    for which in sets_to_test(size, run.kind):
        scored(model, home / f"{which.name}.json.gz", which, readouts, origin, library=library, again=again)
        say(f"{run.name}: tested on {which.name}, {_minutes(start)}")


def collected(folder: Path, size: Size, matrix: Sequence[Run]) -> Results:
    """What a folder keeps of a matrix; of test sets only those of this size, made with the run's model."""
    tests: dict[Run, dict[str, Any]] = {}
    tuning, origins = {}, {}
    for run in matrix:
        home = folder / "cells" / run.name
        if not (home / "model.json").exists():
            continue
        origins[run] = read_kept(home / "model.json")
        weights = origins[run]["weights"]
        if (home / "tuned.json").exists():
            tuning[run] = read_kept(home / "tuned.json")
        for which in sets_to_test(size, run.kind):
            path = home / f"{which.name}.json.gz"
            found = read_kept(path) if path.exists() else None
            if found and (found["settings"]["weights"], found["settings"]["n_events"]) == (weights, which.n_events):
                tests.setdefault(run, {})[which.name] = found
    return Results(size, matrix, tests, tuning, origins)


def _finished(folder: Path, size: Size, run: Run, library: str | Path | None) -> bool:
    """Whether a run is kept whole, by the recipe there is now: its model is not needed any more then."""
    home = folder / "cells" / run.name
    wanted = _model_settings(size, run, library)
    if not (home / "model.json").exists() or read_kept(home / "model.json")["settings"] != wanted:
        return False
    return len(collected(folder, size, [run]).tests.get(run, {})) == len(sets_to_test(size, run.kind))


def _model_settings(size: Size, run: Run, library: str | Path | None) -> dict[str, Any]:
    where = None if library is None else str(library)
    return {"cell": plain(run), "recipe": plain(recipe_of(size, run)), "library": where}


def figures_of(r: Results) -> list[dict[str, Any]]:
    """Every figure of every system, by number of particles and by energy, with intervals and the seeds' values."""
    out = []
    edges = r.size.energy_bins
    several = tuple(n for n in r.numbers if n > 1)
    for kind, sample in [*datasets(r.kinds), *([("mixed", "mixed")] if "mixed" in r.kinds else [])]:
        where: list[tuple[dict[str, Any], tuple[int, ...], tuple[float, float] | None]]
        if sample == "mixed":
            where = [({"sample": SPECTRUM}, (), None)]
        else:
            where = [({"sample": sample, "particles": n}, (n,), None) for n in r.numbers]
            bins = pairwise(edges)
            where += [({"sample": sample, "energy": list(e)}, several, e) for e in bins]
        for run in dict.fromkeys((c.system, c.dim) for c in r.runs if c.kind == kind):
            system, dim = run
            for tags, n, energy in where:
                base = {"kind": kind, "system": system, "dim": dim} | tags
                readouts = readouts_of(r.size, Run(kind, system, dim, 1))
                for readout in readouts:
                    asked = RECONSTRUCTION if energy is None else tuple(f for f in RECONSTRUCTION if f != "ratio")
                    found = {f: r.estimate(Query(kind, system, sample, f, n, readout, energy, dim)) for f in asked}
                    if any(found.values()):
                        values = {f: e.to_dict() for f, e in found.items() if e is not None}
                        out.append(base | {"readout": readout} | values)
                if energy is None:
                    found = {f: r.estimate(Query(kind, system, sample, f, n, dim=dim)) for f in EMBEDDING}
                    if any(found.values()):
                        out.append(
                            base | {f: e.to_dict() for f, e in found.items() if e is not None and not isnan(e.value)}
                        )
    return out


def _runs(r: Results, states: dict[Run, str]) -> list[dict[str, Any]]:
    out = []
    for run in r.runs:
        origin = {k: v for k, v in r.origins.get(run, {}).items() if k != "settings"}
        tuning = {k: v for k, v in r.tuning.get(run, {}).items() if k != "settings"}
        own = {"own_readout": r.readout(run.kind, run.system, "native")}
        out.append({"name": run.name} | plain(run) | own | {"state": states[run]} | origin | {"tuning": tuning})
    return out


def _state(r: Results, run: Run) -> str:
    there = len(r.tests.get(run, {}))
    return "done" if there == len(sets_to_test(r.size, run.kind)) else "partly run" if there else "not run"


def _minutes(start: float) -> str:
    return f"{(time.process_time() - start) / 60:.1f} CPU min"
