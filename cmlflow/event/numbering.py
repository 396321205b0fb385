"""Numbers of particles: those of a simulation, of which an event has few, become 0..P-1."""

from __future__ import annotations

import numpy as np

from cmlflow.event.records import UNKNOWN, Deposits, IntArray

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


def dominant(deposits: Deposits, n_hits: int) -> IntArray:
    """Particle with the largest summed share of each hit; the lowest number where shares are equal."""
    out = np.full(n_hits, UNKNOWN, np.int64)
    known = deposits.particle >= 0
    hit, particle = deposits.hit[known], deposits.particle[known]
    if not len(hit):
        return out
    n_particles = int(particle.max()) + 1
    pair, where = np.unique(hit * n_particles + particle, return_inverse=True)
    energy = np.bincount(where, deposits.energy[known])
    hit, particle = pair // n_particles, pair % n_particles
    order = np.lexsort((particle, -energy, hit))
    first = order[np.unique(hit[order], return_index=True)[1]]
    out[hit[first]] = particle[first]
    return out
