"""`cmlflow demo`: packaged models on test events, as a table in the terminal and as a page."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cmlflow.clusterer import MetricClusterer
from cmlflow.evaluation import evaluate, evaluate_embeddings
from cmlflow.event import Event
from cmlflow.methods import method
from cmlflow.metrics.scores import EmbeddingEvaluation, Evaluation
from cmlflow.plots.curves import score_figure
from cmlflow.plots.embedding import embedding_figure
from cmlflow.plots.event import display_html
from cmlflow.plots.page import figure_html, table_html
from cmlflow.plots.report import SCORES, Section, columns, score_table, text, write_report
from cmlflow.simulation import simulate

MODELS: dict[str, tuple[str | Path, ...]] = {
    "compact-em-test": ("compact-em-supcon", "compact-em-oc"),
    "compact-had-test": ("compact-had-supcon", "compact-had-oc"),
}
"""Test samples and the models that are run on each."""

SAMPLES = {"compact-em-test": "Electrons", "compact-had-test": "Charged pions"}
SHOWN = (2, 1)  # events of each sample in the 3-D display, of the first and of every further number of particles
EMBEDDING_FIGURES = ("recall_at_1", "recall_at_10", "contamination_at_10", "auc", "d_intra", "d_inter", "margin")


@dataclass
class _Clustered:
    """Events of one sample and what the models made of them; clusterings by name, as "SupCon, density"."""

    sample: str
    events: list[Event]
    labels: dict[str, list[np.ndarray]]
    embeddings: dict[str, list[np.ndarray]]
    first: list[str]

    def where(self, n_particles: int) -> list[int]:
        return [i for i, e in enumerate(self.events) if e.n_particles == n_particles]


def run_demo(
    output: str | Path = "cmlflow-demo.html",
    n_events: int = 6,
    *,
    n_particles: Sequence[int] = (4, 8),
    models: Mapping[str, Sequence[str | Path]] | None = None,
    seed: int = 1,
    verbose: bool = True,
) -> Path:
    """Cluster test events with trained models and all their readouts, score them, and write a page about it.

    Parameters
    ----------
    output : path
        Page to write: scores, events in 3-D, geometry of the embeddings.
    n_events : int
        Of each sample, shared out between the numbers of particles so that each gets about as many particles.
    n_particles : sequence of int
        Numbers of particles per event. Geometry of embeddings is given for the first.
    models : dict of str to sequence of str or path, optional
        Models (packaged names or folders) by the test sample they are run on; the packaged ones by default.
    seed : int
        Of the events. Their showers were used neither in training nor in tuning.
    verbose : bool
        Print progress and the scores.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    FileNotFoundError
        A model is neither packaged nor a folder.
    OSError
        Where the page cannot be written.
    """
    if n_events < 1 or not n_particles or min(n_particles) < 1:
        raise ValueError(f"n_events is {n_events}, n_particles {tuple(n_particles)}: expected numbers of 1 or more")
    if not Path(output).absolute().parent.is_dir():
        raise FileNotFoundError(f"{output}: there is no folder {Path(output).parent} to write the page to")
    started = time.perf_counter()
    chosen = MODELS if models is None else models
    with _one_thread():
        results, scores = _run(chosen, n_events, n_particles, seed, verbose)
    seconds = time.perf_counter() - started
    sections = [
        _scores_section(results, scores),
        _events_section(results, n_particles),
        _embedding_section(results, n_particles[0]),
        _sample_section(results, chosen, seconds),
    ]
    lead = (
        "Showers simulated with Geant4 in a high-granularity calorimeter, laid over each other and clustered by "
        "networks that learned a metric: supervised contrastive learning (SupCon) and object condensation (OC)."
    )
    path = write_report(output, "cmlflow: clustering of Geant4 showers", sections, lead)
    if verbose:
        print(f"{time.perf_counter() - started:.0f} s; the page with scores, events and embeddings: {path.resolve()}")
    return path


@contextmanager
def _one_thread() -> Iterator[None]:
    """Events are small: further threads gain little, and where the cores are shared they wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run(
    models: Mapping[str, Sequence[str | Path]], n_events: int, n_particles: Sequence[int], seed: int, verbose: bool
) -> tuple[list[_Clustered], dict[str, dict[str, Evaluation]]]:
    """Cluster and score the events of every sample."""
    loaded = {sample: [MetricClusterer.load(name) for name in names] for sample, names in models.items()}
    results, scores = [], {}
    for sample, clusterers in loaded.items():
        found = _cluster(sample, clusterers, n_events, n_particles, seed, verbose)
        results.append(found)
        scores[sample] = {name: evaluate(found.events, y) for name, y in found.labels.items()}
        if verbose:
            print(_printed(found, scores[sample]), flush=True)
    return results, scores


