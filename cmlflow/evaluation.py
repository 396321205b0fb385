"""`evaluate`: every reconstruction figure of a clustering, overall, by multiplicity and by energy, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from html import escape
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Event
from cmlflow.metrics.intervals import Interval, Weights, ratio_interval, resamples, statistic_interval
from cmlflow.metrics.matching import Matching, match, sum_by
from cmlflow.metrics.reconstruction import Preset, Verdict, clustered, judge, preset_of
from cmlflow.metrics.resolution import ENERGY_BINS, bin_of, particle_response, resampled_resolution

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

RATES = (
    "efficiency",
    "purity",
    "ratio",
    "merge_rate",
    "duplicate_rate",
    "fake_rate",
    "split_rate",
    "completeness",
)
FIGURES = (*RATES, "response", "resolution", "resolution_floor")


@dataclass(frozen=True, eq=False)
class Evaluation(Mapping[str, Interval]):
    """Scores of a clustering, each with its bootstrap interval over events.

    Reads as a mapping (``table["efficiency"]``) or by attribute (``table.efficiency``), prints as a table.

    Attributes
    ----------
    efficiency, purity, ratio, merge_rate, duplicate_rate, fake_rate, split_rate, completeness : Interval
        As in `cmlflow.metrics.reconstruction_metrics`, pooled over events.
    response : Interval
        Mean of E_reco / E_true before calibration, of particles with a pure cluster.
    resolution, resolution_floor : Interval
        Effective width of the calibrated response, of the clusters and of perfect pattern recognition.
    by_multiplicity : dict of int to dict of Interval
        The same figures for events with as many particles (with visible energy).
    by_energy : list of dict
        One for each energy bin with particles: ``low``, ``high`` [GeV], ``n_particles``, and as Intervals
        ``efficiency`` (by true energy), ``purity`` (by the energy of the cluster's particle), ``response``,
        ``resolution``, ``resolution_floor``.
    preset : Preset
    confidence : float
        Coverage of the intervals.
    n_events, n_particles, n_clusters : int
    """

    efficiency: Interval
    purity: Interval
    ratio: Interval
    merge_rate: Interval
    duplicate_rate: Interval
    fake_rate: Interval
    split_rate: Interval
    completeness: Interval
    response: Interval
    resolution: Interval
    resolution_floor: Interval
    n_events: int
    n_particles: int
    n_clusters: int
    preset: Preset = field(default_factory=Preset)
    confidence: float = 0.95
    by_multiplicity: dict[int, dict[str, Interval]] = field(default_factory=dict)
    by_energy: list[dict[str, Any]] = field(default_factory=list)

    def __getitem__(self, name: str) -> Interval:
        if name not in FIGURES:
            raise KeyError(f"{name!r} is no figure of an evaluation; there are {', '.join(FIGURES)}")
        value: Interval = getattr(self, name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(FIGURES)

    def __len__(self) -> int:
        return len(FIGURES)

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, lists [value, low, high] and dicts, ready for JSON; None for nan."""

        def plain(value: Any) -> Any:
            if isinstance(value, Interval):
                return value.to_list()
            if isinstance(value, Preset):
                return {f.name: getattr(value, f.name) for f in fields(value)}
            if isinstance(value, dict):
                return {str(k): plain(v) for k, v in value.items()}
            if isinstance(value, list):
                return [plain(v) for v in value]
            return value

        return {f.name: plain(getattr(self, f.name)) for f in fields(self)}

    def __str__(self) -> str:
        blocks = [
            f"{self.n_events} events, {self.n_particles} particles, {self.n_clusters} clusters; "
            f"intervals cover {self.confidence:.0%}"
        ]
        for head, rows in self._tables():
            widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
            lines = [
                "  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip() for r in (head, *rows)
            ]
            blocks.append("\n".join([lines[0], "-" * len(lines[0]), *lines[1:]]))
        return "\n\n".join(blocks)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self[name]!s}" for name in ("efficiency", "purity", "ratio", "resolution"))
        return f"<Evaluation of {self.n_events} events: {shown}>"

    def _repr_html_(self) -> str:
        parts = []
        for head, rows in self._tables():
            top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
            body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
            parts.append(f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>")
        return "".join(parts)

    def _tables(self) -> Iterator[tuple[list[str], list[list[str]]]]:
        yield ["figure", "value"], [[name.replace("_", " "), str(self[name])] for name in FIGURES if _known(self[name])]
        shown = [n for n in ("efficiency", "purity", "ratio", "merge_rate", "resolution") if _known(self[n])]
        if self.by_multiplicity:
            head = ["particles", *(n.replace("_", " ") for n in shown)]
            yield head, [[str(p), *(str(s[n]) for n in shown)] for p, s in self.by_multiplicity.items()]
        if self.by_energy:
            shown = ["efficiency", "purity", "resolution", "resolution_floor"]
            head = ["energy [GeV]", "n", *(n.replace("_", " ") for n in shown)]
            rows = [[f"{r['low']:g}-{r['high']:g}", str(r["n_particles"])] for r in self.by_energy]
            yield head, [row + [str(r[n]) for n in shown] for row, r in zip(rows, self.by_energy, strict=True)]


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
) -> Evaluation:
    """Score clusters against the true particles.

    Events are read one at a time and only counts and one row per particle and cluster are kept, so that files larger
    than memory can be scored.

    Parameters
    ----------
    events : sequence of Event
        A list, an `EventStore`; one Event with its label array will do.
    labels : sequence of array_like of shape (n_hits,), int
        Cluster of each hit, 0..C-1, -1 noise; one array (or tensor) for each event, or an iterator of them.
    preset : {"paper", "ticl"} or Preset
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

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        Where labels and hits differ in number (names the event and both lengths), or no event holds truth.

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
    rows = _Rows()
    for i, event, y in clustered(events, labels):
        m = match(y, event)
        rows.add(i, event, m, judge(m, cut), particle_response(m, event, cut, layer_weights, floor))
    table = rows.finish()
    if table.n_particles == 0 and rows.n_hits > 0:
        raise ValueError(
            f"none of the {rows.n_events} events holds a hit of a known particle (particle_id is -1 everywhere): "
            "evaluate needs simulated events with their truth"
        )
    weights = resamples(rows.n_events, bootstrap, seed)
    figures = table.figures(np.arange(rows.n_events), weights, energy_bins, confidence)
    by_multiplicity = {}
    for p in np.unique(table.multiplicity[table.multiplicity > 0]).tolist():
        chosen = np.flatnonzero(table.multiplicity == p)
        own = resamples(len(chosen), bootstrap, seed)
        by_multiplicity[p] = table.figures(chosen, own, energy_bins, confidence)
    return Evaluation(
        **figures,
        n_events=rows.n_events,
        n_particles=table.n_particles,
        n_clusters=int(table.sums[:, RATES.index("purity"), 1].sum()),
        preset=cut,
        confidence=confidence,
        by_multiplicity=by_multiplicity,
        by_energy=table.by_energy(weights, energy_bins, confidence),
    )


class _Rows:
    """Collects what is kept of each event."""

    def __init__(self) -> None:
        self.n_events = self.n_hits = 0
        self._sums: list[list[tuple[int, int]]] = []
        self._particles: list[Array] = []
        self._clusters: list[Array] = []

    def add(self, i: int, event: Event, m: Matching, verdict: Verdict, response: tuple[Array, Array]) -> None:
        self.n_events += 1
        self.n_hits += event.n_hits
        sums = verdict.sums()
        self._sums.append([sums[name] for name in RATES])
        energy = event.particles.energy.astype(np.float64)
        s, c = verdict.simulated, verdict.counted & (verdict.best_particle >= 0)
        which = np.full(int(s.sum()), i)
        self._particles.append(
            np.stack([which, energy[s], verdict.efficient[s], response[0][s], response[1][s]], axis=1)
        )
        self._clusters.append(
            np.stack([np.full(int(c.sum()), i), energy[verdict.best_particle[c]], verdict.pure[c]], axis=1)
        )

    def finish(self) -> _Table:
        particles = np.concatenate([np.empty((0, 5)), *self._particles])
        clusters = np.concatenate([np.empty((0, 3)), *self._clusters])
        return _Table(np.array(self._sums, np.float64).reshape(-1, len(RATES), 2), particles, clusters)


class _Table:
    """Counts of all events (n_events, figure, 2), and rows of particles and clusters that start with their event."""

    def __init__(self, sums: Array, particles: Array, clusters: Array) -> None:
        self.sums, self.particles, self.clusters = sums, particles, clusters
        self.multiplicity = sums[:, RATES.index("efficiency"), 1].astype(np.int64)
        self.n_particles = len(particles)

    def figures(self, chosen: Ints, weights: Weights, bins: ArrayLike, confidence: float) -> dict[str, Interval]:
        sums = self.sums[chosen]
        out = {name: ratio_interval(sums[:, k, 0], sums[:, k, 1], weights, confidence) for k, name in enumerate(RATES)}
        place = np.full(len(self.sums), -1)
        place[chosen] = np.arange(len(chosen))
        event = place[self.particles[:, 0].astype(np.int64)]
        inside = event >= 0
        out.update(_widths(self.particles[inside], event[inside], len(chosen), weights, bins, confidence))
        return out

    def by_energy(self, weights: Weights, bins: ArrayLike, confidence: float) -> list[dict[str, Any]]:
        edges = np.asarray(bins, np.float64)
        n_events = len(self.sums)
        out: list[dict[str, Any]] = []
        in_bin, cluster_bin = bin_of(self.particles[:, 1], bins), bin_of(self.clusters[:, 1], bins)
        for k in range(1, len(edges)):
            p = self.particles[in_bin == k]
            c = self.clusters[cluster_bin == k]
            if not len(p):
                continue
            event, owner = p[:, 0].astype(np.int64), c[:, 0].astype(np.int64)

            def per_event(rows: Ints, weight: Array | None = None) -> Array:
                return sum_by(rows, np.ones(len(rows)) if weight is None else weight, n_events)

            row: dict[str, Any] = {"low": float(edges[k - 1]), "high": float(edges[k]), "n_particles": len(p)}
            row["efficiency"] = ratio_interval(per_event(event, p[:, 2]), per_event(event), weights, confidence)
            row["purity"] = ratio_interval(per_event(owner, c[:, 2]), per_event(owner), weights, confidence)
            row.update(_widths(p, event, n_events, weights, bins, confidence))
            out.append(row)
        return out


def _widths(
    particles: Array, event: Ints, n_events: int, weights: Weights, bins: ArrayLike, confidence: float
) -> dict[str, Interval]:
    """Response, resolution and its floor of some particle rows; `event` counts within the events of the weights."""
    out = {}
    for name, column in (("resolution", 3), ("resolution_floor", 4)):
        use = np.isfinite(particles[:, column])
        value, e = particles[use, column], event[use]
        energy_bin = bin_of(particles[use, 1], bins)
        if name == "resolution":
            total, n = sum_by(e, value, n_events), sum_by(e, np.ones(len(e)), n_events)
            out["response"] = ratio_interval(total, n, weights, confidence)

        def width(times: Ints, value: Array = value, energy_bin: Ints = energy_bin) -> float:
            return resampled_resolution(value, energy_bin, times)

        out[name] = statistic_interval(width, e, weights, confidence)
    return out


def _known(value: Interval) -> bool:
    return not isnan(value)
