"""Topo-clusters of each hit, and its part in them: from hard labels or from a soft assignment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Event, IntArray
from cmlflow.event.arrays import whole

Array = NDArray[np.float64]
Fractions = tuple[ArrayLike, ArrayLike, ArrayLike]
TOLERANCE = 1e-6


def assigned(
    labelled: Iterator[tuple[int, Event, IntArray | None]], fractions: Iterable[Fractions] | None
) -> Iterator[tuple[Event, tuple[IntArray, IntArray, Array]]]:
    """Every event with (hit, cluster, fraction), in which the fractions of each hit add up to 1.

    Parameters
    ----------
    labelled : iterator of (number, event, labels)
        Labels may be None: all hits are in cluster 0.
    fractions : iterable of (hit, cluster, fraction), optional
        Instead of labels; the remainder goes to the cluster -1.

    Raises
    ------
    ValueError
        Names the event, and the hit whose fractions do not fit.
    """
    soft = None if fractions is None else iter(fractions)
    end = object()
    for i, event, labels in labelled:
        hits = np.arange(event.n_hits)
        if soft is None:
            cluster = np.zeros(event.n_hits, np.int64) if labels is None else labels
            yield event, (hits, cluster, np.ones(event.n_hits))
            continue
        given = next(soft, end)
        if given is end or not isinstance(given, tuple) or len(given) != 3:
            raise ValueError(f"event {i}: fractions are missing, expected (hit, cluster, fraction)")
        hit, cluster = (
            whole(given[k], f"event {i}: {name} of the fractions", "entry") for k, name in enumerate(("hit", "cluster"))
        )
        fraction = np.asarray(given[2], np.float64)
        if not hit.shape == cluster.shape == fraction.shape:
            raise ValueError(f"event {i}: fractions have shapes {hit.shape}, {cluster.shape}, {fraction.shape}")
        if len(hit) and (hit.min() < 0 or hit.max() >= event.n_hits or cluster.min() < 0 or not (fraction >= 0).all()):
            raise ValueError(f"event {i}: fractions name a hit outside 0..{event.n_hits - 1}, or are negative")
        rest = 1.0 - np.bincount(hit, fraction, event.n_hits)
        if (rest < -TOLERANCE).any():
            j = int(np.argmin(rest))
            raise ValueError(f"event {i}: fractions of hit {j} add up to {1 - rest[j]}, expected at most 1")
        left = np.flatnonzero(rest > TOLERANCE)
        use = fraction > 0
        parts = (hit[use], left), (cluster[use], np.full(len(left), -1)), (fraction[use], rest[left])
        h, c = (np.concatenate(p) for p in parts[:2])
        yield event, (h, c, np.concatenate(parts[2]))
