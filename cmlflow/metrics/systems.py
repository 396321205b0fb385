"""Figures of several systems on the same events, and each system against one of them on the same resamples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.metrics import written
from cmlflow.metrics.intervals import Interval, Weights, percentile_interval, replicas_of, resamples
from cmlflow.metrics.residuals import statistic_of
from cmlflow.metrics.resolution import bin_of

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sample:
    """The rows that a figure is made of, and how.

    Attributes
    ----------
    event : ndarray of shape (n_rows,), int64
        Event of each row, 0..n_events-1.
    energy : ndarray of shape (n_rows,), float64 [GeV]
        True energy by which rows go into bins.
    columns : tuple of ndarray of shape (n_rows,)
    statistic : callable
        Takes the columns of some rows, each as one argument, and returns a function of how often each row counts.
    ratio : bool
        Whether systems are compared by the ratio (for widths and distances: the reference's over the system's, so 3
        means three times better) or by the difference (the system's minus the reference's).
    """

    event: Ints
    energy: Array
    columns: tuple[Array, ...]
    statistic: Callable[..., Callable[[Ints], float]]
    ratio: bool = False

    def chosen(self, rows: NDArray[np.bool_]) -> Sample:
        """The same figure of some of the rows."""
        columns = tuple(c[rows] for c in self.columns)
        return Sample(self.event[rows], self.energy[rows], columns, self.statistic, self.ratio)

    def function(self) -> Callable[[Ints], float]:
        """The figure as a function of how often each row counts."""
        return self.statistic(*self.columns)


@dataclass(frozen=True, eq=False)
class SystemFigures(Mapping[str, dict[str, Interval]]):
    """Figures by system, each with its bootstrap interval over events.

    Reads as a mapping from systems to dicts of figures (``table["learned"]["core_sigma"]``), prints as tables.

    Attributes
    ----------
    figures : dict of str to dict of Interval
        By system and figure.
    versus : dict of str to dict of Interval
        Every other system against the reference, on the same resamples of events. For widths and distances, names end
        in ``_ratio``, the reference's over the system's: 3 means three times better. For all others they end in
        ``_difference``, the system's minus the reference's. Empty without a reference.
    against : str or None
        The reference.
    n : dict of str to int
        Largest number of rows (events, particles) behind any figure of each system.
    low, high : float or None [GeV]
        Limits of the bin of true energy; None for all energies together.
    by_energy : list of SystemFigures
        The same in each bin in which any system has rows.
    """

    figures: dict[str, dict[str, Interval]]
    versus: dict[str, dict[str, Interval]]
    against: str | None
    n: dict[str, int]
    low: float | None = None
    high: float | None = None
    by_energy: list[SystemFigures] = field(default_factory=list)

    def __getitem__(self, name: str) -> dict[str, Interval]:
        if name not in self.figures:
            raise KeyError(f"{name!r} is none of the systems; there are {', '.join(self.figures)}")
        return self.figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.figures)

    def __len__(self) -> int:
        return len(self.figures)

    def table(self, names: Sequence[str] | None = None) -> written.Grid:
        """Head and rows of a table: a row for each figure, a column for each system.

        Parameters
        ----------
        names : sequence of str, optional
            Figures to show; all by default.
        """
        return _table(self.figures, names)

    def versus_table(self, names: Sequence[str] | None = None) -> written.Grid:
        """The same of `versus`."""
        return _table(self.versus, names)

    def energy_table(self, name: str) -> written.Grid:
        """One figure, or one of `versus`: a row for each bin of true energy, a column for each system."""
        nothing = Interval(float("nan"))
        rows: list[list[Any]] = []
        for part in self.by_energy:
            there = {system: own | part.versus.get(system, {}) for system, own in part.figures.items()}
            rows.append([f"{part.low:g}-{part.high:g}", *(own.get(name, nothing) for own in there.values())])
        return written.Grid((["energy [GeV]", *self.figures], rows))

    def to_frame(self) -> Any:
        """A pandas data frame: one row for each figure of each system, and for each comparison with `against`.

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        return written.frame(self.figures, self.versus, self.against)

    def to_csv(self, path: str | PathLike[str]) -> None:
        """The same as a file: system, against, figure, value, low, high."""
        written.write_csv(path, self.figures, self.versus, self.against)

    def to_latex(self, path: str | PathLike[str] | None = None) -> str:
        """Tables of figures and of comparisons as LaTeX; also written to a file where there is a path."""
        return written.write_latex(path, written.latex(self.figures, self.versus, self.against))

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, lists [value, low, high] and dicts, ready for JSON; None for nan."""

        def plain(of: dict[str, dict[str, Interval]]) -> dict[str, dict[str, list[float | None]]]:
            return {s: {name: value.to_list() for name, value in row.items()} for s, row in of.items()}

        return {
            "figures": plain(self.figures),
            "versus": plain(self.versus),
            "against": self.against,
            "n": self.n,
            "low": self.low,
            "high": self.high,
            "by_energy": [part.to_dict() for part in self.by_energy],
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> SystemFigures:
        """From what `to_dict` gave, also after a round trip through JSON."""

        def intervals(of: Mapping[str, Mapping[str, Sequence[float | None]]]) -> dict[str, dict[str, Interval]]:
            return {system: {name: known(value) for name, value in own.items()} for system, own in of.items()}

        def known(value: Sequence[float | None]) -> Interval:
            return Interval(*(float("nan") if x is None else x for x in value))

        figures, versus = intervals(state["figures"]), intervals(state["versus"])
        parts = [cls.from_dict(part) for part in state["by_energy"]]
        return cls(figures, versus, state["against"], dict(state["n"]), state["low"], state["high"], parts)

    def __str__(self) -> str:
        blocks = [str(self.table())]
        if self.versus:
            blocks.append(f"against {self.against}\n" + str(self.versus_table()))
        return "\n\n".join(blocks)

    def __repr__(self) -> str:
        return f"<SystemFigures of {', '.join(self.figures)}: {len(self.by_energy)} bins of energy>"


def compare_systems(
    samples: Mapping[str, Mapping[str, Sample]],
    n_events: int,
    *,
    bins: ArrayLike | None = None,
    against: str | None = None,
    bootstrap: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> SystemFigures:
    """Figures of systems from their rows, overall and in bins of true energy.

    Parameters
    ----------
    samples : dict of str to dict of str to Sample
        By system and figure.
    n_events : int
        Number of events, the same for all systems.
    bins : array_like of shape (n_bins + 1,), float, optional [GeV]
        Increasing edges; rows outside count only for all energies together.
    against : str, optional
        The system that the others are compared with.
    bootstrap, confidence, seed
        As in `cmlflow.evaluate`.

    Raises
    ------
    ValueError
        `against` is none of the systems, or the edges do not rise.
    """
    if against is not None and against not in samples:
        raise ValueError(f"against is {against!r}, expected one of {', '.join(samples)}")
    weights = resamples(n_events, bootstrap, seed)
    out = _figures(samples, weights, against, confidence)
    if bins is None:
        return out
    edges = np.asarray(bins, np.float64)
    bin_of([], edges)
    for k in range(1, len(edges)):
        inside = {
            system: {name: s.chosen(bin_of(s.energy, edges) == k) for name, s in own.items()}
            for system, own in samples.items()
        }
        if any(len(s.event) for own in inside.values() for s in own.values()):
            limits = float(edges[k - 1]), float(edges[k])
            out.by_energy.append(_figures(inside, weights, against, confidence, *limits))
    return out


def sum_ratio(numerator: Array, denominator: Array) -> Callable[[Ints], float]:
    """Sum over sum, such as a rate, as a function of how often each row counts; nan where the denominator is 0."""

    def statistic(times: Ints) -> float:
        below = float(times @ denominator)
        return float(times @ numerator) / below if below else float("nan")

    return statistic


def residual_sample(name: str, value: Array, event: Ints, energy: Array, *, ratio: bool) -> Sample:
    """A figure of `cmlflow.metrics.residuals` of some values as a `Sample`."""
    return Sample(event, energy, (value,), lambda v: statistic_of(name, v), ratio)


def _figures(
    samples: Mapping[str, Mapping[str, Sample]],
    weights: Weights,
    against: str | None,
    confidence: float,
    low: float | None = None,
    high: float | None = None,
) -> SystemFigures:
    values: dict[str, dict[str, tuple[float, Array]]] = {}
    for system, own in samples.items():
        values[system] = {}
        for name, s in own.items():
            f = s.function()
            values[system][name] = f(np.ones(len(s.event), np.int64)), replicas_of(f, s.event, weights)
    figures = {
        system: {name: percentile_interval(*pair, confidence) for name, pair in evaluated.items()}
        for system, evaluated in values.items()
    }
    n = {system: max((len(s.event) for s in own.values()), default=0) for system, own in samples.items()}
    versus: dict[str, dict[str, Interval]] = {}
    for system, evaluated in values.items():
        if against is None or system == against:
            continue
        versus[system] = {}
        for name, (value, replicas) in evaluated.items():
            other, theirs = values[against].get(name, (float("nan"), np.empty(0)))
            ratio = samples[system][name].ratio
            if len(replicas) != len(theirs):
                replicas = theirs = np.empty(0)
            with np.errstate(divide="ignore", invalid="ignore"):
                both = np.float64(other) / value if ratio else np.float64(value) - other
                each = theirs / replicas if ratio else replicas - theirs
            key = f"{name}_{'ratio' if ratio else 'difference'}"
            versus[system][key] = percentile_interval(float(both), each, confidence)
    return SystemFigures(figures, versus, against, n, low, high)


def _table(figures: Mapping[str, Mapping[str, Interval]], names: Sequence[str] | None) -> written.Grid:
    found = dict.fromkeys(name for own in figures.values() for name in own)
    shown = list(found) if names is None else list(names)
    missing = Interval(float("nan"))
    rows = {name: [own.get(name, missing) for own in figures.values()] for name in shown}
    known = [[name.replace("_", " "), *row] for name, row in rows.items() if not all(isnan(v) for v in row)]
    return written.Grid((["figure", *figures], known))
