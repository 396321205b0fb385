"""3-D displays of events: truth beside predictions, in one HTML file."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import Event, Tracks, as_events
from cmlflow.metrics.matching import checked_labels, match
from cmlflow.metrics.reconstruction import judge
from cmlflow.plots.colours import cluster_colours, palette
from cmlflow.plots.page import DISPLAY, html_page, write_page
from cmlflow.simulation.detector import DETECTORS

Labels = Sequence[Any] | Mapping[str, Sequence[Any]]

PARTICLES = {
    11: "e⁻",
    -11: "e⁺",
    13: "μ⁻",
    -13: "μ⁺",
    22: "γ",
    111: "π⁰",
    211: "π⁺",
    -211: "π⁻",
    130: "K⁰L",
    310: "K⁰S",
    321: "K⁺",
    -321: "K⁻",
    2112: "n",
    -2112: "n̄",
    2212: "p",
    -2212: "p̄",
}


def event_display(
    events: Event | Sequence[Event] | Iterable[Event],
    labels: Labels | None = None,
    path: str | Path | None = None,
    *,
    title: str = "cmlflow events",
    max_events: int = 20,
) -> str:
    """Show events in 3-D, truth beside predictions, as one HTML page without outside references.

    Parameters
    ----------
    events : Event or sequence of Event
    labels : optional
        Cluster of each hit, -1 noise: one array for each event (for a single Event, its array), or a dict of these
        by name, to compare clusterings. The first two are shown beside the truth, the page lets choose among all.
    path : path, optional
        File to write.
    title : str
    max_events : int
        Only as many are shown, the first ones.

    Returns
    -------
    str
        The page.

    Raises
    ------
    ValueError
        Where labels do not fit the events.
    OSError
        Where the file cannot be written.

    Notes
    -----
    Hits have the colour of their particle; a cluster has that of the particle with which it shares most energy, so
    that a correct clustering looks like the truth. Where several clusters belong to one particle, the others stand
    out by a colour of their own and diamonds (`cmlflow.plots.cluster_colours`). Noise is grey. The area of a marker
    grows with the logarithm of the hit's energy.

    Examples
    --------
    >>> e = Event([[0, 0, 320], [5, 0, 320]], [3.0, 1.0], particle_id=[0, 1])
    >>> page = event_display(e, [0, 0])
    """
    if isinstance(events, Event):
        events = [events]
        if labels is not None:
            named = labels if isinstance(labels, Mapping) else {"Prediction": labels}
            labels = {name: y if _is_nested(y) else [y] for name, y in named.items()}
    body = f"<h1>{escape(title)}</h1>\n<section>{display_html(events, labels, max_events=max_events)}</section>"
    page = html_page(title, body)
    if path is not None:
        write_page(path, page)
    return page


def display_html(
    events: Sequence[Event] | Iterable[Event],
    labels: Labels | None = None,
    *,
    names: Sequence[str] | None = None,
    max_events: int = 20,
) -> str:
    """The display of `event_display` as a part of a page made with `cmlflow.plots.page.html_page`.

    Parameters
    ----------
    events, labels, max_events
        As in `event_display`.
    names : sequence of str, optional
        What the events are called in the list to choose from; their number by default.
    """
    sample = as_events(events)
    clusterings: dict[str, Sequence[Any]] = {}
    if labels is not None:
        clusterings = dict(labels) if isinstance(labels, Mapping) else {"Prediction": labels}
    for name, given in clusterings.items():
        if len(given) != len(sample):
            raise ValueError(f"labels ({name}) hold {len(given)} arrays, but there are {len(sample)} events")
    shown = list(islice(sample, max_events))
    data: dict[str, Any] = {
        "names": list(clusterings),
        "shown": list(range(min(2, len(clusterings)))),
        "unit": next((DETECTORS[e.detector].unit for e in shown if e.detector in DETECTORS), ""),
        "events": [
            _event_data(
                e,
                {name: y[i] for name, y in clusterings.items()},
                f"event {i if e.number is None else e.number}" if names is None else names[i],
                f"event {i}" if e.number is None else f"event {e.number}",
            )
            for i, e in enumerate(shown)
        ],
    }
    numbers = [c for e in data["events"] for d in e["clusterings"] for c in d["colours"]]
    data["palette"] = palette(1 + max([*numbers, *(len(e["particles"]) for e in data["events"])], default=0))
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("</", "<\\/")
    left = len(sample) - len(shown)
    note = f'<p class="note">The first {len(shown)} of {len(sample)} events.</p>' if left > 0 else ""
    return (
        f'{DISPLAY}<script type="application/json">{text}</script>'
        f"<noscript>The display needs JavaScript and WebGL.</noscript></div>{note}"
    )


def _event_data(event: Event, labels: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    known = bool((event.particle_id >= 0).any())
    x, y, z = event.position.T
    tracks = [] if event.tracks is None else _track_lines(event, event.tracks)
    ends = [np.array(line).T for t in tracks for line in t["lines"]]
    frame, whole = (_box(points) for points in (_without_far(event.position), event.position))
    if ends:
        frame, whole = (_box(np.concatenate([np.stack(box), *ends]), margin=1.0) for box in (frame, whole))
    outside = int(((event.position < frame[0]) | (event.position > frame[1])).any(1).sum())
    return {
        "name": name,
        "truth": known,
        "caption": _hits_caption(event, known) + (f" {outside} far hits outside the frame." if outside else ""),
        "far": outside,
        "x": _floats(x),
        "y": _floats(y),
        "z": _floats(z),
        "energy": _floats(event.energy),
        "size": _ints(np.round(10 * marker_sizes(event.energy))),
        "purity": _ints(np.round(100 * event.purity)),
        "layer": _ints(event.layer),
        "particle": _ints(event.particle_id),
        "particles": [_particle_name(event, p) for p in range(event.n_particles)],
        "tracks": tracks,
        "frame": _frame(frame),
        "whole": _frame(whole),
        "clusterings": [_clustering_data(event, checked_labels(y, event, where), known) for y in labels.values()],
    }


def marker_sizes(energy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Diameters [pixels] of hit markers, between 2 and 9, by the logarithm of the hit energies.

    Parameters
    ----------
    energy : ndarray of shape (n_hits,), float
        In any unit: the scale runs from the 5 % to the 99.9 % quantile of the event.
    """
    log = np.log10(np.maximum(energy.astype(np.float64), 1e-9))
    if not len(log):
        return np.empty(0, np.float32)
    low, high = np.quantile(log, [0.05, 0.999])
    share = np.clip((log - low) / (high - low), 0, 1) if high > low else np.full(len(log), 0.5)
    sizes: NDArray[np.float32] = (2 + 7 * share).astype(np.float32)
    return sizes


