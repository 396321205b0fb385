"""Numbers of particles: those of a simulation, of which an event has few, become 0..P-1."""

from __future__ import annotations

import numpy as np

from cmlflow.event.records import UNKNOWN, IntArray

UNUSED = 100
"""Particles without a hit that an event may have, beside as many as those with hits."""


def numbers_of(*arrays: IntArray) -> IntArray:
    """The particles that any of the arrays names, rising, without the unknown one."""
    found = np.unique(np.concatenate([np.unique(a) for a in arrays])) if arrays else np.zeros(0, np.int64)
    return found[found > UNKNOWN]


def is_sparse(numbers: IntArray) -> bool:
    """Whether most numbers up to the largest one are of no particle."""
    return bool(len(numbers)) and int(numbers[-1]) + 1 > 2 * len(numbers) + UNUSED


def compacted(array: IntArray, numbers: IntArray) -> IntArray:
    """Place of each particle among the rising `numbers`; -1 for unknown ones and those that are not among them.

    Examples
    --------
    >>> compacted(np.array([70, -1, 1000, 70]), np.array([70, 1000])).tolist()
    [0, -1, 1, 0]
    """
    if not len(numbers):
        return np.full(len(array), UNKNOWN, np.int64)
    place = np.minimum(np.searchsorted(numbers, array), len(numbers) - 1)
    return np.where(numbers[place] == array, place, UNKNOWN).astype(np.int64)
