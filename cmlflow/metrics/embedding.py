"""Geometry of an embedding against the truth: neighbours, pair similarities, distances within and between showers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.metrics.matching import Array, Ints, numpy_array, sum_by

FIGURES = ("recall_at_1", "recall_at_10", "contamination_at_10", "auc", "d_intra", "d_inter", "margin")


def embedding_metrics(
    z: Any,
    particle_id: Any,
    energy: Any,
    seed: int = 0,
    *,
    hits: str = "core",
    core_fraction: float = 0.95,
    n_pairs: int = 100_000,
) -> dict[str, float]:
    """How well the embedding of one event keeps the hits of a particle together and particles apart.

    Parameters
    ----------
    z : array_like of shape (n_hits, D), float
        Embedding; compared by cosine, so its scale does not matter.
    particle_id : array_like of shape (n_hits,), int
        True particle of each hit; hits with -1 are ignored.
    energy : array_like of shape (n_hits,), float
        Hit energies, which define the core of a shower.
    seed : int
        Of the sampled pairs.
    hits : {"core", "all"}
        ``core``: of each particle the hits of highest energy that together hold `core_fraction` of its energy, at
        least two where it has two; they are the anchors and the neighbours. ``all``: every hit of a known particle.
    core_fraction : float
        In (0, 1].
    n_pairs : int
        If there are more pairs of hits than this, as many are drawn at random: half of one particle, half of different
        particles.

    Returns
    -------
    dict of float
        ``recall_at_1``, ``recall_at_10``  share of hits with a hit of their particle among the 1, 10 nearest (fewer
        where there are fewer other hits);
        ``contamination_at_10``  share of the 10 nearest that belong to another particle, averaged over the hits of
        each particle, then over particles;
        ``auc``      probability that a pair of one particle is more similar than a pair of different particles;
        ``d_intra``  99th percentile of the cosine distances 1 - cos within particles;
        ``d_inter``  median of the cosine distances between particles;
        ``margin``   d_inter - d_intra.
        nan where there are no such pairs: with one particle, `auc`, `d_inter` and `margin`.

    Raises
    ------
    ValueError
        Lengths differ or a value of `z` or `energy` is not finite; names the hit.

    Notes
    -----
    The result does not depend on the order of the hits or the numbers of the particles, except that exact ties in
    similarity at the last neighbour are broken arbitrarily between hits of equal embedding.

    References
    ----------
    arXiv:2603.23356, section IV.1.

    Examples
    --------
    >>> m = embedding_metrics([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], [0, 0, 1, 1], [1, 1, 1, 1])
    >>> m["recall_at_1"], m["auc"]
    (1.0, 1.0)
    """
    x, particle = _prepared(z, particle_id, energy, hits, core_fraction)
    out = _neighbour_figures(x, particle)
    same, different = _pair_similarities(x, particle, n_pairs, seed)
    out["auc"] = area_under_curve(same, different)
    out["d_intra"] = float(np.quantile(1 - same, 0.99)) if len(same) else float("nan")
    out["d_inter"] = float(np.median(1 - different)) if len(different) else float("nan")
    out["margin"] = out["d_inter"] - out["d_intra"]
    return out


def pair_distances(
    z: Any,
    particle_id: Any,
    energy: Any,
    seed: int = 0,
    *,
    hits: str = "core",
    core_fraction: float = 0.95,
    n_pairs: int = 200_000,
) -> tuple[Array, Array]:
    """The cosine distances 1 - cos that `embedding_metrics` takes its distances and its margin from.

    Parameters
    ----------
    z, particle_id, energy, seed, hits, core_fraction, n_pairs
        As in `embedding_metrics`.

    Returns
    -------
    same, different : ndarray of shape (n_same,), (n_different,), float64
        Of pairs of hits of one particle, and of different particles.
    """
    x, particle = _prepared(z, particle_id, energy, hits, core_fraction)
    same, different = _pair_similarities(x, particle, n_pairs, seed)
    return 1 - same, 1 - different


def core_hits(particle: Ints, energy: Array, fraction: float = 0.95) -> NDArray[np.bool_]:
    """Which hits belong to the core of their particle.

    Parameters
    ----------
    particle : ndarray of shape (n_hits,), int
        0 or above.
    energy : ndarray of shape (n_hits,), float
        Of hits with equal energy the later ones are taken first.
    fraction : float
        The smallest number of hits of highest energy that reaches this share of the particle's energy is kept.

    Returns
    -------
    ndarray of shape (n_hits,), bool
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"core_fraction is {fraction}, expected a value in (0, 1]")
    n = len(particle)
    order = np.lexsort((-np.arange(n), -energy, particle))
    p, e = particle[order], energy[order].astype(np.float64)
    n_particles = int(particle.max(initial=-1)) + 1
    first = np.searchsorted(p, p)
    running = np.concatenate([[0.0], np.cumsum(e)])
    before = running[:-1] - running[first]
    rank = np.arange(n) - first
    keep = np.zeros(n, bool)
    total = sum_by(p, e, n_particles)[p]
    keep[order] = (rank < 2) | (before < fraction * total * (1 - 1e-12))
    return keep


