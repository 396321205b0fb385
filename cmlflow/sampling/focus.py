"""One track at a time: the cells and tracks around it, with the track's share of each cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmlflow.coordinates import delta_r, eta_phi
from cmlflow.detectors import beam_axis
from cmlflow.event import Event, FloatArray, IntArray, Tracks, as_events
from cmlflow.sampling.points import track_points

CELL, FOCUS, OTHER = 0, 1, 2
"""Kinds of points: a cell, a point of the focus track, a point of another track."""
RADIUS = 0.2
LAYERS = (2, 6)


@dataclass(frozen=True, eq=False)
class FocusSample:
    """The points around one track: first its own, then the others by increasing ΔR.

    Attributes
    ----------
    event : int
        Number of the event; its place in the sequence where it has none.
    track : int
        Number of the focus track in the event.
    kind : ndarray of shape (n_points,), int8
        0 a cell, 1 a point of the focus track, 2 a point of another track.
    position : ndarray of shape (n_points, 3), float32 [cm]
        Of a track: its crossings with the layers, or its entry where those are not known.
    distance : ndarray of shape (n_points,), float32 [cm]
        To the nearest point of the focus track.
    delta_r : ndarray of shape (n_points,), float32
        To the reference point of the focus track.
    energy : ndarray of shape (n_points,), float32
        Of cells: the hit energy. Of tracks: the momentum [GeV].
    share : ndarray of shape (n_points,), float32
        Of cells: the part of the deposited energy from the particle of the focus track; deposits of unknown particles
        (noise) count in the whole; 0 without deposits. nan for tracks, and everywhere if the particle of the focus
        track is unknown.
    deposit : ndarray of shape (n_points,), float32
        Of cells: the energy that the particle left there, in the unit of the hit energies; nan as for `share`.
    layer : ndarray of shape (n_points,), int64
        Layer; 0 for an entry point.
    index : ndarray of shape (n_points,), int64
        Number of the hit, or of the track, in the event.
    """

    event: int
    track: int
    kind: NDArray[np.int8]
    position: FloatArray
    distance: FloatArray
    delta_r: FloatArray
    energy: FloatArray
    share: FloatArray
    deposit: FloatArray
    layer: IntArray
    index: IntArray

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def n_cells(self) -> int:
        """Number of cells among the points."""
        return int(np.count_nonzero(self.kind == CELL))

    def __repr__(self) -> str:
        return f"<FocusSample of track {self.track} in event {self.event}: {len(self)} points, {self.n_cells} cells>"


def reference_points(tracks: Tracks, layers: Sequence[int] = LAYERS) -> FloatArray:
    """The point of each track from which ΔR is counted.

    Parameters
    ----------
    tracks : Tracks
    layers : sequence of int
        The crossing with the first of these layers that the track crosses; its entry if it crosses none or the
        crossings are unknown. (2, 6) are EMB2 and EME2 of ATLAS, and the second layer of other detectors.

    Returns
    -------
    ndarray of shape (n_tracks, 3), float32 [cm]
    """
    out = tracks.entry.copy()
    if tracks.crossing is not None:
        for layer in reversed(layers):
            if not 1 <= layer <= tracks.crossing.shape[1]:
                continue
            crossed = ~np.isnan(tracks.crossing[:, layer - 1, 0])
            out[crossed] = tracks.crossing[crossed, layer - 1]
    return out


def track_distances(
    event: Event, layers: Sequence[int] = LAYERS, beam: str | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ΔR of every cell and of every track to the reference point of every track.

    Parameters
    ----------
    event : Event
        With tracks.
    layers : sequence of int
        As in `reference_points`.
    beam : {"z", "x", "y"}, optional
        Axis about which ΔR is counted, see `cmlflow.coordinates.eta_phi`; by default that of the event's detector.

    Returns
    -------
    cells : ndarray of shape (n_tracks, n_hits), float64
    tracks : ndarray of shape (n_tracks, n_tracks), float64

    Raises
    ------
    ValueError
        The event has no tracks (None), or a track lies on the beam axis.
    """
    where, beam = event.title, beam or beam_axis(event.detector)
    if event.tracks is None:
        raise ValueError(f"{where}: has no tracks, expected tracks (an empty list of them is allowed)")
    eta, phi = eta_phi(reference_points(event.tracks, layers), beam)
    if not np.isfinite(eta).all():
        lost = int(np.flatnonzero(~np.isfinite(eta))[0])
        raise ValueError(f"{where}: track {lost} lies on the beam axis {beam!r}; choose another beam")
    eta, phi = eta[:, None], phi[:, None]
    return delta_r(eta, phi, *eta_phi(event.position, beam)), delta_r(eta, phi, eta.T, phi.T)


