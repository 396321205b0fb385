"""Scores of models with all their readouts by number of particles, as JSON and as a Markdown table."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cmlflow.clusterer import MetricClusterer
from cmlflow.evaluation import evaluate, evaluate_embeddings
from cmlflow.io.files import atomically
from cmlflow.model_paths import packaged_models
from cmlflow.simulation import SAMPLES, simulate

FIGURES = ("efficiency", "purity", "ratio", "merge_rate", "duplicate_rate", "resolution", "resolution_floor")


def multiplicity_benchmark(
    models: Sequence[str | Path],
    folder: str | Path,
    n_events: int = 40,
    n_particles: Sequence[int] = (2, 4, 8, 15),
    seed: int = 1,
    *,
    sample: str | None = None,
    verbose: bool = True,
) -> list[dict[str, Any]]:
    """Test models on events of fixed multiplicity, with every readout they were tuned for.

    Parameters
    ----------
    models : sequence of str or path
        Packaged models or folders, of hits alone; all packaged ones where empty.
    folder : path
        Gets ``scores.json`` and ``scores.md``.
    n_events : int
        Per number of particles.
    n_particles : sequence of int
    seed : int
        Of the test sample; the showers are those set aside for tests.
    sample : str, optional
        Test sample; by default the ``-test`` companion of what each model was trained on.
    verbose : bool
        Print rows as they are done.

    Returns
    -------
    list of dict
        One per model, readout and number of particles; every figure as [value, low, high] with the 95 % bootstrap
        interval over events.
    """
    loaded = {name: MetricClusterer.load(name) for name in models or packaged_models()}
    if not models:
        loaded = {name: model for name, model in loaded.items() if not model.tracks}
    tests = {name: _test_sample(name, model, sample) for name, model in loaded.items()}
    rows: list[dict[str, Any]] = []
    for name, model in loaded.items():
        own = [model.readout_] if isinstance(model.readout_, str) else []
        for p in n_particles:
            events = simulate(tests[name], n_events, seed, n_particles=p)
            embeddings, labels, energies = [], defaultdict(list), defaultdict(list)
            readouts = list(dict.fromkeys([*own, *model.thresholds_]))
            for event, found in zip(events, model.iter_readouts(events, readouts), strict=True):
                embeddings.append(found[0].z_hits)
                for readout, clusters in zip(readouts, found, strict=True):
                    labels[readout].append(clusters.labels)
                    energies[readout].append(clusters.energies(event))
            embedding = evaluate_embeddings(events, embeddings).to_dict()
            for readout in readouts:
                scores = evaluate(events, labels[readout], energies=energies[readout])
                row = {"model": Path(name).name, "sample": tests[name], "particles": p, "readout": readout}
                row |= {"events": n_events, "hits": sum(e.n_hits for e in events) / n_events}
                row |= {figure: scores[figure].to_list() for figure in FIGURES}
                rows.append(row | {"embedding": embedding})
                if verbose:
                    print(f"{row['model']:20} {p:3} {readout:13}", *(scores[f] for f in FIGURES[:3]), flush=True)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with atomically(folder / "scores.json") as path:
        path.write_text(json.dumps(rows, indent=1) + "\n")
    with atomically(folder / "scores.md") as path:
        path.write_text(markdown(rows))
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a table of efficiency, purity, ratio and resolution with their intervals."""
    shown = ("efficiency", "purity", "ratio", "resolution", "resolution_floor")
    lines = ["| model | particles | readout | " + " | ".join(f.replace("_", " ") for f in shown) + " |"]
    lines.append("|---|---:|---|" + "---|" * len(shown))
    for row in rows:
        cells = [str(row["model"]), str(row["particles"]), str(row["readout"])] + [_cell(row[f]) for f in shown]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(figure: Sequence[float | None]) -> str:
    value, low, high = figure
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _test_sample(name: str | Path, model: MetricClusterer, asked: str | None) -> str:
    if model.tracks:
        raise ValueError(f"model {name} takes tracks, expected one of hits alone: see the benchmark flow")
    trained_on = model.trained_on_.get("sample")
    if asked is None and f"{trained_on}-test" not in SAMPLES:
        raise ValueError(
            f"model {name} was trained on {trained_on or 'events of a file'}: --sample has to name a test sample"
        )
    return asked or f"{trained_on}-test"
