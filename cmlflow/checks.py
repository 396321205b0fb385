"""What can't be right about events, and what is unlike the events a model was trained on."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cmlflow.event import Event, as_events

MOST_EVENTS = 100  # that are looked at, evenly spread over the sample
MOST_HITS = 1000  # of an event, where distances are looked at
OUTSIDE = 0.1  # part of the hits that may lie outside the range of the training
MARGIN, MARGIN_OF_ONE = 0.25, 4.0  # of the range, by which it is widened; the latter / sqrt(training events) is added
TIMES = 4.0  # by which typical energies and hits per particle may differ
LENGTHS = {"mm": 10.0, "m": 0.01, "um": 1e4, "km": 1e-5}  # in a cm
NAMES = ("x", "y", "z", "energy", "layer")
ON_SLOPES = ("slopes", "prototype", "axes")  # heads that are built on x/z and y/z
STEEP = 3.0  # slope above which hits are not seen from the origin along z
FAR = 1e4  # cm: nearer positions are precise enough
SPACING = 0.05  # part of the distance of neighbours that rounding of positions may be


class CheckWarning(UserWarning):
    """A result that can't be right, with its cause."""


@dataclass(frozen=True)
class Finding:
    """One thing that can't be right.

    Attributes
    ----------
    kind : str
        ``"position"``, ``"energy"``, ``"layer"``, ``"hits per particle"``, ``"detector"``, ``"geometry"``,
        ``"pairs"``, ``"precision"`` or ``"direction"``.
    message : str
        What was found, with numbers, and what would be right.
    """

    kind: str
    message: str

    def __str__(self) -> str:
        return self.message


def check(events: Event | Sequence[Event], model: Any = None) -> list[Finding]:
    """Compare events with what can be, and with what a model was trained on.

    Parameters
    ----------
    events : Event or sequence of Event
        At most 100, evenly spread, are looked at.
    model : MetricClusterer, optional
        A fitted one. Without it, only the events themselves are looked at.

    Returns
    -------
    list of Finding
        Empty where nothing was found. `MetricClusterer.predict` warns of the same with a `CheckWarning`.

    Examples
    --------
    >>> event = Event([[0, 0, 1], [0, 0, 2]], [1.0, 2.0], particle_id=[0, 1])
    >>> [finding.kind for finding in check(event)]
    ['pairs']
    """
    sample = chosen(events)
    trained: dict[str, Any] = getattr(model, "trained_on_", {})
    found = precision(sample) + directions(sample)
    if model is None:
        return found + pairs(sample)
    head = model.head if isinstance(model.head, str) else None
    return found + against(sample, trained | getattr(model, "seen_", {})) + slopes(sample, head)


def chosen(events: Event | Sequence[Event] | Iterable[Event]) -> list[Event]:
    """The events that are looked at, those without hits left out."""
    sample = [events] if isinstance(events, Event) else as_events(events)
    places = np.unique(np.linspace(0, len(sample) - 1, min(MOST_EVENTS, len(sample))).astype(int))
    return [e for e in (sample[int(i)] for i in places) if e.n_hits]


def summary(events: Event | Sequence[Event]) -> dict[str, Any]:
    """What is typical of a training sample: kept with the model, so that other events can be compared with it.

    Returns
    -------
    dict
        ``ranges``, for x, y, z, energy and layer the quantiles 0.001, 0.5 and 0.999 over all hits; and
        ``hits_per_particle``, the median over particles with hits; ``events``, how many of these are from. Empty
        without hits.
    """
    sample = chosen(events)
    if not sample:
        return {}
    columns = np.concatenate([e.inputs() for e in sample]).astype(np.float64)
    quantiles = np.quantile(columns, [0.001, 0.5, 0.999], axis=0).T
    out: dict[str, Any] = {
        "ranges": {name: [float(f"{v:.5g}") for v in row] for name, row in zip(NAMES, quantiles, strict=True)}
    }
    out["events"] = len(sample)
    counts = hits_per_particle(sample)
    return out | ({"hits_per_particle": float(np.median(counts))} if len(counts) else {})


