"""Soft assignment: a multinomial logit shares each hit's energy over candidates, fitted so that sums are unbiased."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.association.features import CHARGED, NEUTRAL, ORIGIN_OF, Pairs, make_pairs
from cmlflow.association.origin import calibrated
from cmlflow.association.ownership import Ownership
from cmlflow.event import Event, IntArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sharing:
    r"""Parameters of the model that shares hits, found by `fit_sharing`.

    A possible owner a of a hit (a track, a neutral candidate, something neutral below the hit's track, none) has the
    score :math:`w_{k(a)} \cdot x_a`, with the features x of `cmlflow.association.features`, scaled, and weights for
    each kind k of owner; its share is the softmax of the scores over the possible owners of the hit.

    If the network predicts the charged, neutral and noise parts of a hit, these parts are calibrated and kept, and the
    softmax shares each of them over the owners of its kind: tracks, or neutral candidates and the remnant.

    Attributes
    ----------
    weights : tuple of tuple of float
        Of shape (4, F): kinds of `cmlflow.association.features` by features.
    centre, scale : tuple of float
        Subtracted from, and dividing, each feature.
    edges : tuple of int
        Groups of layers.
    simple : bool
        Squared distance in the embedding only: ``share = softmax(-d^2 / T_kind + bias_kind)``.
    remnants : bool
        Whether there are remnants.
    nearest : int
        Candidates that share a hit, besides its owner.
    track_weight : float
        Weight of a track's embedding in its candidate's centre.
    vertex : tuple of float [cm] or "tracks"
        Where the axes of neutral candidates start, see `cmlflow.event.vertex_of`.
    origin : tuple of float
        Numbers of `cmlflow.association.origin.calibrated`; empty if the network predicts no parts.
    """

    weights: tuple[tuple[float, ...], ...]
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    edges: tuple[int, ...] = ()
    simple: bool = False
    remnants: bool = True
    nearest: int = 6
    track_weight: float = 0.5
    vertex: str | tuple[float, float, float] = (0.0, 0.0, 0.0)
    origin: tuple[float, ...] = ()

    @property
    def temperature(self) -> tuple[float, float]:
        """Temperatures of tracks and of neutral candidates where the model is simple; inf where far is not worse."""
        if not self.simple:
            raise ValueError("only a simple model has temperatures; fit with simple=True")
        slope = [self.weights[k][1] / self.scale[1] for k in (CHARGED, NEUTRAL)]
        charged, neutral = (-1 / s if s < 0 else float("inf") for s in slope)
        return charged, neutral

    def pairs(self, event: Event, owned: Ownership, z: ArrayLike, z_tracks: ArrayLike) -> Pairs:
        """The pairs of one event that the model has scores for, see `make_pairs`."""
        return make_pairs(
            event, owned, z, z_tracks, simple=self.simple, remnants=self.remnants, edges=self.edges,
            nearest=self.nearest, track_weight=self.track_weight, vertex=self.vertex,
        )  # fmt: skip

    def scores(self, pairs: Pairs) -> Array:
        """Score of each pair, shape (n_pairs,)."""
        x = (pairs.features - np.array(self.centre)) / np.array(self.scale)
        out: Array = (x * np.array(self.weights)[pairs.kind]).sum(axis=1)
        return out

    def shares(self, pairs: Pairs, score: Array, origin: ArrayLike | None) -> Array:
        """Share of each pair, shape (n_pairs,); those with the score -inf get 0."""
        if not self.origin:
            return softmax_by_hit(score, pairs.hit)
        if origin is None:
            raise ValueError("origin: not given, but the sharing was fitted with a network that has it")
        parts = calibrated(origin, self.origin)
        there = np.zeros(parts.shape)
        of = ORIGIN_OF[pairs.kind]
        there[pairs.hit[np.isfinite(score)], of[np.isfinite(score)]] = 1.0
        parts = parts * there  # parts without an owner go to the others
        parts /= parts.sum(axis=1, keepdims=True)
        out: Array = softmax_by_hit(score, group_of(pairs.hit, pairs.kind)) * parts[pairs.hit, of]
        return out

    def to_dict(self) -> dict[str, Any]:
        """Numbers, lists and strings only, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Sharing:
        """From what `to_dict` gave, also after a round trip through JSON."""
        values = dict(state)
        values["weights"] = tuple(tuple(float(w) for w in row) for row in values["weights"])
        for name in ("centre", "scale", "edges", "vertex", "origin"):
            if name in values and not isinstance(values[name], str):
                values[name] = tuple(values[name])
        return cls(**values)


def softmax_by_hit(score: Array, hit: IntArray) -> Array:
    """Softmax of scores over the pairs of each hit, or other group; `hit` sorted; -inf gets 0, alone too."""
    if not len(hit):
        return np.zeros(0)
    first = np.flatnonzero(np.diff(hit, prepend=-1))
    group = np.cumsum(np.diff(hit, prepend=hit[0]) > 0)
    top = np.maximum.reduceat(score, first)
    e = np.exp(score - np.where(np.isfinite(top), top, 0.0)[group])
    out: Array = e / np.maximum(np.add.reduceat(e, first), 1e-300)[group]
    return out


def sum_by_hit(value: Array, hit: IntArray) -> Array:
    """For each pair the sum over all pairs of its hit; `hit` sorted."""
    first = np.flatnonzero(np.diff(hit, prepend=-1))
    group = np.cumsum(np.diff(hit, prepend=hit[0]) > 0)
    out: Array = np.add.reduceat(value, first)[group]
    return out


def group_of(hit: IntArray, kind: IntArray) -> IntArray:
    """The same number for pairs of one hit whose owners have the same origin; sorted if pairs are."""
    out: IntArray = 3 * hit + ORIGIN_OF[kind]
    return out


def share_hits(
    event: Event,
    owned: Ownership,
    z: ArrayLike,
    z_tracks: ArrayLike,
    model: Sharing,
    *,
    origin: ArrayLike | None = None,
    least: float = 0.0,
) -> Array:
    """Shares of one event's hits.

    Parameters
    ----------
    event : Event
    owned : Ownership
        From `cmlflow.association.assign_tracks`.
    z, z_tracks : array_like of shape (n_hits, D) and (n_tracks, D), float
    model : Sharing
    origin : array_like of shape (n_hits, 3), float, optional
        Part of each hit that is charged, neutral and noise, from a network.
    least : float, default 0
        Neutral candidates, and the remnant below a track, with less energy than this, in the unit of the hit energies,
        are dropped; their shares go to the remaining owners.

    Returns
    -------
    ndarray of shape (C + T + 1, n_hits), float64
        Rows: the candidates, what is neutral below each track, noise. Columns sum to 1.
    """
    n, n_tracks = len(owned), owned.n_tracks
    pairs = model.pairs(event, owned, z, z_tracks)
    row = pairs.answer.copy()
    below = pairs.answer == n
    row[below] = n + owned.owner[pairs.hit[below]]
    row[pairs.answer == n + 1] = n + n_tracks
    energy = event.energy.astype(np.float64)
    score = model.scores(pairs)
    share = model.shares(pairs, score, origin)
    sums = np.bincount(row, share * energy[pairs.hit], n + n_tracks + 1)
    weak = (sums < least) & (np.arange(len(sums)) >= n_tracks) & (np.arange(len(sums)) < n + n_tracks)
    if weak.any():
        share = model.shares(pairs, np.where(weak[row], -np.inf, score), origin)
    out = np.zeros((n + n_tracks + 1, event.n_hits))
    out[row, pairs.hit] = share
    return out