def _clustering_data(event: Event, y: NDArray[np.int64], known: bool) -> dict[str, Any]:
    n = int(y.max(initial=-1)) + 1
    colours = cluster_colours(y, event) if known else np.arange(n)
    names = [f"cluster {c}" for c in range(n)]
    noise = int((y < 0).sum())
    caption = f"{len(np.unique(y[y >= 0]))} clusters, {noise} noise hits."
    if known:
        sums = judge(match(y, event)).sums()
        found, there = sums["efficiency"]
        pure, counted = sums["purity"]
        labelled = event.particle_id >= 0
        right = labelled & (y >= 0)
        right[right] = colours[y[right]] == event.particle_id[right]
        total = float(event.energy[labelled].sum())
        share = float(event.energy[right].sum()) / total if total else float("nan")
        caption = f"{counted} clusters, {pure} pure; {found} of {there} particles found; {noise} noise hits. "
        caption += "" if isnan(share) else f"{100 * share:.1f} % of the energy in hits of the right cluster."
        names = [f"cluster {c} → particle {k}" if k < event.n_particles else f"cluster {c}"
                 for c, k in enumerate(colours.tolist())]  # fmt: skip
    return {"labels": _ints(y), "colours": colours.tolist(), "names": names, "caption": caption}


def _hits_caption(event: Event, known: bool) -> str:
    tracks = "" if event.tracks is None else f", {len(event.tracks)} tracks"
    if not event.n_hits:
        return f"No hits{tracks}."
    count = "1 hit" if event.n_hits == 1 else f"{event.n_hits} hits"
    if not known:
        return f"{count}{tracks}; particles unknown."
    mixed = float((event.purity[event.particle_id >= 0] < 0.9).mean())
    particles = "1 particle" if event.n_particles == 1 else f"{event.n_particles} particles"
    return f"{particles}, {count}{tracks}; {100 * mixed:.1f} % of the hits have more than 10 % from other particles."


