"""Soft assignment: each hit's energy shared over candidates by a multinomial logit, fitted so that sums are right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.association.features import CHARGED, N_KINDS, NEUTRAL, ORIGIN_OF, Pairs, layer_groups, make_pairs
from cmlflow.association.origin import calibrated, fit_origin
from cmlflow.association.ownership import Ownership
from cmlflow.association.truth import true_shares
from cmlflow.event import Event, IntArray
from cmlflow.event.deposits import origins

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sharing:
    r"""How hits are shared: the parameters of the model that `fit_sharing` finds.

    Answer a to whose a hit is (a track, a neutral candidate, something neutral below the hit's track, nobody) has the
    score :math:`w_{k(a)} \cdot x_a`, with the features x of `cmlflow.association.features`, scaled, and weights for
    each kind k of answer; its share is the softmax of the scores over the answers the hit has.

    Where the network says what is charged, neutral and nobody's in a hit, these parts are the network's, calibrated,
    and the softmax shares each of them over the answers of its kind: tracks; neutral candidates and the remnant.

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
        Candidates that a hit is shared over, besides its owner.
    track_weight : float
        Say of a track's embedding in its candidate's centre.
    vertex : tuple of float [cm] or "tracks"
        Where the axes of neutral candidates start, see `cmlflow.association.features.vertex_of`.
    origin : tuple of float
        Numbers of `cmlflow.association.origin.calibrated`; empty without a network that says so.
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
        parts = parts * there  # what there is no answer for goes to the others
        parts /= parts.sum(axis=1, keepdims=True)
        out: Array = softmax_by_hit(score, group_of(pairs.hit, pairs.kind)) * parts[pairs.hit, of]
        return out

    def to_dict(self) -> dict[str, Any]:
        """Numbers, lists and strings only, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Sharing:
        """From what `to_dict` gave, also after a turn through JSON."""
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
    """The same number for pairs of one hit whose answers have the same origin; sorted where pairs are."""
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
        Part of each hit that is charged, neutral and nobody's, from a network.
    least : float, default 0
        Neutral candidates, and the remnant below a track, with less energy than this, in the unit of the hit energies,
        are given up; what they had goes to the answers that are left.

    Returns
    -------
    ndarray of shape (C + T + 1, n_hits), float64
        Rows: the candidates, what is neutral below each track, nobody. Columns sum to 1.
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


@dataclass(eq=False)
class _Sample:
    """Pairs of many events, with their true shares and the energies of their hits."""

    x: Array
    kind: IntArray
    hit: IntArray
    target: Array
    weight: Array


def fit_sharing(
    events: Iterable[Event],
    owned: Sequence[Ownership],
    z: Sequence[ArrayLike],
    z_tracks: Sequence[ArrayLike],
    origin: Sequence[ArrayLike | None] | None = None,
    *,
    simple: bool = False,
    remnants: bool = True,
    nearest: int = 6,
    track_weight: float = 0.5,
    vertex: str | Sequence[float] = (0.0, 0.0, 0.0),
    penalty: float = 1e-3,
    steps: int = 300,
) -> Sharing:
    """Fit the sharing of hits on events with truth.

    Minimises the cross-entropy of true and predicted shares, weighted with the energies of the hits, a convex problem.
    At the minimum the energies predicted for tracks, neutral candidates, remnants and nobody are, each summed over the
    sample, the true ones: the derivatives by the kinds' free constants, which carry no penalty, are the differences.
    With `origin` that holds for what is charged, neutral and nobody's, and the rest is fitted within each of them.

    Parameters
    ----------
    events : iterable of Event
        With truth; a tuning sample, as candidates of the training sample of an embedding are too good.
    owned : sequence of Ownership
        One for each event.
    z, z_tracks : sequence of array_like
        Embeddings of hits and tracks, one for each event.
    origin : sequence of array_like, optional
        As in `share_hits`, one for each event.
    simple, remnants, nearest, track_weight, vertex
        As in `Sharing`.
    penalty : float
        Times the sum of the squared weights of the scaled features, added to the mean cross-entropy.
    steps : int
        Most iterations of L-BFGS.

    Raises
    ------
    ValueError
        Where no hit has known deposits.

    References
    ----------
    The energy-weighted loss is that of M. Jovanovic, "PointNet for Particle Flow Energy Reconstruction" (2024), for
    one track at a time; here all candidates of an event share each cell.
    """
    from scipy.optimize import minimize

    events = list(events)
    options: dict[str, Any] = {
        "simple": simple,
        "remnants": remnants and not simple,
        "edges": () if simple else layer_groups(events),
        "nearest": nearest,
        "track_weight": track_weight,
        "vertex": vertex if isinstance(vertex, str) else tuple(float(v) for v in vertex),
    }
    s = _collect(events, owned, z, z_tracks, options)
    said = [] if origin is None else [o for o in origin if o is not None]
    if said and len(said) != len(events):
        raise ValueError(f"origin: {len(said)} of {len(events)} events have it, expected all or none")
    group = s.hit
    numbers: tuple[float, ...] = ()
    if said:
        group = group_of(s.hit, s.kind)
        numbers = fit_origin(said, [origins(e) for e in events], [e.energy for e in events])
    centre, scale = s.x.mean(axis=0), s.x.std(axis=0)
    centre[0], scale[0] = 0.0, 1.0
    if simple:
        centre[1] = 0.0  # nobody's 0 stays 0
    scale[scale == 0] = 1.0
    n_features = s.x.shape[1]
    rows = [np.flatnonzero(s.kind == k) for k in range(N_KINDS)]
    parts = [(r, (s.x[r] - centre) / scale) for r in rows]
    free = np.ones((N_KINDS, n_features))
    free[:, 0] = 0.0

    def objective(flat: Array) -> tuple[float, Array]:
        w = flat.reshape(N_KINDS, n_features)
        loss, gradient = cross_entropy(parts, group, s.target, s.weight, w)
        return loss + penalty * float((free * w**2).sum()), (gradient + 2 * penalty * free * w).reshape(-1)

    found = minimize(
        objective, np.zeros(N_KINDS * n_features), jac=True, method="L-BFGS-B",
        options={"maxiter": steps, "ftol": 1e-12, "gtol": 1e-7},
    )  # fmt: skip
    weights = found.x.reshape(N_KINDS, n_features)
    return Sharing(
        tuple(tuple(float(v) for v in row) for row in weights),
        tuple(float(v) for v in centre),
        tuple(float(v) for v in scale),
        **options,
        origin=numbers,
    )


def cross_entropy(
    parts: Sequence[tuple[IntArray, Array]], hit: IntArray, target: Array, weight: Array, w: Array
) -> tuple[float, Array]:
    """Weighted mean cross-entropy of the shares of each hit, and its derivative by the weights.

    Parameters
    ----------
    parts : sequence of (ndarray of shape (n,), int64, ndarray of shape (n, F))
        For each kind of answer the numbers of its pairs and their features.
    hit : ndarray of shape (n_pairs,), int64
        Sorted; hits, or other groups of pairs that are shared among themselves.
    target, weight : ndarray of shape (n_pairs,), float
        True shares, and weights, the same for all pairs of a hit. A group counts by the sum of its true shares.
    w : ndarray of shape (4, F)
        Weights of the features for each kind.
    """
    score = np.empty(len(hit))
    for (rows, x), row in zip(parts, w, strict=True):
        score[rows] = x @ row
    share = softmax_by_hit(score, hit)
    norm = float((weight * target).sum())
    loss = -float((weight * target * np.log(np.maximum(share, 1e-300))).sum()) / norm
    slope = weight * (share * sum_by_hit(target, hit) - target) / norm
    return loss, np.stack([slope[rows] @ x for rows, x in parts])


def _collect(
    events: Sequence[Event],
    owned: Sequence[Ownership],
    z: Sequence[ArrayLike],
    z_tracks: Sequence[ArrayLike],
    options: dict[str, Any],
) -> _Sample:
    parts: list[tuple[Array, IntArray, IntArray, Array, Array]] = []
    offset = 0
    for event, own, points, anchors in zip(events, owned, z, z_tracks, strict=True):
        pairs = make_pairs(event, own, points, anchors, **options)
        target = true_shares(event, own)
        if not options["remnants"]:
            target = without_remnants(target)
        t = target[pairs.answer, pairs.hit]
        # candidates that are too far to be offered are nobody's here; hits without deposits teach nothing
        missing = target.sum(axis=0) - np.bincount(pairs.hit, t, event.n_hits)
        nobody = pairs.answer == len(own) + 1
        t[nobody] += np.maximum(missing, 0.0)
        use = (target.sum(axis=0) > 0)[pairs.hit]
        weight = event.energy.astype(np.float64)[pairs.hit]
        parts.append((pairs.features[use], pairs.kind[use], pairs.hit[use] + offset, t[use], weight[use]))
        offset += event.n_hits
    if not sum(len(p[1]) for p in parts):
        raise ValueError("events have no hits with known deposits, expected events with truth")
    x, kind, hit, t, weight = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return _Sample(x, kind, hit, t, weight)


def without_remnants(target: Array) -> Array:
    """True shares with those of remnants given to nobody: a model without them cannot see them."""
    out = target.copy()
    out[-1] += out[-2]
    out[-2] = 0.0
    return out
