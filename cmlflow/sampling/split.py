"""Splitting a sample by event."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from cmlflow.event import Event, EventStore


def split_events(events: Sequence[Event], fractions: Sequence[float], seed: int = 0) -> list[EventStore]:
    """Disjoint random parts of a sample, nothing read.

    Parameters
    ----------
    events : sequence of Event
    fractions : sequence of float
        Size of each part, relative to the whole; at most 1 in sum.
    seed : int, default=0

    Examples
    --------
    >>> train, validation = split_events(events, [0.9, 0.1])  # doctest: +SKIP
    """
    if min(fractions) < 0 or sum(fractions) > 1 + 1e-9:
        raise ValueError(f"fractions are {list(fractions)}, expected non-negative numbers with a sum of at most 1")
    store = events if isinstance(events, EventStore) else EventStore(events)
    order = np.random.default_rng(seed).permutation(len(store))
    limits = np.round(np.cumsum([0.0, *fractions]) * len(store)).astype(int)
    return [store[np.sort(order[a:b])] for a, b in itertools.pairwise(limits)]
