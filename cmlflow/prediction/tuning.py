"""Readout thresholds from an auxiliary sample: embeddings once, then a grid over the readout's parameters."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from cmlflow.checks import CheckWarning, why_unscored
from cmlflow.event import Event
from cmlflow.metrics.matching import match
from cmlflow.metrics.reconstruction import judge
from cmlflow.prediction.sizes import fitted_grid
from cmlflow.readouts import build_readout, sweep

FIGURES = ("efficiency", "purity", "ratio")
POOR = 0.2
"""Efficiency, purity or ratio below which a tuning is warned of."""


@dataclass(frozen=True)
class Tuning:
    """Result of `tune_readout`.

    Attributes
    ----------
    best : dict
        The parameters chosen.
    distance : float
        ``sqrt((1 - efficiency)^2 + (1 - purity)^2 + (1 - ratio)^2)`` there.
    table : list of dict
        Every setting tried: its parameters, efficiency, purity, ratio and distance.
    """

    best: dict[str, Any]
    distance: float
    table: list[dict[str, Any]]


def settings_of(grid: dict[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All combinations of a grid ``{parameter: values}``."""
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def distance(efficiency: float, purity: float, ratio: float) -> float:
    """Distance from perfect reconstruction that the authors of arXiv:2603.23356 minimise; inf where undefined."""
    value = float(np.sqrt((1 - efficiency) ** 2 + (1 - purity) ** 2 + (1 - ratio) ** 2))
    return value if np.isfinite(value) else float("inf")


def tune_readout(
    readout: Any,
    points: Sequence[np.ndarray],
    events: Sequence[Event],
    *,
    preset: str = "paper",
    grid: dict[str, Sequence[Any]] | None = None,
    weights: Sequence[np.ndarray] | None = None,
) -> Tuning:
    """Find the readout parameters that reconstruct an auxiliary sample best, in the middle of a plateau.

    The best settings often lie beside a cliff: with a slightly smaller radius, each shower falls into pieces. The place
    of the cliff depends on energies and multiplicity. So the distance from perfect reconstruction is averaged over each
    setting and its neighbours in the grid, and the smallest average decides.

    Parameters
    ----------
    readout : str, readout or scikit-learn clusterer
        A name of `cmlflow.readouts.READOUTS`, or an object; gives the grid, if it has a method `tuning_grid`.
    points : sequence of ndarray
        What the readout works on, one array per event: its hits, and after them points of tracks if there are some,
        which are clustered too but not scored.
    events : sequence of Event
        With truth; none of them may be in a test sample.
    preset : {"paper", "ticl", "ticl-2024"}
        Definition of efficiency and purity.
    grid : dict of str to sequence, optional
        Values to try for each parameter, in order; by default the readout's own grid, or where that does not suit the
        hits per particle or the distances of the sample, one that does.
    weights : sequence of ndarray, optional
        Of the points, for readouts that take energies; the hit energies by default.

    Returns
    -------
    Tuning

    Raises
    ------
    ValueError
        An unknown name, no grid, an unknown parameter, points that do not fit the events, or a sample on which no
        setting has an efficiency, purity and ratio: the cause is said.
    """
    readout = build_readout(readout)
    if not len(events):
        raise ValueError("events: there is none to tune on")
    for name, given in (("points", points), ("weights", weights)):
        if given is not None and len(given) != len(events):
            raise ValueError(f"{name}: got {len(given)} arrays for {len(events)} events, needs one for each event")
    if not grid and not hasattr(readout, "tuning_grid"):
        raise ValueError(f"grid: {type(readout).__name__} has none of its own, needs {{parameter: values}}")
    values: dict[str, Sequence[Any]] = {
        name: [x.item() if isinstance(x, np.generic) else x for x in v]
        for name, v in (grid or fitted_grid(readout, points, events)).items()
    }
    weight = [e.energy for e in events] if weights is None else weights
    table = _scores(readout, points, weight, events, settings_of(values), preset)
    distances = np.array([row["distance"] for row in table])
    if np.isinf(distances).all():
        grid_at_fault = f"events: each of the {len(table)} settings calls all hits of the {len(events)} events noise"
        raise ValueError(why_unscored(events, grid_at_fault))
    shape = [len(v) for v in values.values()]
    best = table[int(plateau(distances.reshape(shape)).argmin())]
    return Tuning({name: best[name] for name in values}, best["distance"], table)


