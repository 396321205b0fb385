"""Tuning and testing of one model: thresholds from auxiliary events, then what became of every test event."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cmlflow.clusterer import MetricClusterer
from cmlflow.metrics import embedding_metrics
from cmlflow.metrics.reconstruction import preset_of
from cmlflow.metrics.tally import Tally
from cmlflow.prediction.tuning import Tuning
from cmlflow.simulation import simulate
from cmlflow_benchmarks.keeping import kept
from cmlflow_benchmarks.physics.matrix import (
    WIDE,
    Run,
    Size,
    TestSet,
    as_json,
    auxiliary,
    grids_of,
    plain,
    readouts_of,
)

TEST_SEED = 1
TUNING_SEED = 1


def tuned(
    model: MetricClusterer,
    path: Path,
    run: Run,
    size: Size,
    origin: dict[str, Any],
    *,
    library: str | Path | None = None,
    again: bool = False,
) -> dict[str, Any]:
    """Tune the readouts of a model on auxiliary events and set its thresholds, or take them from an earlier run.

    Parameters
    ----------
    model : MetricClusterer
        Gets the thresholds.
    path : Path
        File that keeps them.
    run : Run
    size : Size
    origin : dict
        Identity of the model.
    library, again : see `cmlflow_benchmarks.physics.running.physics_benchmark`

    Returns
    -------
    dict
        ``thresholds`` by readout; ``scores``, the figures of the chosen settings on the auxiliary events;
        ``cpu_seconds``.
    """
    readouts, grids = readouts_of(size, run), grids_of(size, run)
    samples = {wide: auxiliary(size, run.kind, wide) for wide in (False, True)}
    settings = {"weights": origin["weights"], "seed": TUNING_SEED, "readouts": list(readouts), "grids": grids}
    settings["library"] = None if library is None else str(library)
    for wide, (sample, n_events) in samples.items():
        if any(name.endswith(WIDE) == wide for name in readouts):
            settings["wide" if wide else "usual"] = {"sample": plain(sample), "n_events": n_events}
    settings = as_json(settings)

    def compute() -> dict[str, Any]:
        start = time.process_time()
        model.thresholds_ = {}
        found: dict[str, Tuning] = {}
        for wide, (sample, n_events) in samples.items():
            chosen = [name for name in readouts if name.endswith(WIDE) == wide]
            if chosen:
                events = simulate(sample, n_events, seed=TUNING_SEED, library=library)
                usual = [name for name in chosen if name.removesuffix(WIDE) not in grids]
                found |= model.tune(events, readouts=usual) if usual else {}
                for name in [n for n in chosen if n not in usual]:
                    found |= model.tune(events, readouts=[name], grid=grids[name.removesuffix(WIDE)])
        scores = {}
        for name, tuning in found.items():
            row = next(r for r in tuning.table if tuning.best.items() <= r.items())
            scores[name] = {figure: _number(row[figure]) for figure in ("efficiency", "purity", "ratio")}
        thresholds = {name: tuning.best for name, tuning in found.items()}
        return {"thresholds": thresholds, "scores": scores, "cpu_seconds": round(time.process_time() - start, 1)}

    out = kept(path, settings, compute, again=again)
    model.thresholds_ = dict(out["thresholds"])
    return out


def scored(
    model: MetricClusterer,
    path: Path,
    which: TestSet,
    readouts: Sequence[str],
    origin: dict[str, Any],
    *,
    library: str | Path | None = None,
    again: bool = False,
) -> dict[str, Any]:
    """What became of every event of a test set, or what an earlier run kept of it.

    Parameters
    ----------
    model : MetricClusterer
        With thresholds.
    path : Path
        File that keeps the result.
    which : TestSet
    readouts : sequence of str
    origin : dict
        Identity of the model.
    library, again : see `cmlflow_benchmarks.physics.running.physics_benchmark`

    Returns
    -------
    dict
        ``embedding`` (figure -> one value per event), ``particle`` (arrays event, energy, floor, one entry per
        particle), ``readouts`` (name -> counts per event, found and response per particle, and event, energy and
        pure per cluster), ``hits`` per event, ``cpu_seconds`` per event by stage.
    """
    settings = {"weights": origin["weights"], "sample": plain(which.sample), "n_particles": which.n_particles}
    settings |= {"n_events": which.n_events, "seed": TEST_SEED, "library": None if library is None else str(library)}
    settings |= {"thresholds": {name: model.thresholds_.get(name, {}) for name in readouts}}
    if model.refiner_ is not None and model.refine and model.refiner_.shares_hits:
        settings["energies"] = "shares"
    return kept(path, settings, lambda: score(model, which, readouts, library), again=again)


def score(
    model: MetricClusterer, which: TestSet, readouts: Sequence[str], library: str | Path | None = None
) -> dict[str, Any]:
    """Simulate a test set, cluster it with all readouts and keep what figures are made of; see `scored`."""
    events = simulate(which.sample, which.n_events, TEST_SEED, n_particles=which.n_particles, library=library)
    cut, tallies, figures = preset_of("paper"), {name: Tally() for name in readouts}, []
    clustering, start = 0.0, time.process_time()
    for event, found in zip(events, model.iter_readouts(events, readouts), strict=True):
        clustering += time.process_time() - start
        figures.append(embedding_metrics(found[0].z_hits, event.particle_id, event.energy))
        for name, clusters in zip(readouts, found, strict=True):
            tallies[name].add(event, clusters.labels, cut, energies=clusters.energies(event))
        start = time.process_time()
    by_readout = {name: tally.arrays() for name, tally in tallies.items()}
    particles = next(iter(by_readout.values()))[1]
    return {
        "hits": sum(e.n_hits for e in events) / len(events),
        "cpu_seconds": {"network and readouts": round(clustering / len(events), 3)},
        "embedding": {name: _numbers([f[name] for f in figures]) for name in figures[0]},
        "particle": {"event": _counts(particles[:, 0]), "energy": _numbers(particles[:, 1])}
        | {"floor": _numbers(particles[:, 4])},
        "readouts": {
            name: {
                "found": _counts(rows[:, 2]),
                "response": _numbers(rows[:, 3]),
                "clusters": _counts(sums[:, 2, 0]),
                "pure": _counts(sums[:, 1, 0]),
                "cluster": {"event": _counts(own[:, 0]), "energy": _numbers(own[:, 1]), "pure": _counts(own[:, 2])},
            }
            for name, (sums, rows, own) in by_readout.items()
        },
    }


def _number(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None


def _numbers(values: Any) -> list[float | None]:
    return [_number(float(v)) for v in values]


def _counts(values: Any) -> list[int]:
    return [int(v) for v in values]
