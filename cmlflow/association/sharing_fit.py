"""The fit of a `Sharing` on true deposits, with unbiased sums."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.association.features import N_KINDS, layer_groups, make_pairs
from cmlflow.association.origin import fit_origin
from cmlflow.association.ownership import Ownership
from cmlflow.association.sharing import Sharing, group_of, softmax_by_hit, sum_by_hit
from cmlflow.association.truth import true_shares
from cmlflow.event import Event, IntArray
from cmlflow.event.deposits import origins

Array = NDArray[np.float64]


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

    Minimises the cross-entropy of true and predicted shares, weighted with the energies of the hits: a convex problem.
    At the minimum, the predicted energies of tracks, neutral candidates, remnants and noise, summed over the sample,
    equal the true ones, because their differences are the derivatives by the kinds' constants, which are not penalised.
    With `origin` this holds for the charged, neutral and noise parts, and the rest is fitted within each of them.

    Parameters
    ----------
    events : iterable of Event
        With truth; a tuning sample, because candidates of the embedding's training sample are too good.
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
        Maximum number of iterations of L-BFGS.

    Raises
    ------
    ValueError
        No hit has known deposits.

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
        centre[1] = 0.0  # the 0 of noise stays 0
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
        # the shares of too distant candidates count as noise; hits without deposits are ignored
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
    """True shares with those of remnants counted as noise, for a model without remnants."""
    out = target.copy()
    out[-1] += out[-2]
    out[-2] = 0.0
    return out