def _cluster(
    sample: str,
    clusterers: Sequence[MetricClusterer],
    n_events: int,
    n_particles: Sequence[int],
    seed: int,
    verbose: bool,
) -> _Clustered:
    out = _Clustered(sample, [], {}, {}, [])
    share = 1 / np.array(n_particles)
    for p, n in zip(n_particles, np.maximum(1, np.round(n_events * share / share.sum())).astype(int), strict=True):
        events = list(simulate(sample, n, seed, n_particles=p))
        out.events += events
        for model in clusterers:
            start = time.perf_counter()
            readouts, head = method(model.head).readouts, method(model.head).title
            embeddings, labels = model.predict_all(events, readouts)
            out.embeddings.setdefault(head, []).extend(embeddings)
            for readout in readouts:
                out.labels.setdefault(f"{head}, {readout}", []).extend(labels[readout])
            if (first := f"{head}, {model.readout_}") in out.labels and first not in out.first:
                out.first.append(first)
            if verbose:
                hits = sum(e.n_hits for e in events)
                print(
                    f"{_title(sample, p)}: {_count(events)}, {hits} hits, {head} with {len(readouts)} "
                    f"readouts: {time.perf_counter() - start:.1f} s",
                    flush=True,
                )
    return out


def _rows(scores: Mapping[str, Evaluation]) -> Iterator[tuple[int, dict[str, Mapping[str, Any]]]]:
    """For each number of particles, the figures of all clusterings."""
    numbers = sorted({p for e in scores.values() for p in e.by_multiplicity})
    for p in numbers:
        yield p, {name: e.by_multiplicity[p] for name, e in scores.items() if p in e.by_multiplicity}


def _printed(found: _Clustered, scores: Mapping[str, Evaluation]) -> str:
    """The scores as a table of fixed width."""
    lines = []
    for p, rows in _rows(scores):
        lines += ["", f"{_title(found.sample, p)}, {_count(found.where(p))} (95 % intervals)"]
        lines.append(f"{'':22}" + "".join(f"{name:24}" for name in SCORES).rstrip())
        for name, row in rows.items():
            lines.append(f"  {name:20}" + "".join(f"{row[figure]!s:24}" for figure in SCORES).rstrip())
    return "\n".join(lines) + "\n"


def _scores_section(results: Sequence[_Clustered], scores: Mapping[str, Mapping[str, Evaluation]]) -> Section:
    parts = [
        text(
            "Efficiency: particles of which a cluster holds more than 70 % of the visible energy. Purity: clusters "
            "that are one particle (R2S below 0.2). Ratio: clusters per particle. Best is 1 for all three. Brackets "
            "hold the 95 % bootstrap interval over the events; bold is the readout that each model uses by default."
        )
    ]
    for found in results:
        tables = [
            score_table(rows, f"{_kind(found.sample)}, {p} per event ({_count(found.where(p))})", marked=found.first)
            for p, rows in _rows(scores[found.sample])
        ]
        parts.append(columns(*tables))
        default = {name: scores[found.sample][name] for name in found.first}
        caption = f"{_kind(found.sample)}: scores of the default readouts by number of particles, with 95 % intervals."
        parts.append(figure_html(score_figure(default), caption))
    return Section("Scores", parts)


