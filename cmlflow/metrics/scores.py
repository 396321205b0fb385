"""What an evaluation returns: figures with intervals that read as a mapping and print as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from html import escape
from math import isnan
from typing import Any

from cmlflow.metrics.intervals import Interval
from cmlflow.metrics.reconstruction import RATES, Preset

FIGURES = (*RATES, "response", "resolution", "resolution_floor")


@dataclass(frozen=True, eq=False)
class Evaluation(Mapping[str, Interval]):
    """Scores of a clustering, each with its bootstrap interval over events.

    The limits are percentiles over resampled events; a rate of exactly 0 or 1 resamples to itself, so its interval has
    no width and says nothing about rare failures. Reads as a mapping (``table["efficiency"]``) or by attribute
    (``table.efficiency``), prints as a table.

    Attributes
    ----------
    efficiency, purity, ratio, merge_rate, duplicate_rate, fake_rate, split_rate, completeness : Interval
        As in `cmlflow.metrics.reconstruction_metrics`, pooled over events.
    response : Interval
        Mean of E_reco / E_true before calibration, of particles with a pure cluster.
    resolution, resolution_floor : Interval
        Effective width of the calibrated response, of the clusters and of perfect pattern recognition.
    by_multiplicity : dict of int to dict of Interval
        The same figures for events with as many particles (with visible energy). Responses are calibrated by the
        energy bins of all events, then by the mean of the group.
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
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    def __str__(self) -> str:
        blocks = [
            f"{self.n_events} events, {self.n_particles} particles, {self.n_clusters} clusters; "
            f"intervals cover {self.confidence:.0%}"
        ]
        for head, rows in self._tables():
            blocks.append(_aligned(head, rows))
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


@dataclass(frozen=True, eq=False)
class EmbeddingEvaluation(Mapping[str, Interval]):
    """Figures of `cmlflow.metrics.embedding_metrics`, averaged over events, each with its bootstrap interval.

    Attributes
    ----------
    figures : dict of str to Interval
    by_multiplicity : dict of int to dict of Interval
        The same for events with as many particles.
    n_events : int
    """

    figures: dict[str, Interval]
    by_multiplicity: dict[int, dict[str, Interval]]
    n_events: int

    def __getitem__(self, name: str) -> Interval:
        return self.figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.figures)

    def __len__(self) -> int:
        return len(self.figures)

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, lists [value, low, high] and dicts, ready for JSON; None for nan."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    def __str__(self) -> str:
        groups = {"all": self.figures, **{str(p): s for p, s in self.by_multiplicity.items()}}
        head = ["particles", *(name.replace("_", " ") for name in self.figures)]
        return _aligned(head, [[p, *map(str, s.values())] for p, s in groups.items()])


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return value.to_list()
    if isinstance(value, Preset):
        return {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return value


def _aligned(head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    padded = ([cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in (head, *rows))
    lines = ["  ".join(row).rstrip() for row in padded]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _known(value: Interval) -> bool:
    return not isnan(value)
