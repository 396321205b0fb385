"""Score clusterings and embeddings of many events against the truth, with bootstrap intervals over events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Event
from cmlflow.metrics.embedding import FIGURES, embedding_metrics
from cmlflow.metrics.intervals import Interval, ratio_interval, resamples
from cmlflow.metrics.reconstruction import Preset, clustered, paired, preset_of
from cmlflow.metrics.resolution import ENERGY_BINS, bin_of, checked_energies
from cmlflow.metrics.scores import EmbeddingEvaluation, Evaluation
from cmlflow.metrics.tally import Tally

__all__ = ["EmbeddingEvaluation", "Evaluation", "evaluate", "evaluate_embeddings"]


def evaluate(
    events: Event | Sequence[Event],
    labels: Any,
    preset: str | Preset = "paper",
    *,
    energy_bins: ArrayLike = ENERGY_BINS,
    bootstrap: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
    layer_weights: ArrayLike | None = None,
    floor: str = "deposits",
    energies: Any = None,
) -> Evaluation:
    """Score clusters against the true particles.

    Events are read one at a time and only counts and one row per particle and cluster are kept, so that files larger
    than memory can be scored.

    Parameters
    ----------
    events : sequence of Event
        A list, an `EventStore`; one Event with its label array will do.
    labels : sequence of array_like of shape (n_hits,), int, or (C, n_hits), float
        Cluster of each hit, 0..C-1, -1 noise, or shares, the part of each hit that belongs to each cluster; one array
        (or tensor) for each event, or an iterator of them.
    preset : {"paper", "ticl", "ticl-2024"} or Preset
        Cuts, see `cmlflow.metrics.reconstruction_metrics`.
    energy_bins : array_like of shape (n_bins + 1,), float [GeV]
        Edges of the bins of true particle energy, in which responses are calibrated and figures given.
    bootstrap : int
        Number of bootstrap samples of the events; 0 gives no intervals.
    confidence : float
        Coverage of the percentile intervals.
    seed : int
        Of the bootstrap.
    layer_weights, floor
        See `cmlflow.metrics.particle_response`.
    energies : sequence of array_like of shape (C,), float, optional
        Energy of each cluster [GeV], for the response alone, as from `MetricClusterer.predict_energies` or a
        regression; one array for each event, or an iterator of them. By default that of its hits times the layer
        weights, which are for the floor alone where energies are given.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        Where labels and hits, or clusters and energies, differ in number (names the event and both lengths), or no
        event holds truth.

    References
    ----------
    arXiv:2603.23356, section IV.2.

    Examples
    --------
    >>> e = Event([[0, 0, 1], [1, 0, 1], [2, 0, 1]], [3.0, 1.0, 2.0], particle_id=[0, 0, 1])
    >>> table = evaluate([e, e], [[0, 0, 1], [0, 0, 0]])
    >>> table.efficiency.value, table.purity.value, table.ratio.value
    (1.0, 0.6666666666666666, 0.75)
    """
    cut = preset_of(preset)
    bin_of([], energy_bins)
    tally = Tally()
    given = None if energies is None else iter([energies] if isinstance(events, Event) else energies)
    labelled = False
    for where, event, y in clustered(events, labels, compact=given is None):
        labelled = labelled or bool((event.particle_id >= 0).any())
        own = None if given is None else _checked_energies(next(given, None), y, where)
        tally.add(event, y, cut, layer_weights, floor, own)
    if given is not None and next(given, None) is not None:
        raise ValueError("there are energies for more events than labels")
    table = tally.table(energy_bins, bootstrap, confidence, seed)
    if table.n_particles == 0 and table.n_hits > 0:
        raise ValueError(
            f"all labelled hits of the {table.n_events} events have an energy of 0, and particles count by their "
            "energy: give every hit an energy above 0, 1 where the detector measures none"
            if labelled
            else f"none of the {table.n_events} events holds a hit of a known particle (particle_id is -1 everywhere): "
            "evaluate needs simulated events with their truth"
        )
    return Evaluation(
        **table.overall(),
        n_events=table.n_events,
        n_particles=table.n_particles,
        n_clusters=table.n_clusters,
        preset=cut,
        confidence=confidence,
        by_multiplicity={p: table.at_multiplicity(p) for p in table.multiplicities},
        by_energy=table.by_energy(),
    )


def _checked_energies(energies: Any, labels: NDArray[Any], where: str) -> NDArray[np.float64]:
    """Energies of the clusters of one event, as many as there are clusters, or a clear error."""
    n_clusters = len(labels) if labels.ndim == 2 else int(labels.max(initial=-1)) + 1
    if energies is None:
        raise ValueError(f"{where}: there are no energies of its {n_clusters} clusters")
    return checked_energies(energies, n_clusters, where)


def evaluate_embeddings(
    events: Event | Sequence[Event],
    embeddings: Any,
    *,
    hits: str = "core",
    bootstrap: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> EmbeddingEvaluation:
    """Embedding figures of each event, averaged over the events for which they are defined.

    Parameters
    ----------
    events : sequence of Event
    embeddings : sequence of array_like of shape (n_hits, D), float
        One array (or tensor) for each event, as `MetricClusterer.transform` returns them, or an iterator of them.
    hits : {"core", "all"}
        See `cmlflow.metrics.embedding_metrics`.
    bootstrap, confidence, seed
        As in `evaluate`; the seed is that of the sampled pairs too.

    Returns
    -------
    EmbeddingEvaluation

    Raises
    ------
    ValueError
        Where events and embeddings differ in number, or embeddings and hits of an event do; names the event.
    """
    rows, multiplicity, n_hits = [], [], 0
    for where, event, z in paired(events, embeddings, "embeddings"):
        if len(z) != event.n_hits:
            raise ValueError(f"{where}: embeddings have length {len(z)}, but the event has {event.n_hits} hits")
        n_hits += event.n_hits
        rows.append(embedding_metrics(z, event.particle_id, event.energy, seed, hits=hits))
        multiplicity.append(len(np.unique(event.particle_id[event.particle_id >= 0])))
    if n_hits and not any(multiplicity):
        raise ValueError(
            f"none of the {len(rows)} events holds a hit of a known particle (particle_id is -1 everywhere): "
            "evaluate_embeddings needs simulated events with their truth"
        )

    def averaged(chosen: list[int]) -> dict[str, Interval]:
        weights = resamples(len(chosen), bootstrap, seed)
        out = {}
        for name in FIGURES:
            value = np.array([rows[i][name] for i in chosen])
            there = np.isfinite(value)
            out[name] = ratio_interval(np.where(there, value, 0.0), there.astype(float), weights, confidence)
        return out

    by = {
        p: averaged([i for i, m in enumerate(multiplicity) if m == p]) for p in sorted({m for m in multiplicity if m})
    }
    return EmbeddingEvaluation(averaged(list(range(len(rows)))), by, len(rows))