def _events_section(results: Sequence[_Clustered], n_particles: Sequence[int]) -> Section:
    events: list[Event] = []
    names: list[str] = []
    every = list(dict.fromkeys(name for found in results for name in found.labels))
    labels: dict[str, list[np.ndarray]] = {name: [] for name in [*results[0].first, *every]}
    for found in results:
        for k, p in enumerate(n_particles):
            for number, i in enumerate(found.where(p)[: SHOWN[min(k, 1)]]):
                events.append(found.events[i])
                names.append(f"{_kind(found.sample)}, {p} particles, event {number}")
                for name in labels:
                    missing = np.full(found.events[i].n_hits, -1)
                    labels[name].append(found.labels[name][i] if name in found.labels else missing)
    words = (
        "Truth on the left, clusters beside it. Drag to turn all views together, scroll to zoom, point at a hit to "
        "read it; a click on a particle or cluster below a view hides it. A cluster has the colour of the particle "
        "with which it shares most energy, further clusters of the same particle have another colour and diamonds, "
        "noise is grey. Markers grow with the logarithm of the hit energy."
    )
    return Section("Events", [text(words), display_html(events, labels, names=names)])


def _embedding_section(results: Sequence[_Clustered], n_particles: int) -> Section:
    parts = [
        text(
            "What the networks have learned: every hit is a point; hits of one particle should be close together and "
            "far from all others. Left, the two main directions of the embedding of one event. Right, cosine distances "
            "of pairs of core hits: the margin between the 99th percentile within particles (d_intra) and the median "
            "between particles (d_inter) is the room that a readout has."
        )
    ]
    for found in results:
        own = found.where(n_particles)
        i = own[0]
        figure = embedding_figure(found.events[i], {name: z[i] for name, z in found.embeddings.items()})
        parts.append(figure_html(figure, f"{_kind(found.sample)}: embedding of one event of {n_particles} particles."))
        events = [found.events[i] for i in own]
        scores = {name: evaluate_embeddings(events, [z[i] for i in own]) for name, z in found.embeddings.items()}
        caption = f"{_kind(found.sample)}: averages over {_count(own)} of {n_particles} particles"
        parts.append(_embedding_table(caption, scores))
    return Section("Embeddings", parts)


def _embedding_table(caption: str, scores: Mapping[str, EmbeddingEvaluation]) -> str:
    head = ["embedding", *(name.replace("_", " ") for name in EMBEDDING_FIGURES)]
    return table_html(head, [[name, *(e[f] for f in EMBEDDING_FIGURES)] for name, e in scores.items()], caption)


def _sample_section(
    results: Sequence[_Clustered], models: Mapping[str, Sequence[str | Path]], seconds: float
) -> Section:
    rows = []
    for found in results:
        hits = [e.n_hits for e in found.events]
        energy = np.concatenate([e.particles.energy for e in found.events])
        names = ", ".join(Path(name).name for name in models[found.sample])
        spread = f"{energy.min():.0f}-{energy.max():.0f}"
        rows.append([found.sample, names, len(found.events), f"{np.mean(hits):.0f}", max(hits), spread])
    head = ["sample", "models", "events", "hits per event", "largest", "particle energies [GeV]"]
    words = (
        "Events are made of single Geant4 showers that were used neither for training nor to choose thresholds. "
        f"Simulation, networks and readouts took {seconds:.0f} s for this page."
    )
    return Section("Samples", [text(words), table_html(head, rows)])


def _kind(sample: str) -> str:
    return SAMPLES.get(sample, sample)


def _title(sample: str, n_particles: int) -> str:
    return f"{_kind(sample)}, {n_particles} per event"


def _count(events: Sequence[object]) -> str:
    return "1 event" if len(events) == 1 else f"{len(events)} events"