def hits_per_particle(events: Iterable[Event]) -> NDArray[np.int64]:
    """Number of hits of every particle that has one."""
    counts = [np.bincount(e.particle_id[e.particle_id >= 0]) for e in events]
    every = np.concatenate(counts) if counts else np.empty(0, np.int64)
    return every[every > 0].astype(np.int64)


def against(sample: Sequence[Event], trained: Mapping[str, Any]) -> list[Finding]:
    """What is unlike the training: detector, units, ranges, layers, hits per particle."""
    found = []
    own, others = trained.get("detector"), {e.detector for e in sample if e.detector}
    if own and any(other.split("-")[0] != own.split("-")[0] for other in others):
        other = min(o for o in others if o.split("-")[0] != own.split("-")[0])
        found.append(Finding("detector", f"events of {other!r}, but the model was trained on {own!r}"))
    ranges = trained.get("ranges")
    if not sample or not ranges:
        return found
    columns = dict(zip(NAMES, np.concatenate([e.inputs() for e in sample]).astype(np.float64).T, strict=True))
    margin = MARGIN + MARGIN_OF_ONE / np.sqrt(trained.get("events", MOST_EVENTS))
    found += _positions(columns, ranges, margin) + _energies(columns["energy"], ranges["energy"])
    found += _layers(columns["layer"], ranges["layer"])
    usual, counts = trained.get("hits_per_particle"), hits_per_particle(sample)
    if usual and len(counts) and not 1 / TIMES <= np.median(counts) / usual <= TIMES:
        found.append(
            Finding(
                "hits per particle",
                f"particles have {np.median(counts):g} hits (median), those of the training {usual:g}: "
                "readouts tuned there don't fit, tune them on such events",
            )
        )
    return found


def _inside(values: NDArray[np.float64], low: float, high: float) -> float:
    return float(np.mean((values >= low) & (values <= high)))


def _positions(columns: Mapping[str, Any], ranges: Mapping[str, Sequence[float]], margin: float) -> list[Finding]:
    limits = {}
    for axis in "xyz":
        low, _, high = ranges[axis]
        wider = margin * max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-9)
        limits[axis] = low - wider, high + wider
    outside = [axis for axis in "xyz" if 1 - _inside(columns[axis], *limits[axis]) > OUTSIDE]
    if not outside:
        return []
    for unit, factor in LENGTHS.items():
        if all(1 - _inside(columns[axis] / factor, *limits[axis]) <= OUTSIDE for axis in "xyz"):
            where = f"divided by {factor:g} they lie where the hits of the training do"
            return [Finding("position", f"positions are in {unit}: {where}; expected cm")]
    axis = outside[0]
    low, high = np.quantile(columns[axis], [0.001, 0.999])
    what = f"{axis} is {low:.5g} to {high:.5g} cm, in the training {ranges[axis][0]:.5g} to {ranges[axis][2]:.5g} cm"
    part = 1 - _inside(columns[axis], *limits[axis])
    return [Finding("position", f"{what}: {part:.0%} of the hits lie where the model saw none")]


def _energies(energy: NDArray[np.float64], limits: Sequence[float]) -> list[Finding]:
    median = float(np.median(energy))
    if limits[1] <= 0 or 1 / TIMES <= median / limits[1] <= TIMES:
        return []
    what = f"the median hit energy is {median:.3g}, in the training {limits[1]:.3g}"
    return [Finding("energy", f"{what}: another unit or another threshold; convert, or train on such events")]


def _layers(layer: NDArray[np.float64], limits: Sequence[float]) -> list[Finding]:
    low, high = int(layer.min()), int(layer.max())
    first, last = int(limits[0]), int(limits[2])
    if low == high and last > first:
        return [Finding("layer", f"all hits are in layer {low}, those of the training in {first} to {last}")]
    if low + 1 == first and _inside(layer + 1, first, last) >= 1 - OUTSIDE:
        return [Finding("layer", f"layers count from {low}, those of the training from {first}: add {first - low}")]
    if np.mean((layer < first) | (layer > last)) > OUTSIDE:
        return [Finding("layer", f"hits are in layers {low} to {high}, those of the training in {first} to {last}")]
    return []