def table_of(results: Mapping[str, Tuning], kept: str) -> str:
    """Figures of several readouts at their best settings, as text; the one that was kept is marked."""
    rows = []
    for name, found in results.items():
        row = next(r for r in found.table if all(r[k] == v for k, v in found.best.items()))
        figures = "  ".join(f"{figure} {row[figure]:.3f}" for figure in (*FIGURES, "distance"))
        settings = ", ".join(f"{k}={v}" for k, v in found.best.items())
        rows.append(f"{'*' if name == kept else ' '} {name:<13} {figures}  ({settings})")
    return "\n".join(rows)


def warn_of_tuning(results: Mapping[str, Tuning], events: Sequence[Event]) -> None:
    """Warn where the best setting is hardly better than one cluster for an event, or than noise.

    Warns
    -----
    CheckWarning
        With the figures, and the readout.
    """
    particles = [len(np.unique(e.particle_id[e.particle_id >= 0])) for e in events]
    several = float(np.mean(particles)) if particles else 0.0
    for name, found in results.items():
        row = next(r for r in found.table if all(r[k] == v for k, v in found.best.items()))
        clusters = row["ratio"] * several
        if several >= 2 and row["purity"] < POOR and clusters <= 1.2:
            what = f"about one cluster in an event ({clusters:.2g} of {several:.2g})"
        elif row["efficiency"] < POOR and row["ratio"] < POOR:
            what = "next to nothing but noise"
        else:
            continue
        message = (
            f"tune: the best setting of {name} finds {what}: efficiency {row['efficiency']:.2f}, purity "
            f"{row['purity']:.2f}, ratio {row['ratio']:.2f}; the embedding tells particles hardly apart, or the grid "
            "does not suit it"
        )
        warnings.warn(message, CheckWarning, stacklevel=3)


def best_distance(
    readout: Any,
    points: Sequence[np.ndarray],
    events: Sequence[Event],
    *,
    weights: Sequence[np.ndarray] | None = None,
) -> float:
    """Distance of a readout from perfect reconstruction on a sample, with suitable thresholds.

    The criterion by which ``select="physics"`` compares epochs. Thresholds that suit one epoch ruin another: the
    largest beta of a shower is 0.8 early in a training and 0.95 at its end. So every third value of each parameter of
    the readout's grid is tried; a readout without a grid is used unchanged.

    Parameters
    ----------
    readout, points, events, weights
        As in `tune_readout`.

    Returns
    -------
    float
        The smallest `distance`; inf where none is defined.
    """
    grid = readout.tuning_grid() if hasattr(readout, "tuning_grid") else {}
    given = [e.energy for e in events] if weights is None else weights
    coarse = settings_of({name: list(values)[1::3] or list(values) for name, values in grid.items()})
    return float(min(row["distance"] for row in _scores(readout, points, given, events, coarse, "paper")))


def plateau(distances: np.ndarray) -> np.ndarray:
    """Mean of each entry of a grid and its neighbours along all axes; beyond the edges, the edge counts again."""
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(np.minimum(distances, 1e6), size=3, mode="nearest"))


def _scores(
    readout: Any,
    points: Sequence[np.ndarray],
    weights: Sequence[np.ndarray],
    events: Sequence[Event],
    settings: list[dict[str, Any]],
    preset: str,
) -> list[dict[str, Any]]:
    """Figures of every setting over all events; the labels of one event at a time are in memory."""
    counts = np.zeros((len(settings), len(FIGURES), 2))
    for x, weight, event in zip(points, weights, events, strict=True):
        energy = weight if getattr(readout, "uses_energy", False) else None
        found = sweep(readout, x, settings, sample_weight=energy) if len(x) else [np.empty(0, np.int64)] * len(settings)
        for count, labels in zip(counts, found, strict=True):
            own = labels if len(labels) == event.n_hits else _of_hits(labels, event.n_hits)
            sums = judge(match(own, event), preset).sums()
            count += [sums[name] for name in FIGURES]
    above, below = counts[..., 0], counts[..., 1]
    values = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0).tolist()
    rows = [
        setting | dict(zip(FIGURES, figures, strict=True)) for setting, figures in zip(settings, values, strict=True)
    ]
    return [row | {"distance": distance(*(row[name] for name in FIGURES))} for row in rows]


def _of_hits(labels: np.ndarray, n_hits: int) -> np.ndarray:
    """Labels of the first points, the hits, without gaps in place of the clusters that have none of them."""
    own = labels[:n_hits].copy()
    own[own >= 0] = np.unique(own[own >= 0], return_inverse=True)[1]
    return own
