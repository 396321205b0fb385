"""Kept results made by hand: events whose figures are known without running a network."""

import numpy as np
import pytest

from cmlflow_benchmarks.physics.matrix import SIZES, Run, planned_runs, readouts_of, sets_to_test
from cmlflow_benchmarks.physics.results import Results

FIGURES = ("recall_at_1", "recall_at_10", "contamination_at_10", "auc", "d_intra", "d_inter")
# around which events scatter, for SupCon and OC
GOOD = dict(zip(FIGURES, (0.9, 0.99, 0.1, 0.95, 0.6, 1.0), strict=True))
POOR = dict(zip(FIGURES, (0.7, 0.90, 0.3, 0.85, 1.4, 0.9), strict=True))


def kept_set(n_particles, n_events, *, found, pure, ratio, width, embedding, scatter, readouts, seed=0):
    """What `score` keeps of a test set, with chances that a particle is found and a cluster pure."""
    rng = np.random.default_rng([seed, n_particles, n_events])
    event = np.repeat(np.arange(n_events), n_particles)
    energy = rng.uniform(10, 200, len(event))
    clusters = np.full(n_events, max(1, round(ratio * n_particles)))
    owner = np.repeat(np.arange(n_events), clusters)
    is_pure = (rng.random(len(owner)) < pure).astype(int)
    figures = {k: v + scatter * 0.02 * rng.standard_normal(n_events) for k, v in embedding.items()}
    figures["margin"] = figures["d_inter"] - figures["d_intra"]
    own = {
        "found": (rng.random(len(event)) < found).astype(int).tolist(),
        "response": (1 + width * rng.standard_normal(len(event))).tolist(),
        "clusters": clusters.tolist(),
        "pure": np.bincount(owner, is_pure, n_events).astype(int).tolist(),
    }
    own["cluster"] = {"event": owner.tolist(), "energy": rng.uniform(10, 200, len(owner)).tolist()}
    own["cluster"]["pure"] = is_pure.tolist()
    floor = 1 + 0.01 * rng.standard_normal(len(event))
    return {
        "settings": {"n_events": n_events},
        "hits": 100.0,
        "cpu_seconds": {"network and readouts": 1.0},
        "embedding": {k: v.tolist() for k, v in figures.items()},
        "particle": {"event": event.tolist(), "energy": energy.tolist(), "floor": floor.tolist()},
        "readouts": dict.fromkeys(readouts, own),
    }  # fmt: skip


def results_of(matrix, size, quality):
    """Results in which each system has a quality: ``good`` or ``poor``, the second worse with more particles."""
    tests, tuning, origins = {}, {}, {}
    for run in matrix:
        if run.system not in quality:
            continue
        good = quality[run.system] == "good"
        out = {}
        for which in sets_to_test(size, run.kind):
            n = which.n_particles or 3
            out[which.name] = kept_set(
                n, which.n_events, found=0.98 if good else 0.9 - 0.015 * n, pure=0.95 if good else 0.9 - 0.025 * n,
                ratio=1.0 if good else 1 - 0.02 * n, width=0.02 if good else 0.1, embedding=GOOD if good else POOR,
                scatter=1.0 if good else 5.0, readouts=readouts_of(size, run), seed=run.seed,
            )  # fmt: skip
        tests[run] = out
        names = readouts_of(size, run)
        tuning[run] = {"thresholds": {r: {"height": 5.0} for r in names}, "cpu_seconds": 60.0} | {
            "scores": {r: {"efficiency": 0.9, "purity": 0.9, "ratio": None} for r in names}
        }
        origins[run] = {"model": run.name, "weights": "0"}
    return Results(size, matrix, tests, tuning, origins)


@pytest.fixture(scope="session")
def size():
    from dataclasses import replace

    return replace(SIZES["compact"], bootstrap=30)


@pytest.fixture(scope="session")
def matrix(size):
    return planned_runs(size, ("em", "mixed"), ("supcon", "oc"), (16,), (1, 2))


@pytest.fixture(scope="session")
def results(matrix, size):
    return results_of(matrix, size, {"supcon": "good", "oc": "poor"})


@pytest.fixture(scope="session")
def make():
    """The maker of results, for other qualities."""
    return results_of


@pytest.fixture
def em_run():
    return Run("em", "supcon", 16, 1)
