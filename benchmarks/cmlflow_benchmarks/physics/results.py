"""Figures of the matrix with intervals over events and spread over seeds, alone and combined with each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from cmlflow.metrics import Interval
from cmlflow.metrics.matching import Array
from cmlflow.recipes import RECIPES
from cmlflow_benchmarks.physics.matrix import (
    SPECTRUM,
    SYSTEMS,
    WIDE,
    Run,
    Size,
    native_readout,
    recipe_name,
    training_range,
)
from cmlflow_benchmarks.physics.rows import Rows, figure, joined, rows_of
from cmlflow_benchmarks.verdicts import Estimate

Kept = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Query:
    """One figure of one kind of model.

    Attributes
    ----------
    kind, system : str
    sample : {"em", "had", "mixed"}
        What is tested on; "mixed" has the spectrum of training events alone.
    figure : str
        See `cmlflow_benchmarks.physics.rows.figure`.
    particles : tuple of int
        Numbers of particles per event, taken together.
    readout : str
        ``"native"`` is the system's own, ``"native@wide"`` the same tuned on more particles.
    energy : (float, float), optional [GeV]
        Only particles of these energies.
    dim : int, optional
        The largest of the system by default.
    """

    kind: str
    system: str
    sample: str
    figure: str
    particles: tuple[int, ...] = ()
    readout: str = "native"
    energy: tuple[float, float] | None = None
    dim: int | None = None


class Results:
    """All that is kept of a run, and the figures that follow.

    Parameters
    ----------
    size : Size
    runs : sequence of Run
        The matrix that was asked for.
    tests : dict of Run to dict of str to dict
        What was kept of each test set, by its name; runs and sets that are missing have not been run.
    tuning : dict of Run to dict
        Thresholds and scores on the auxiliary sample.
    origins : dict of Run to dict
        Where models come from.
    """

    def __init__(
        self,
        size: Size,
        runs: Sequence[Run],
        tests: Mapping[Run, Kept],
        tuning: Mapping[Run, Mapping[str, Any]] | None = None,
        origins: Mapping[Run, Mapping[str, Any]] | None = None,
    ) -> None:
        self.size, self.runs, self.tests = size, list(runs), tests
        self.tuning, self.origins = tuning or {}, origins or {}
        self._rows: dict[tuple[Run, Query], Rows | None] = {}
        self._replicas: dict[Query, dict[int, tuple[float, Array]]] = {}

    @property
    def kinds(self) -> list[str]:
        """Kinds of the matrix."""
        return list(dict.fromkeys(c.kind for c in self.runs))

    @property
    def systems(self) -> list[str]:
        """Systems of the matrix, without controls."""
        return [name for name in dict.fromkeys(c.system for c in self.runs) if not SYSTEMS[name].control_of]

    @property
    def controls(self) -> list[str]:
        """Controls of the matrix."""
        return [name for name in dict.fromkeys(c.system for c in self.runs) if SYSTEMS[name].control_of]

    def of_seed(self, seed: int) -> Results:
        """The models of one seed."""
        chosen = [c for c in self.runs if c.seed == seed]
        return Results(self.size, chosen, self.tests, self.tuning, self.origins)

    @property
    def dims(self) -> list[int]:
        """Dimensions of the matrix, the largest first."""
        return sorted({c.dim for c in self.runs}, reverse=True)

    @property
    def seeds(self) -> list[int]:
        """Seeds of the matrix."""
        return sorted({c.seed for c in self.runs})

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of particles of test events."""
        return tuple(sorted(self.size.events))

    def beyond(self, kind: str) -> tuple[int, ...]:
        """Numbers of particles above those of training events."""
        return tuple(n for n in self.numbers if n > training_range(self.size, kind)[0][1])

    def inside(self, kind: str) -> tuple[int, ...]:
        """Numbers of particles within those of training events."""
        few, many = training_range(self.size, kind)[0]
        return tuple(n for n in self.numbers if few <= n <= many)

    def readout(self, kind: str, system: str, readout: str) -> str:
        """Name of a readout; of the system's own for ``"native"``."""
        name, _, wide = readout.partition("@")
        if name != "native" or recipe_name(self.size, kind, system) not in RECIPES:
            return readout
        own = native_readout(self.size, kind, system)
        return own.removesuffix(WIDE) + WIDE if wide else own

    def asks_for(self, query: Query, run: Run) -> bool:
        """Whether a run has the kind, system and dimension of a query."""
        if (run.kind, run.system) != (query.kind, query.system):
            return False
        dim = max(c.dim for c in self.runs if (c.kind, c.system) == (query.kind, query.system))
        return run.dim == (query.dim or dim)

    def rows(self, run: Run, query: Query) -> Rows | None:
        """What a figure of one run is made of; None where it has not been run."""
        key = run, query
        if key not in self._rows:
            self._rows[key] = self._read(run, query)
        return self._rows[key]

    def combine(self, function: Callable[..., Any], *queries: Query) -> Estimate | None:
        """A function of figures, with the same resamples of events and the same seeds in all of them.

        Parameters
        ----------
        function : callable
            Takes one number or array for each query: ``lambda a, b: a - b``.
        *queries : Query
            On the same test events.

        Returns
        -------
        Estimate or None
            None where no seed has been run for all of them.
        """
        found = [self._resampled(q) for q in queries]
        seeds = [s for s in self.seeds if all(s in f for f in found)]
        if not seeds:
            return None
        with np.errstate(invalid="ignore"):
            values = {s: float(function(*(f[s][0] for f in found))) for s in seeds}
            replicas = np.mean([function(*(f[s][1] for f in found)) for s in seeds], axis=0)
        replicas = replicas[np.isfinite(replicas)]
        value = float(np.mean(list(values.values())))
        if isnan(value) or len(replicas) == 0:
            return Estimate(Interval(value), values)
        return Estimate(Interval(value, *np.quantile(replicas, (0.025, 0.975))), values)

    def estimate(self, query: Query) -> Estimate | None:
        """A figure; None where it has not been run."""
        return self.combine(lambda a: a, query)

    def difference(self, a: Query, b: Query) -> Estimate | None:
        """First figure minus second."""
        return self.combine(lambda x, y: x - y, a, b)

    def _resampled(self, query: Query) -> dict[int, tuple[float, Array]]:
        if query not in self._replicas:
            out = {}
            for run in self.runs:
                rows = self.rows(run, query) if self.asks_for(query, run) else None
                if rows is not None:
                    once = np.ones((1, rows.n_events), np.int64)
                    value = float(figure(rows, query.figure, once, self.size.energy_bins)[0])
                    weights = rows.weights(self.size.bootstrap)
                    many = figure(rows, query.figure, weights, self.size.energy_bins)
                    if all(n < 2 for _, n in rows.strata):
                        many = np.full_like(many, np.nan)
                    out[run.seed] = value, many
            self._replicas[query] = out
        return self._replicas[query]

    def _read(self, run: Run, query: Query) -> Rows | None:
        kept = self.tests.get(run, {})
        names = [SPECTRUM] if query.sample == "mixed" else [f"{query.sample}-{n:02d}" for n in query.particles]
        readout = self.readout(query.kind, query.system, query.readout)
        if not names or any(n not in kept or readout not in kept[n]["readouts"] for n in names):
            return None
        rows = joined([rows_of(n, kept[n], readout) for n in names])
        return rows if query.energy is None else rows.within(*query.energy)
