"""3-D displays of events: truth beside predictions, in one HTML file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.detectors import DETECTORS, Slab
from cmlflow.event import Event, as_events
from cmlflow.plots.clusterings import clustering_data, particle_kinds, particle_name, true_shares
from cmlflow.plots.colours import palette
from cmlflow.plots.encoding import encoded_floats, encoded_ints
from cmlflow.plots.page import DISPLAY, html_page, write_page
from cmlflow.plots.tracks import track_lines

Labels = Sequence[Any] | Mapping[str, Sequence[Any]]

SYMBOLS = "● with a track, ■ without; ○ □ a candidate that is no particle's own. Point at a hit for its shares."

SLAB_SCALE = 1.8
"""Scale of the markers of a slab detector, whose events have few hits in large cells."""


def event_display(
    events: Event | Sequence[Event] | Iterable[Event],
    labels: Labels | None = None,
    path: str | Path | None = None,
    *,
    title: str = "cmlflow events",
    max_events: int = 20,
    colour_by: str | None = None,
) -> str:
    """Show events in 3-D, truth beside predictions, as one HTML page without outside references.

    Parameters
    ----------
    events : Event or sequence of Event
    labels : optional
        Cluster of each hit, -1 noise, or shares (C, n_hits), or particle-flow candidates (objects with ``share``,
        ``pdg_id``, ``momentum`` and ``track``): one for each event (for a single Event, its own), or a dict of these
        by name, to compare clusterings. The first two are shown beside the truth; the page offers a choice among all.
    path : path, optional
        File to write.
    title : str
    max_events : int
        Only the first ones are shown.

    Returns
    -------
    str
        The page.

    Raises
    ------
    ValueError
        Labels do not fit the events.
    OSError
        The file cannot be written.

    Notes
    -----
    Hits have the colour of their particle; a cluster has that of the particle with which it shares most energy, so
    that a correct clustering looks like the truth. Where several clusters belong to one particle, the others stand
    out by a colour of their own and diamonds (`cmlflow.plots.cluster_colours`). Noise is grey. The area of a marker
    grows with the logarithm of the hit's energy. A hit that several clusters share has the colour of the largest share;
    pointing at it shows all of them.

    In events with tracks, hits of particles and candidates with a track are circles, others squares; open symbols mark
    candidates without a particle of their own. A track runs through its crossings of the layers, in the colour of its
    particle or candidate; charged candidates have the colour of their track's particle
    (`cmlflow.plots.candidate_colours`).

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
    display = display_html(events, labels, max_events=max_events, colour_by=colour_by)
    body = f"<h1>{escape(title)}</h1>\n<section>{display}</section>"
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
    colour_by: str | None = None,
) -> str:
    """The display of `event_display` as a part of a page made with `cmlflow.plots.page.html_page`.

    Parameters
    ----------
    events, labels, max_events, colour_by
        As in `event_display`.
    names : sequence of str, optional
        Names of the events in the list; their numbers by default.
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
        "by": colour_by or "",
        "colours": _colours(shown, colour_by),
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
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    note = f'<p class="note">The first {len(shown)} of {len(sample)} events.</p>' if len(sample) > len(shown) else ""
    if any(e["tracks"] for e in data["events"]):
        note = f'<p class="note">{SYMBOLS}</p>{note}'
    return (
        f'{DISPLAY}<script type="application/json">{text}</script>'
        f"<noscript>The display needs JavaScript and WebGL.</noscript></div>{note}"
    )


def _event_data(event: Event, labels: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    known = bool((event.particle_id >= 0).any())
    x, y, z = event.position.T
    tracks = [] if event.tracks is None else track_lines(event, event.tracks)
    scale = SLAB_SCALE if isinstance(DETECTORS.get(event.detector or ""), Slab) else 1.0
    ends = [np.array(line).T for t in tracks for line in t["lines"]]
    entries = ends[::2] if event.n_hits else ends  # a long slanted track would make the hits small
    frame, whole = (_box(points) for points in (_without_far(event.position), event.position))
    if ends:
        frame = _box(np.concatenate([np.stack(frame), *entries]), margin=1.0)
        whole = _box(np.concatenate([np.stack(whole), *ends]), margin=1.0)
    outside = int(((event.position < frame[0]) | (event.position > frame[1])).any(1).sum())
    far = f" {outside} far {'hit' if outside == 1 else 'hits'} outside the frame." if outside else ""
    return {
        "name": name,
        "truth": known,
        "caption": _hits_caption(event, known) + far,
        "far": outside,
        "x": encoded_floats(x),
        "y": encoded_floats(y),
        "z": encoded_floats(z),
        "energy": encoded_floats(event.energy),
        "size": encoded_ints(np.round(10 * scale * marker_sizes(event.energy))),
        "purity": encoded_ints(np.round(100 * event.purity)),
        "layer": encoded_ints(event.layer),
        "particle": encoded_ints(event.particle_id),
        "particles": [particle_name(event, p) for p in range(event.n_particles)],
        "kinds": particle_kinds(event),
        "shares": true_shares(event),
        "features": {name: encoded_floats(values) for name, values in _feature_columns(event).items()},
        "tracks": tracks,
        "frame": _frame(frame),
        "whole": _frame(whole),
        "clusterings": [clustering_data(event, y, where) for y in labels.values()],
    }


def _feature_columns(event: Event) -> dict[str, NDArray[Any]]:
    out: dict[str, NDArray[Any]] = {}
    for name, values in event.features.items():
        out |= {name: values} if values.ndim == 1 else {f"{name} {i}": column for i, column in enumerate(values.T)}
    return out


def _colours(events: Sequence[Event], colour_by: str | None) -> list[str]:
    """What hits can be coloured by, beside particles and clusters; nothing where only that is usual."""
    features = list(dict.fromkeys(name for event in events for name in _feature_columns(event)))
    known = ["energy", "layer", *features]
    if colour_by is not None and colour_by not in known:
        raise ValueError(f"colour_by is {colour_by!r}, expected one of {', '.join(known)}")
    return known if features or colour_by else []


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


def _hits_caption(event: Event, known: bool) -> str:
    n_tracks = -1 if event.tracks is None else len(event.tracks)
    tracks = "" if n_tracks < 0 else ", 1 track" if n_tracks == 1 else f", {n_tracks} tracks"
    if not event.n_hits:
        return f"No hits{tracks}."
    count = "1 hit" if event.n_hits == 1 else f"{event.n_hits} hits"
    if not known:
        return f"{count}{tracks}; particles unknown."
    mixed = float((event.purity[event.particle_id >= 0] < 0.9).mean())
    particles = "1 particle" if event.n_particles == 1 else f"{event.n_particles} particles"
    return f"{particles}, {count}{tracks}; {100 * mixed:.1f} % of the hits have more than 10 % from other particles."


def _without_far(position: NDArray[np.float32]) -> NDArray[np.float32]:
    """Hits without the few that are far outside in x or y, beyond the middle 99 % and a margin."""
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
    aspect = np.array([1.0, 1.0, np.clip(side[2] / side[0], 1.0, 1.45)]) * (0.92 if side[2] > 1.3 * side[0] else 1.0)
    limits = [[round(float(a), 2), round(float(b), 2)] for a, b in zip(low, high, strict=True)]
    return {"range": limits, "aspect": aspect.round(3).tolist()}


def _is_nested(y: Any) -> bool:
    """Whether the value for one event is a list of one."""
    if not isinstance(y, (list, tuple)) or len(y) != 1:
        return False
    return hasattr(y[0], "share") or np.ndim(y[0]) in (1, 2)