def area_under_curve(positive: Array, negative: Array) -> float:
    """Probability that a positive exceeds a negative, ties counting half; nan if there are none of either.

    Parameters
    ----------
    positive, negative : ndarray of shape (n,), (m,), float
    """
    if not len(positive) or not len(negative):
        return float("nan")
    positive, negative = np.sort(positive), np.sort(negative)
    below = np.searchsorted(negative, positive, "left").sum(dtype=np.float64)
    not_above = np.searchsorted(negative, positive, "right").sum(dtype=np.float64)
    return float((below + not_above) / 2 / len(positive) / len(negative))


def _prepared(z: Any, particle_id: Any, energy: Any, hits: str, core_fraction: float) -> tuple[Array, Ints]:
    """Unit vectors and particles of the hits in use, in an order that does not depend on the input's."""
    x, particle, e = _checked(z, particle_id, energy)
    if hits not in ("core", "all"):
        raise ValueError(f"hits is {hits!r}, expected 'core' or 'all'")
    known = np.flatnonzero(particle >= 0)
    order = known[np.lexsort((*x[known].T, e[known]))]
    x, e, particle = x[order], e[order], _by_first_hit(particle[order])
    if hits == "core":
        keep = core_hits(particle, e, core_fraction)
        x, particle = x[keep], _by_first_hit(particle[keep])
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)
    return x, particle


def _checked(z: Any, particle_id: Any, energy: Any) -> tuple[Array, Ints, Array]:
    x, particle, e = numpy_array(z), numpy_array(particle_id), numpy_array(energy).astype(np.float64)
    if x.size == 0 and x.ndim < 2:
        x = x.reshape(0, 1)
    if x.ndim != 2 or particle.shape != (len(x),) or e.shape != (len(x),):
        raise ValueError(
            f"z has shape {x.shape}, particle_id {particle.shape}, energy {e.shape}; "
            "expected (n_hits, D), (n_hits,), (n_hits,)"
        )
    x = x.astype(np.float64)
    bad = ~(np.isfinite(x).all(axis=1) & np.isfinite(e))
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(f"hit {i} has embedding {x[i]} and energy {e[i]}, expected finite values")
    return x, particle.astype(np.int64), e


def _by_first_hit(particle: Ints) -> Ints:
    """Particles renumbered by first appearance, so that their numbers do not matter."""
    _, first, where = np.unique(particle, return_index=True, return_inverse=True)
    number = np.empty(len(first), np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    return number[where]


def _neighbour_figures(x: Array, particle: Ints) -> dict[str, float]:
    from cmlflow.graphs.double import nearest_others

    k = min(10, len(x) - 1)
    if k < 1:
        return dict.fromkeys(FIGURES[:3], float("nan"))
    near, _ = nearest_others(x, k)  # of unit vectors, the nearest are the most similar
    same = particle[near] == particle[:, None]
    n_hits = np.bincount(particle)
    foreign = sum_by(particle, 1 - same.mean(axis=1), len(n_hits))
    return {
        "recall_at_1": float(same[:, 0].mean()),
        "recall_at_10": float(same.any(axis=1).mean()),
        "contamination_at_10": float((foreign / n_hits).mean()),
    }


def _pair_similarities(x: Array, particle: Ints, n_pairs: int, seed: int) -> tuple[Array, Array]:
    """Cosine similarities of pairs of one particle and of pairs of different particles."""
    n = len(x)
    if n * (n - 1) // 2 <= n_pairs:
        i, j = np.triu_indices(n, 1)
        similarity, alike = (x @ x.T)[i, j], particle[i] == particle[j]
        return similarity[alike], similarity[~alike]
    rng = np.random.default_rng(seed)
    by_particle = np.argsort(particle, kind="stable")
    x, particle = x[by_particle], particle[by_particle]
    first = np.searchsorted(particle, particle)
    size = np.searchsorted(particle, particle, "right") - first
    out = []
    for alike in (True, False):
        # Anchors by the number of partners they have makes all pairs equally likely.
        partners = size - 1 if alike else n - size
        if not partners.any():
            out.append(np.empty(0))
            continue
        reach = np.cumsum(partners)
        i = np.searchsorted(reach, rng.integers(0, reach[-1], n_pairs // 2), "right")
        step = rng.integers(0, partners[i])
        j = first[i] + (i - first[i] + 1 + step) % size[i] if alike else (first[i] + size[i] + step) % n
        out.append(np.einsum("ij,ij->i", x[i], x[j]))
    return out[0], out[1]