def slopes(sample: Sequence[Event], head: str | None) -> list[Finding]:
    """Hits for which x/z and y/z mean nothing, for heads that are built on them."""
    if head not in ON_SLOPES or not sample:
        return []
    position = np.concatenate([e.position for e in sample]).astype(np.float64)
    z, across = position[:, 2], np.hypot(position[:, 0], position[:, 1])
    why = f"head={head!r} is built on x/z and y/z"
    advice = "use another head, such as 'supcon' or 'margin'"
    if not z.any():
        return [Finding("geometry", f"{why}, but all hits lie in the plane z = 0: {advice}")]
    steep = float(np.mean(across > STEEP * np.abs(z)))
    if steep > 0.01:
        return [
            Finding(
                "geometry",
                f"{why}, but {steep:.0%} of the hits have slopes above {STEEP:g}, as in a barrel: {advice}",
            )
        ]
    both = [e for e in sample if e.position[:, 2].min() < 0 < e.position[:, 2].max()]
    if both:
        return [
            Finding(
                "geometry",
                f"{why}, which are the same on both sides of the origin, but {both[0].title} has hits on either: "
                f"give each side as an event of its own, or {advice}",
            )
        ]
    return []


def pairs(sample: Sequence[Event]) -> list[Finding]:
    """Whether there is something to learn from: hits of the same particle, and of different ones, in an event."""
    same = any(np.bincount(e.particle_id[e.particle_id >= 0]).max(initial=0) > 1 for e in sample)
    different = any(len(np.unique(e.particle_id[e.particle_id >= 0])) > 1 for e in sample)
    found = []
    if different and not same:
        found.append(
            Finding("pairs", "every particle has one hit: there are no two hits of the same particle to learn from")
        )
    if same and not different:
        found.append(
            Finding(
                "pairs",
                "every event has one particle: there are no two hits of different particles to learn from; lay events "
                "over each other",
            )
        )
    return found


def precision(sample: Sequence[Event]) -> list[Finding]:
    """Positions so far from the origin that single precision confuses neighbours."""
    for event in sample:
        far = float(np.abs(event.position).max())
        if far < FAR:
            continue
        x = np.unique(event.position[:MOST_HITS], axis=0)
        if len(x) < 2:
            continue
        near = float(np.median(cKDTree(x.astype(np.float64)).query(x, k=2)[0][:, 1]))
        step = float(np.spacing(np.float32(far)))
        if step > SPACING * near:
            return [
                Finding(
                    "precision",
                    f"{event.title}: positions are up to {far:.3g} cm from the origin, where single precision "
                    f"has steps of {step:.2g} cm, but neighbours are {near:.2g} cm apart: subtract an origin first",
                )
            ]
    return []


def directions(sample: Sequence[Event]) -> list[Finding]:
    """Tracks whose direction has no length."""
    for event in sample:
        if event.tracks is not None and len(event.tracks):
            length = np.linalg.norm(event.tracks.direction, axis=1)
            if not length.all():
                track = int(np.flatnonzero(length == 0)[0])
                return [
                    Finding(
                        "direction", f"{event.title}: the direction of track {track} is (0, 0, 0), expected a vector"
                    )
                ]
    return []


def why_unscored(events: Sequence[Event], otherwise: str) -> str:
    """Why clusters of these events can't be scored, in words.

    Parameters
    ----------
    events : sequence of Event
    otherwise : str
        What to say where the events have hits, truth and energies.
    """
    n = len(events)
    if not any(e.n_hits for e in events):
        return f"events: none of the {n} events has a hit"
    labelled = [e for e in events if (e.particle_id >= 0).any()]
    if not labelled:
        return (
            f"events: none of the {n} events holds a hit of a known particle (particle_id is -1 everywhere): "
            "simulated events with their truth are needed"
        )
    if not any((e.energy[e.particle_id >= 0] > 0).any() for e in labelled):
        return (
            f"events: all labelled hits of the {n} events have an energy of 0, and particles count by their energy: "
            "give every hit an energy above 0, 1 where the detector measures none"
        )
    return otherwise


def warn(findings: Iterable[Finding], stacklevel: int = 3) -> None:
    """Warn of each finding with a `CheckWarning`."""
    for finding in findings:
        warnings.warn(finding.message, CheckWarning, stacklevel=stacklevel)