def focus_samples(
    event: Event,
    radius: float = RADIUS,
    *,
    layers: Sequence[int] = LAYERS,
    beam: str | None = None,
    place: int = 0,
) -> list[FocusSample]:
    """The samples of one event, one for each of its tracks.

    Parameters
    ----------
    event : Event
        With tracks.
    radius : float
        Cells up to this ΔR from the reference point of the focus track belong to its sample, and all points of tracks
        whose own reference point does.
    layers, beam
        As in `track_distances`.
    place : int
        Number of an event that has none.

    Returns
    -------
    list of FocusSample

    Raises
    ------
    ValueError
        As `track_distances`, and where the radius is not positive.

    References
    ----------
    M. Jovanovic, "PointNet for Particle Flow Energy Reconstruction: Documentation" (2024), sections on data
    preprocessing, input data shape and labeling scheme; L. Clissa, ISGC 2026, "Problem setting".
    """
    if not radius > 0:
        raise ValueError(f"radius is {radius}, expected a positive ΔR")
    beam = beam or beam_axis(event.detector)
    to_cells, to_tracks = track_distances(event, layers, beam)
    tracks = event.tracks
    assert tracks is not None
    owner, layer, point = track_points(tracks)
    eta, phi = eta_phi(reference_points(tracks, layers), beam)
    point_eta, point_phi = eta_phi(point, beam)
    out = []
    for t in range(len(tracks)):
        cell = np.flatnonzero(to_cells[t] <= radius)
        near = to_tracks[t] <= radius
        near[t] = True
        chosen = np.flatnonzero(near[owner])
        kind = np.where(owner[chosen] == t, FOCUS, OTHER)
        dr = np.concatenate([delta_r(eta[t], phi[t], point_eta[chosen], point_phi[chosen]), to_cells[t][cell]])
        kind = np.concatenate([kind, np.full(len(cell), CELL)])
        index = np.concatenate([owner[chosen], cell])
        order = np.lexsort((index, dr, kind != FOCUS))
        position = np.concatenate([point[chosen], event.position[cell]])
        share, deposit = _truth(event, int(tracks.particle[t]), cell)
        hidden = np.full(len(chosen), np.nan)
        sample = FocusSample(
            place if event.number is None else event.number,
            t,
            kind[order].astype(np.int8),
            position[order],
            _nearest(position, point[owner == t])[order],
            dr[order].astype(np.float32),
            np.concatenate([tracks.momentum[owner[chosen]], event.energy[cell]])[order],
            np.concatenate([hidden, share])[order].astype(np.float32),
            np.concatenate([hidden, deposit])[order].astype(np.float32),
            np.concatenate([layer[chosen], event.layer[cell]])[order],
            index[order],
        )
        out.append(sample)
    return out


def all_focus_samples(
    events: Sequence[Event] | Iterable[Event],
    radius: float = RADIUS,
    *,
    layers: Sequence[int] = LAYERS,
    beam: str | None = None,
) -> Iterator[FocusSample]:
    """`focus_samples` of every event in turn; events without tracks (None) give none."""
    for i, event in enumerate(as_events(events)):
        if event.tracks is not None:
            yield from focus_samples(event, radius, layers=layers, beam=beam, place=i)


def _truth(event: Event, particle: int, cell: IntArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if particle < 0:
        unknown = np.full(len(cell), np.nan)
        return unknown, unknown
    d = event.deposits
    own = d.particle == particle
    hit = d.hit[own]
    totals = (np.bincount(hit, w, event.n_hits).astype(np.float64) for w in (event.fractions[own], d.energy[own]))
    share, deposit = (total[cell] for total in totals)
    return share, deposit


def _nearest(position: FloatArray, points: FloatArray) -> FloatArray:
    """Distance of each position to the nearest of some points."""
    gap = position[:, None, :].astype(np.float64) - points[None, :, :]
    return np.asarray(np.sqrt((gap**2).sum(axis=2)).min(axis=1), np.float32)