def _particle_name(event: Event, p: int) -> str:
    pdg, energy = int(event.particles.pdg_id[p]), float(event.particles.energy[p])
    kind = PARTICLES.get(pdg, f"PDG {pdg}" if pdg else "")
    size = "" if isnan(energy) else f"{energy:.3g} GeV"
    known = " ".join(s for s in (kind, size) if s)
    return f"particle {p}: {known}" if known else f"particle {p}"


def _track_lines(event: Event, tracks: Tracks) -> list[dict[str, Any]]:
    """Each track as a line up to its entry point and, thinner, its straight continuation."""
    depth = float(np.ptp(event.position[:, 2])) if event.n_hits else 100.0
    depth = max(depth, 10.0)
    out = []
    for momentum, direction, entry, particle in zip(
        tracks.momentum, tracks.direction, tracks.entry, tracks.particle, strict=True
    ):
        before, after = entry - 0.25 * depth * direction, entry + 0.8 * depth * direction
        lines = [np.stack(ends, axis=1).astype(float).round(2).tolist() for ends in ((before, entry), (entry, after))]
        name = f"track {momentum:.3g} GeV" + (f", particle {particle}" if particle >= 0 else "")
        out.append({"name": name, "particle": int(particle), "lines": lines})
    return out


def _without_far(position: NDArray[np.float32]) -> NDArray[np.float32]:
    """Hits but for the few that lie far outside in x or y: beyond the middle 99 % and a margin."""
    if len(position) < 50:
        return position
    low, high = np.quantile(position[:, :2], [0.005, 0.995], axis=0)
    room = 0.08 * (high - low) + 2.0
    near: NDArray[np.bool_] = ((position[:, :2] >= low - room) & (position[:, :2] <= high + room)).all(1)
    return position[near]


def _box(points: NDArray[Any], margin: float = 1.04) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Limits of the axes: those of the points with a margin, x and y equally long."""
    if not len(points):
        return np.array([-10.0, -10.0, 0.0]), np.array([10.0, 10.0, 20.0])
    low, high = points.min(0).astype(np.float64), points.max(0).astype(np.float64)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 2.0) * margin
    half[:2] = half[:2].max()
    return middle - half, middle + half


def _frame(box: tuple[NDArray[np.float64], NDArray[np.float64]]) -> dict[str, Any]:
    """Limits of the axes and lengths of the drawn ones: in proportion, unless z were too short or too long to see."""
    low, high = box
    side = high - low
    aspect = np.array([1.0, 1.0, np.clip(side[2] / side[0], 1.0, 1.45)])
    limits = [[round(float(a), 2), round(float(b), 2)] for a, b in zip(low, high, strict=True)]
    return {"range": limits, "aspect": aspect.round(3).tolist()}


def _floats(value: NDArray[Any]) -> str:
    return b64encode(np.ascontiguousarray(value, "<f4").tobytes()).decode()


def _ints(value: NDArray[Any]) -> str:
    """In two bytes each where they fit, else in four; the script tells which by the length."""
    small = not len(value) or (value.min() >= -(2**15) and value.max() < 2**15)
    return b64encode(np.ascontiguousarray(value, "<i2" if small else "<i4").tobytes()).decode()


def _is_nested(y: Any) -> bool:
    return isinstance(y, (list, tuple)) and len(y) == 1 and np.ndim(y[0]) == 1
