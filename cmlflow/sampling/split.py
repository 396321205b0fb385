"""Splitting a sample by event."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np

from cmlflow.event import Event, EventStore, IntArray


def split_events(events: Sequence[Event], fractions: Sequence[float], seed: int = 0) -> list[EventStore]:
    """Disjoint random parts of a sample, without reading it.

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
    _check_fractions(fractions)
    store = events if isinstance(events, EventStore) else EventStore(events)
    order = np.random.default_rng(seed).permutation(len(store))
    limits = np.round(np.cumsum([0.0, *fractions]) * len(store)).astype(int)
    return [store[np.sort(order[a:b])] for a, b in itertools.pairwise(limits)]


def hashed_part(numbers: Iterable[int], fractions: Sequence[float], seed: int = 0) -> IntArray:
    """Part of a sample to which each event belongs, by a hash of its number alone.

    All samples of an event are in one part, in every file and every run, whatever else is in the sample.

    Parameters
    ----------
    numbers : iterable of int
        Event numbers; they may repeat.
    fractions : sequence of float
        Expected size of each part, at most 1 in sum.
    seed : int, default=0
        Different seeds give different splits.

    Returns
    -------
    ndarray of shape (n,), int64
        Part 0..len(fractions)-1; -1 for events in no part.

    Examples
    --------
    >>> hashed_part([7, 8, 9, 7], [0.5, 0.5])
    array([0, 1, 0, 0])
    """
    _check_fractions(fractions)
    found: dict[int, float] = {}
    values = []
    for number in numbers:
        n = int(number)
        if n not in found:
            digest = blake2b(f"{seed}:{n}".encode(), digest_size=7).digest()
            found[n] = int.from_bytes(digest, "big") / 2**56
        values.append(found[n])
    limits = np.cumsum([*fractions])
    limits[np.isclose(limits, 1.0, rtol=0, atol=1e-9)] = 1.0
    part = np.searchsorted(limits, np.array(values), side="right").astype(np.int64)
    part[part == len(limits)] = -1
    return part


def _check_fractions(fractions: Sequence[float]) -> None:
    if min(fractions) < 0 or sum(fractions) > 1 + 1e-9:
        raise ValueError(f"fractions are {list(fractions)}, expected non-negative numbers with a sum of at most 1")
