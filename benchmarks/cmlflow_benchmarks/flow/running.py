"""Run the particle-flow benchmark, keep every sample's results, and write results and report."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cmlflow.baselines.learned import SuperResolver
from cmlflow.loading import load
from cmlflow.model_paths import find_model
from cmlflow.particle_flow import ASSOCIATION
from cmlflow.simulation import simulate
from cmlflow.simulation.pairs import EventPairs
from cmlflow_benchmarks.flow.goals import goals
from cmlflow_benchmarks.flow.page import write_flow_report
from cmlflow_benchmarks.flow.plan import (
    MODELS,
    RADII,
    SAMPLES,
    SIZES,
    SUPERRES,
    TEST_SEED,
    Size,
    chosen_samples,
    models_of,
)
from cmlflow_benchmarks.flow.summary import markdown
from cmlflow_benchmarks.flow.superres import MODELS as SUPER_MODELS
from cmlflow_benchmarks.flow.superres import SAMPLE as SUPER_SAMPLE
from cmlflow_benchmarks.flow.superres import superres_figures
from cmlflow_benchmarks.flow.systems import run_systems
from cmlflow_benchmarks.flow.testing import ROWS, finite, measured
from cmlflow_benchmarks.keeping import kept, read_kept
from cmlflow_benchmarks.models import digest, given_models
from cmlflow_benchmarks.publishing import facts, printer, publish
from cmlflow_benchmarks.sizes import find_size


def flow_benchmark(
    folder: str | Path,
    size: str | Size = "full",
    *,
    samples: Sequence[str] | None = None,
    models: Sequence[str] = (),
    run: bool = True,
    again: bool = False,
    command: str = "",
    verbose: bool = True,
) -> dict[str, Any]:
    """Measure trained models of particle flow beside systems without learning.

    The results of each sample are kept in `folder` with all they depend on; a run that was interrupted goes on with
    the next sample.

    Parameters
    ----------
    folder : path
        Gets ``samples/``, ``results.json``, ``results.md`` and ``report.html``.
    size : str or Size
        A key of `SIZES`: ``"full"``, or ``"quick"`` to see everything work.
    samples : sequence of str, optional
        Of `SAMPLES`; all by default. The report has what `folder` keeps of the others.
    models : sequence of str
        ``NAME=FOLDER``, see `cmlflow_benchmarks.models.given_models`. Models that are neither given nor packaged
        are shown as not run.
    run : bool, default=True
        Without, only write results and report of what `folder` keeps.
    again : bool, default=False
        Make results anew that were kept with other settings or models, in place of an error.
    command : str
        To print in the report.
    verbose : bool
        Print each sample as it is done.

    Returns
    -------
    dict
        What ``results.json`` holds.

    Raises
    ------
    ValueError
        For an unknown name, or where `folder` keeps results of other settings.
    """
    how, say = find_size(size, SIZES), printer(verbose)
    folder, chosen = Path(folder), chosen_samples(samples)
    if run:
        names = [*MODELS, *SUPER_MODELS]
        there = given_models(["packaged", *models], names, {name: name for name in names})
        for sample in chosen:
            start = time.process_time()
            run_sample(sample, folder, how, {n: there[n] for n in models_of(sample) if n in there}, again=again)
            say(f"{sample}: {how.events(sample)} events, {time.process_time() - start:.0f} CPU s")
        if not samples or SUPERRES in samples:
            start = time.process_time()
            run_superres(folder, how, {n: there[n] for n in SUPER_MODELS if n in there}, again=again)
            say(f"{SUPERRES}: {how.events(SUPERRES)} events, {time.process_time() - start:.0f} CPU s")
    results = collected(folder)
    path = folder / "samples" / f"{SUPERRES}.json"
    fine = read_kept(path) if path.exists() else None
    samples_of = {s: {k: v for k, v in found.items() if k not in ROWS} for s, found in results.items()}
    aims, marks = goals(results), facts(command)

    def write_page(path: Path) -> None:
        write_flow_report(path, results, aims, marks, fine)

    return publish(folder, marks | {"samples": samples_of, "goals": aims} | _figures(fine), markdown, write_page, say)


def run_sample(
    sample: str, folder: Path, size: Size, models: Mapping[str, str], *, again: bool = False
) -> dict[str, Any]:
    """The results of a sample, measured and kept first where they are not there yet.

    Parameters
    ----------
    sample : str
    folder : Path
        Of the benchmark.
    size : Size
    models : dict of str to str
        Folder or packaged name of each model that belongs to the sample and is there.
    again : bool
    """
    settings: dict[str, Any] = {"sample": sample, "n_events": size.events(sample), "seed": TEST_SEED}
    settings |= {name: asdict(size)[name] for name in ("n_validation", "n_tuning", "bootstrap")}
    settings |= {"radii": list(RADII), "models": {name: identity(model) for name, model in models.items()}}

    def compute() -> dict[str, Any]:
        start = time.process_time()
        loaded = {name: load(model, verbose=False) for name, model in models.items()}
        events = list(simulate(f"{sample}-test", size.events(sample), seed=TEST_SEED))
        found = measured(sample, events, run_systems(sample, events, size, loaded), size)
        return found | {"cpu_seconds": round(time.process_time() - start, 1)}

    return kept(folder / "samples" / f"{sample}.json", settings, compute, again=again)


def run_superres(folder: Path, size: Size, models: Mapping[str, str], *, again: bool = False) -> dict[str, Any]:
    """The results of super-resolution, as `run_sample`."""
    settings: dict[str, Any] = {"sample": SUPER_SAMPLE, "n_events": size.events(SUPERRES), "seed": TEST_SEED}
    settings |= {"bootstrap": size.bootstrap, "models": {name: identity(model) for name, model in models.items()}}

    def compute() -> dict[str, Any]:
        start = time.process_time()
        loaded = {name: SuperResolver.load(model) for name, model in models.items()}
        pairs = list(EventPairs(f"{SUPER_SAMPLE}-test", size.events(SUPERRES), TEST_SEED))
        found: dict[str, Any] = finite(superres_figures(pairs, loaded, size.bootstrap))
        return found | {"cpu_seconds": round(time.process_time() - start, 1)}

    return kept(folder / "samples" / f"{SUPERRES}.json", settings, compute, again=again)


def _figures(fine: Mapping[str, Any] | None) -> dict[str, Any]:
    """Super-resolution as ``results.json`` has it: without what only figures need."""
    if fine is None:
        return {}
    drawn = ("masses", "image")
    systems = {n: {k: v for k, v in own.items() if k not in drawn} for n, own in fine["systems"].items()}
    return {"superresolution": {**fine, "systems": systems}}


def identity(model: str) -> str:
    """Digest of a model's weights, thresholds and association."""
    home = find_model(model)
    texts = [(home / name).read_bytes() for name in ("config.json", ASSOCIATION) if (home / name).is_file()]
    return f"{digest(home)[:8]}{hashlib.sha256(b''.join(texts)).hexdigest()[:8]}"


def collected(folder: Path) -> dict[str, dict[str, Any]]:
    """What a folder keeps, by sample, in their order."""
    paths = {sample: folder / "samples" / f"{sample}.json" for sample in SAMPLES}
    return {sample: read_kept(path) for sample, path in paths.items() if path.exists()}
