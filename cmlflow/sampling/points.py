"""The points of an event: its hits, then those of its tracks, with the input of a network for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmlflow.event import Event, FloatArray, IntArray, Tracks
from cmlflow.event.deposits import origins
from cmlflow.sampling.inputs import Inputs

CELL, TRACK = 0, 1
"""Kinds of points."""

FARTHEST = 50.0
"""Distance [cm] assigned to points that are farther from every track, or in an event without tracks."""


@dataclass(frozen=True, eq=False)
class Points:
    """The points of one event: n_hits hits in their order, then the points of each track, from the front on.

    A track has one point for each layer it crosses, or one at its entry where no crossing is known.

    Attributes
    ----------
    x : ndarray of shape (N, F), float32
        The columns of `cmlflow.sampling.inputs.FEATURES`, or those of ``TRACK_FEATURES``: position [cm]; energy of the
        hit, or momentum [GeV] of the track; layer, 0 for an entry; kind, 0 a cell and 1 a track; distance [cm] to the
        nearest track, see `nearest_tracks`, 0 for points of tracks; momentum [GeV] of that track, 0 where there is
        none. Additional features follow, nan if unknown and for tracks.
    particle_id : ndarray of shape (N,), int64
        Dominant particle of a hit, particle of a track; -1 unknown.
    weight : ndarray of shape (N,), float32
        Energy of a hit; of a track, the momentum divided by the number of its points. Together, the points of a track
        then weigh as much as its expected shower, if hit energies are in GeV.
    track : ndarray of shape (N,), int64
        Track of a point; -1 for hits.
    origin : ndarray of shape (N, 3), float32
        Part of each hit's deposited energy from particles with a track, from particles without one, and from noise and
        unknown particles; 0 without deposits, and for tracks.
    n_hits, n_tracks : int
    """

    x: FloatArray
    particle_id: IntArray
    weight: FloatArray
    track: IntArray
    origin: FloatArray
    n_hits: int
    n_tracks: int

    def __len__(self) -> int:
        return len(self.x)


def event_points(
    event: Event, tracks: bool = False, farthest: float = FARTHEST, *, inputs: Inputs | None = None
) -> Points:
    """The points of an event.

    Parameters
    ----------
    event : Event
        Tracks that are None count as no tracks.
    tracks : bool, default=False
        Whether tracks are points; False gives only the hits, with 5 features.
    farthest : float, default=50
        See `nearest_tracks`.
    inputs : Inputs, optional
        Features of the event that become further columns; none by default.

    Returns
    -------
    Points

    Raises
    ------
    ValueError
        Names the event and a feature that it does not have.

    References
    ----------
    M. Jovanovic, "PointNet for Particle Flow Energy Reconstruction: Documentation" (2024), input data shape: position,
    distance to the track, energy or momentum, and kind of every point.

    Examples
    --------
    >>> tracks = [5.0], [[0, 0, 1]], [[3, 4, 100]], [0]
    >>> event = Event([[0, 0, 110]], [2.0], [1], [0], tracks=tracks)
    >>> event_points(event, tracks=True).x.tolist()
    [[0.0, 0.0, 110.0, 2.0, 1.0, 0.0, 5.0, 5.0], [3.0, 4.0, 100.0, 5.0, 0.0, 1.0, 0.0, 5.0]]
    """
    hits, further = event.inputs(), (Inputs() if inputs is None else inputs).matrix(event)
    none = np.full(event.n_hits, -1, np.int64)
    if not tracks:
        unknown = np.zeros((event.n_hits, 3), np.float32)
        x = np.concatenate([hits, further], axis=1)
        return Points(x, event.particle_id, event.energy, none, unknown, event.n_hits, 0)
    distance, nearest = nearest_tracks(event, farthest)
    t = _no_tracks() if event.tracks is None else event.tracks
    owner, layer, position = track_points(t)
    momentum = t.momentum[owner]
    own = [position, momentum[:, None], layer[:, None], np.full((len(owner), 1), TRACK), np.zeros((len(owner), 1))]
    padded = np.append(t.momentum, np.float32(0))  # entry -1 stands for no track
    cells = [hits, np.full((event.n_hits, 1), CELL), distance[:, None], padded[nearest][:, None], further]
    beside = [momentum[:, None], np.full((len(owner), further.shape[1]), np.nan)]
    n_points = np.bincount(owner, minlength=len(t))
    return Points(
        np.concatenate([np.concatenate(cells, 1), np.concatenate([*own, *beside], 1)]).astype(np.float32),
        np.concatenate([event.particle_id, t.particle[owner]]),
        np.concatenate([event.energy, momentum / n_points[owner].astype(np.float32)]),
        np.concatenate([none, owner]),
        np.concatenate([origins(event), np.zeros((len(owner), 3), np.float32)]),
        event.n_hits,
        len(t),
    )


def n_points(event: Event, tracks: bool = False) -> int:
    """Number of points of `event_points`."""
    if not tracks or event.tracks is None:
        return event.n_hits
    if event.tracks.crossing is None:
        return event.n_hits + len(event.tracks)
    crossed = ~np.isnan(event.tracks.crossing[:, :, 0])
    return event.n_hits + int(np.maximum(crossed.sum(axis=1), 1).sum())


def track_points(tracks: Tracks) -> tuple[IntArray, IntArray, FloatArray]:
    """The points of all tracks: the crossings of each in the order of layers, its entry where it has none.

    Returns
    -------
    owner : ndarray of shape (M,), int64
        Number of the track, rising.
    layer : ndarray of shape (M,), int64
        Layer, counted from 1; 0 for an entry.
    position : ndarray of shape (M, 3), float32 [cm]
    """
    crossing = tracks.crossing
    if crossing is None:
        crossing = np.empty((len(tracks), 0, 3), np.float32)
    place = np.concatenate([tracks.entry[:, None], crossing], axis=1)
    there = ~np.isnan(place[:, :, 0])
    there[:, 0] = ~there[:, 1:].any(axis=1)
    owner, layer = np.nonzero(there)
    return owner.astype(np.int64), layer.astype(np.int64), place[there]


def nearest_tracks(event: Event, farthest: float = FARTHEST) -> tuple[FloatArray, IntArray]:
    """The track nearest to each hit, and how far it is at the hit's depth.

    The distance is that of the hit from the straight line along the track's direction through the point where the track
    crosses the hit's layer, or through its entry where it does not cross that layer or that is not known.

    Parameters
    ----------
    event : Event
    farthest : float, default=50 [cm]
        Tracks at this distance or beyond do not count.

    Returns
    -------
    distance : ndarray of shape (n_hits,), float32 [cm]
        `farthest` if no track counts.
    track : ndarray of shape (n_hits,), int64
        -1 if no track counts; of equally near tracks, the one with the largest momentum.

    Raises
    ------
    ValueError
        `farthest` is not positive.
    """
    if not farthest > 0:
        raise ValueError(f"farthest is {farthest}, expected a positive distance in cm")
    distance = np.full(event.n_hits, farthest)
    nearest = np.full(event.n_hits, -1, np.int64)
    tracks = event.tracks
    if tracks is None or not len(tracks):
        return distance.astype(np.float32), nearest
    order = np.argsort(-tracks.momentum, kind="stable")
    gap = event.position.astype(np.float64) - _anchors(tracks, event.layer)[order]
    axis = tracks.direction[order, None].astype(np.float64)
    axis /= np.maximum(np.linalg.norm(axis, axis=2, keepdims=True), 1e-12)
    away = np.linalg.norm(gap - (gap * axis).sum(axis=2, keepdims=True) * axis, axis=2)  # (n_tracks, n_hits)
    best = away.argmin(axis=0)
    smallest = np.take_along_axis(away, best[None], axis=0)[0]
    near = smallest < farthest
    distance[near], nearest[near] = smallest[near], order[best[near]]
    return distance.astype(np.float32), nearest


def _anchors(tracks: Tracks, layer: IntArray) -> FloatArray:
    """A point of each track at each of some layers, its entry where there is none; shape (n_tracks, n, 3)."""
    entry = np.broadcast_to(tracks.entry[:, None], (len(tracks), len(layer), 3))
    if tracks.crossing is None or not tracks.crossing.shape[1]:
        return entry
    inside = (layer >= 1) & (layer <= tracks.crossing.shape[1])
    point = tracks.crossing[:, np.where(inside, layer - 1, 0)]
    return np.where(inside[:, None] & ~np.isnan(point), point, entry)


def _no_tracks() -> Tracks:
    vectors = np.empty((0, 3), np.float32)
    return Tracks(np.empty(0, np.float32), vectors, vectors, np.empty(0, np.int64))
