"""The benchmark: every cell of the matrix trained, tuned and tested, each step kept; then results and report."""

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
    Cell,
    Size,
    available_systems,
    cells,
    datasets,
    plain,
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
    run: bool = True,
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
        Train cells for which there is no model; without, they are not run.
    run : bool, default=True
        Without, only write results and report of what `folder` keeps.
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
        for c in cells(how, kinds, names, dims, seeds)
        if SYSTEMS[c.system].own or c.dim == first or c.seed == min(seeds)
    ]
    folder = Path(folder)
    given = given_models(models, how, matrix)
    say = printer(verbose)
    for cell in matrix if run else []:
        here = cell in given or (folder / "models" / cell.name).exists()
        if not here and not again and _finished(folder, how, cell, library):
            say(f"{cell.name}: all kept, without its model")
        elif train or cell in given or (folder / "models" / cell.name / "trained.json").exists():
            run_cell(cell, how, folder, given.get(cell), library=library, device=device, again=again, say=say)
    results = collected(folder, how, matrix)
    states = {c: _state(results, c) for c in matrix}
    claims, aims = judged(results), goals(results)
    marks = facts(command)
    out: dict[str, Any] = marks | {"size": plain(how), "cells": _cells(results, states)}
    out |= {"figures": figures_of(results), "equal": equally_tuned(results), "claims": claims}
    out["goals"] = aims if "best" in results.systems else []

    def write_page(path: Path) -> None:
        write_physics_report(path, results, states, claims, aims, marks)

    return publish(folder, out, markdown, write_page, say, indent=1)


def run_cell(
    cell: Cell,
    size: Size,
    folder: Path,
    given: str | None = None,
    *,
    library: str | Path | None = None,
    device: str = "cpu",
    again: bool = False,
    say: Say = print,
) -> None:
    """Train or take the model of a cell, tune it, test it; steps that are kept are not repeated."""
    start = time.process_time()
    model, origin = model_of(cell, size, folder, given, library=library, device=device, again=again, verbose=False)
    home, readouts = folder / "cells" / cell.name, readouts_of(size, cell)
    write_json(home / "model.json", {"settings": _model_settings(size, cell, library)} | origin, indent=1)
    say(f"{cell.name}: model {origin['model']}, {_minutes(start)}")
    tuned(model, home / "tuned.json", cell, size, origin, library=library, again=again)
    say(f"{cell.name}: {len(readouts)} readouts tuned, {_minutes(start)}")
    for which in sets_to_test(size, cell.kind):
        scored(model, home / f"{which.name}.json.gz", which, readouts, origin, library=library, again=again)
        say(f"{cell.name}: tested on {which.name}, {_minutes(start)}")


def collected(folder: Path, size: Size, matrix: Sequence[Cell]) -> Results:
    """What a folder keeps of a matrix; of test sets only those of this size, made with the cell's model."""
    tests: dict[Cell, dict[str, Any]] = {}
    tuning, origins = {}, {}
    for cell in matrix:
        home = folder / "cells" / cell.name
        if not (home / "model.json").exists():
            continue
        origins[cell] = read_kept(home / "model.json")
        weights = origins[cell]["weights"]
        if (home / "tuned.json").exists():
            tuning[cell] = read_kept(home / "tuned.json")
        for which in sets_to_test(size, cell.kind):
            path = home / f"{which.name}.json.gz"
            found = read_kept(path) if path.exists() else None
            if found and (found["settings"]["weights"], found["settings"]["n_events"]) == (weights, which.n_events):
                tests.setdefault(cell, {})[which.name] = found
    return Results(size, matrix, tests, tuning, origins)


def _finished(folder: Path, size: Size, cell: Cell, library: str | Path | None) -> bool:
    """Whether a cell is kept whole, by the recipe there is now: its model is not needed any more then."""
    home = folder / "cells" / cell.name
    wanted = _model_settings(size, cell, library)
    if not (home / "model.json").exists() or read_kept(home / "model.json")["settings"] != wanted:
        return False
    return len(collected(folder, size, [cell]).tests.get(cell, {})) == len(sets_to_test(size, cell.kind))


def _model_settings(size: Size, cell: Cell, library: str | Path | None) -> dict[str, Any]:
    where = None if library is None else str(library)
    return {"cell": plain(cell), "recipe": plain(recipe_of(size, cell)), "library": where}


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
        for cell in dict.fromkeys((c.system, c.dim) for c in r.cells if c.kind == kind):
            system, dim = cell
            for tags, n, energy in where:
                base = {"kind": kind, "system": system, "dim": dim} | tags
                readouts = readouts_of(r.size, Cell(kind, system, dim, 1))
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


def _cells(r: Results, states: dict[Cell, str]) -> list[dict[str, Any]]:
    out = []
    for cell in r.cells:
        origin = {k: v for k, v in r.origins.get(cell, {}).items() if k != "settings"}
        tuning = {k: v for k, v in r.tuning.get(cell, {}).items() if k != "settings"}
        own = {"own_readout": r.readout(cell.kind, cell.system, "native")}
        out.append({"name": cell.name} | plain(cell) | own | {"state": states[cell]} | origin | {"tuning": tuning})
    return out


def _state(r: Results, cell: Cell) -> str:
    there = len(r.tests.get(cell, {}))
    return "done" if there == len(sets_to_test(r.size, cell.kind)) else "partly run" if there else "not run"


def _minutes(start: float) -> str:
    return f"{(time.process_time() - start) / 60:.1f} CPU min"
