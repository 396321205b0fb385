"""Features of a hit and one of its possible owners, for `cmlflow.association.sharing`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.association.ownership import Ownership, squared_distances, weighted_means
from cmlflow.event import Event, IntArray, vertex_of

Array = NDArray[np.float64]

CHARGED, NEUTRAL, REMNANT, NOBODY = range(4)
"""Kinds of owners: a track, a neutral candidate, something neutral below the hit's track, none (noise)."""
N_KINDS = 4
NAMES = (
    "one", "distance2", "distance", "track_distance", "owner", "lateral_log", "lateral", "depth",
    "log_hit", "log_energy", "excess", "nearest_lateral",
)  # fmt: skip
"""Features, in order, followed by one for each layer group but the first."""
FARTHEST = 30.0  # [cm] lateral distances are cut here
ORIGIN_OF = np.array([0, 1, 1, 2])
"""Origin of each kind of owner: charged, neutral, neutral, noise."""
LEAST = 0.01  # [GeV] added before logarithms are taken


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a hit and a possible owner, sorted by hit.

    Attributes
    ----------
    hit : ndarray of shape (n_pairs,), int64
    answer : ndarray of shape (n_pairs,), int64
        Candidate 0..C-1, C remnant, C + 1 none.
    kind : ndarray of shape (n_pairs,), int64
        `CHARGED`, `NEUTRAL`, `REMNANT` or `NOBODY`.
    features : ndarray of shape (n_pairs, F), float64
    """

    hit: IntArray
    answer: IntArray
    kind: IntArray
    features: Array


def make_pairs(
    event: Event,
    owned: Ownership,
    z: ArrayLike,
    z_tracks: ArrayLike,
    *,
    simple: bool = False,
    remnants: bool = True,
    edges: ArrayLike = (),
    nearest: int = 6,
    track_weight: float = 0.5,
    vertex: str | ArrayLike = (0.0, 0.0, 0.0),
) -> Pairs:
    """Pairs of every hit with its owner, the candidates nearest in the embedding, its remnant, and no owner.

    A candidate's centre in the embedding is the energy-weighted mean of its hits; with a track, ``1 - track_weight``
    times that plus ``track_weight`` times the track's embedding (the track's alone without hits).

    Parameters
    ----------
    event : Event
        With tracks, where candidates have any.
    owned : Ownership
    z, z_tracks : array_like of shape (n_hits, D) and (n_tracks, D), float
    simple : bool, default False
        Only one and the squared distance, which is 0 for no owner.
    remnants : bool, default True
        Whether a hit of a track may be something neutral below it.
    edges : array_like of int
        Groups of layers: group g holds layers from ``edges[g - 1]`` up to, not including, ``edges[g]``.
    nearest : int, default 6
        Candidates per hit, besides its owner.
    track_weight : float, default 0.5
    vertex : array_like of shape (3,), float [cm], or "tracks"
        Where the axes of neutral candidates start, see `vertex_of`.
    """
    n, n_hits, n_tracks = len(owned), event.n_hits, owned.n_tracks
    points, anchors = np.asarray(z, np.float64), np.asarray(z_tracks, np.float64)
    energy = event.energy.astype(np.float64)
    mean, total = weighted_means(owned.owner, points, energy, n)
    centre = mean.copy()
    if n_tracks:
        held = np.where(total[:n_tracks, None] > 0, 1 - track_weight, 0.0)
        centre[:n_tracks] = held * mean[:n_tracks] + (1 - held) * anchors
    d2 = squared_distances(centre, points)

    allowed = np.ones((n, n_hits), np.bool_)
    if n > nearest:
        allowed = d2 <= np.partition(d2, nearest - 1, axis=0)[nearest - 1]
    owner = owned.owner
    has = np.flatnonzero(owner >= 0)
    allowed[owner[has], has] = True
    hit, answer = np.nonzero(allowed.T)
    below = np.flatnonzero((owner >= 0) & (owner < n_tracks)) if remnants else np.zeros(0, np.int64)
    every = np.arange(n_hits)
    hit = np.concatenate([hit, below, every])
    answer = np.concatenate([answer, np.full(len(below), n), np.full(n_hits, n + 1)])
    kind = np.select([answer < n_tracks, answer < n, answer == n], [CHARGED, NEUTRAL, REMNANT], NOBODY)
    who = np.where(kind == REMNANT, owner[hit], answer)
    nobody = kind == NOBODY
    if n:
        who[nobody] = d2.argmin(axis=0)[hit[nobody]]
    order = np.lexsort((answer, hit))
    hit, answer, kind, who = hit[order], answer[order], kind[order], who[order]

    x = np.zeros((len(hit), 2 if simple else len(NAMES) + len(np.atleast_1d(edges))))
    x[:, 0] = 1.0
    if n:
        x[:, 1] = d2[who, hit]
    if simple:
        x[kind == NOBODY, 1] = 0.0
        return Pairs(hit, answer, kind, x)
    x[:, 8] = np.log(energy[hit] + LEAST)
    x[:, len(NAMES) :] = np.searchsorted(np.atleast_1d(edges), event.layer, side="right")[hit, None] == np.arange(
        1, len(np.atleast_1d(edges)) + 1
    )
    if n:
        track_d2 = squared_distances(anchors, points) if n_tracks else np.zeros((0, n_hits))
        start, direction = axes(event, owned, vertex)
        lateral, depth = line_distances(event.position.astype(np.float64), start, direction)
        bary = _depths(owner, depth, energy, n)
        x[:, 2] = np.sqrt(x[:, 1])
        with_track = who < n_tracks
        x[with_track, 3] = np.sqrt(track_d2[who[with_track], hit[with_track]])
        x[:, 4] = owner[hit] == who
        lateral = np.minimum(lateral, FARTHEST)
        x[:, 5], x[:, 6] = np.log1p(lateral[who, hit]), lateral[who, hit] / 10
        x[:, 7] = np.clip((depth[who, hit] - bary[who]) / 30, -3, 3)
        scale = total.copy()
        if n_tracks:
            assert event.tracks is not None
            scale[:n_tracks] = event.tracks.momentum
        x[:, 9] = np.log(scale[who] + LEAST)
        excess = np.clip(np.log((total + 0.1) / (scale + 0.1)), -2, 2)
        x[:, 10] = excess[who]
        if n_tracks:
            x[:, 11] = np.log1p(lateral[:n_tracks].min(axis=0))[hit]
    return Pairs(hit, answer, kind, x)


def axes(event: Event, owned: Ownership, vertex: str | ArrayLike = (0.0, 0.0, 0.0)) -> tuple[Array, Array]:
    """A point [cm] and the unit direction of every candidate's axis, both of shape (C, 3).

    With a track: its entry and direction. Without: from the vertex to the energy-weighted barycentre of its hits.
    """
    n, k = len(owned), owned.n_tracks
    position = event.position.astype(np.float64)
    start, direction = np.zeros((n, 3)), np.zeros((n, 3))
    start[:] = vertex_of(event, vertex)
    mean, _ = weighted_means(owned.owner, position, event.energy.astype(np.float64), n)
    direction[:] = mean - start
    if k:
        assert event.tracks is not None
        start[:k], direction[:k] = event.tracks.entry, event.tracks.direction
    length = np.linalg.norm(direction, axis=1, keepdims=True)
    direction = np.divide(direction, length, out=np.zeros_like(direction), where=length > 0)
    direction[length[:, 0] == 0, 2] = 1.0
    return start, direction


def line_distances(position: Array, start: Array, direction: Array) -> tuple[Array, Array]:
    """Distance [cm] of points (N, 3) from lines and their place along them [cm], both of shape (C, N)."""
    away = position[None] - start[:, None]
    along = (away * direction[:, None]).sum(axis=2)
    across = away - along[..., None] * direction[:, None]
    return np.linalg.norm(across, axis=2), along


def _depths(owner: IntArray, depth: Array, energy: Array, n: int) -> Array:
    """Energy-weighted mean place of each candidate's hits along its own axis; of tracks without hits 0."""
    has = np.flatnonzero(owner >= 0)
    w = np.bincount(owner[has], energy[has], n)
    s = np.bincount(owner[has], energy[has] * depth[owner[has], has], n)
    return np.divide(s, w, out=np.zeros(n), where=w > 0)


def layer_groups(events: Sequence[Event], most: int = 6) -> tuple[int, ...]:
    """Edges of at most `most` groups of layers: single layers where they are few, else groups with equal energies."""
    layers = np.concatenate([e.layer for e in events]) if events else np.zeros(0, np.int64)
    found, where = np.unique(layers, return_inverse=True)
    if len(found) <= most:
        return tuple(int(v) for v in found[1:])
    energy = np.bincount(where, np.concatenate([e.energy for e in events]))
    below = np.cumsum(energy) / energy.sum()
    at = np.searchsorted(below, np.arange(1, most) / most)
    return tuple(int(v) for v in np.unique(found[np.minimum(at + 1, len(found) - 1)]))
