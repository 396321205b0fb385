"""True shares of candidates: the deposits of true particles assigned to candidates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmlflow.association.ownership import NOBODY, Ownership
from cmlflow.event import Event, IntArray

Array = NDArray[np.float64]


def match_particles(event: Event, owned: Ownership) -> IntArray:
    """The true particle of each candidate, shape (C,), int64; -1 where there is none.

    A candidate with a track: the track's particle. A neutral one: of the particles without a track, the one that left
    most energy in its hits; -1 if none left any, as in a separate piece of a charged shower.

    Parameters
    ----------
    event : Event
        With truth.
    owned : Ownership
    """
    particle = _tracks(event)
    out = np.full(len(owned), NOBODY, np.int64)
    out[: len(particle)] = particle
    n_neutral = len(owned) - len(particle)
    if n_neutral and event.n_particles:
        d = event.deposits
        energy = event.fractions * event.energy[d.hit]
        which = owned.owner[d.hit] - len(particle)
        use = (which >= 0) & (d.particle >= 0) & ~np.isin(d.particle, particle)
        shared = np.zeros((n_neutral, event.n_particles))
        np.add.at(shared, (which[use], d.particle[use]), energy[use])
        best = shared.argmax(axis=1)
        out[len(particle) :] = np.where(shared[np.arange(n_neutral), best] > 0, best, NOBODY)
    return out


def true_shares(event: Event, owned: Ownership) -> Array:
    """The true part of each hit of each candidate, of what is hidden below a track, and of noise.

    A deposit goes to its particle's candidate; of several (a shower in pieces), to the one that has the hit, else to
    the one with most of the particle's energy. A neutral particle without a candidate goes to the owner of the hit if
    that is neutral (merged showers are one candidate). If the hit belongs to a track, it is a remnant, neutral energy
    hidden below that track. Otherwise, and for unknown particles such as noise, it stays unassigned.

    Parameters
    ----------
    event : Event
        With truth.
    owned : Ownership

    Returns
    -------
    ndarray of shape (C + 2, n_hits), float64
        Rows: the candidates, remnants, noise. Columns sum to 1, or to 0 for hits without deposits.
    """
    n, d = len(owned), event.deposits
    remnant, nobody = n, n + 1
    particle = match_particles(event, owned)
    owner, n_tracks = owned.owner[d.hit], owned.n_tracks
    energy = event.fractions * event.energy[d.hit]

    row = np.full(len(d), nobody)
    at_neutral, at_track = owner >= n_tracks, (owner >= 0) & (owner < n_tracks)
    known = d.particle >= 0
    row[known & at_neutral] = owner[known & at_neutral]
    row[known & at_track] = remnant
    main = _main_candidates(particle, owned, d.hit, d.particle, energy, event.n_particles)
    has = known.copy()
    has[known] = main[d.particle[known]] >= 0
    row[has] = main[d.particle[has]]
    if n:
        own = known & (owner >= 0)
        own[own] = particle[owner[own]] == d.particle[own]
        row[own] = owner[own]
    # A charged particle matches only its track: a piece of it that is a neutral candidate does not.
    out = np.zeros((n + 2, event.n_hits))
    np.add.at(out, (row, d.hit), event.fractions)
    return out


def _main_candidates(
    particle: IntArray, owned: Ownership, hit: IntArray, of: IntArray, energy: Array, n_particles: int
) -> IntArray:
    """Candidate of each particle with most of its energy, shape (P,); the first if none has any; -1 without one."""
    out = np.full(n_particles, NOBODY, np.int64)
    if not n_particles or not len(owned):
        return out
    shared = np.zeros((len(owned), n_particles))
    use = (of >= 0) & (owned.owner[hit] >= 0)
    np.add.at(shared, (owned.owner[hit[use]], of[use]), energy[use])
    matched = particle[:, None] == np.arange(n_particles)
    best = np.where(matched, shared, -1.0).argmax(axis=0)
    out[matched.any(axis=0)] = best[matched.any(axis=0)]
    return out


def _tracks(event: Event) -> IntArray:
    return np.zeros(0, np.int64) if event.tracks is None else event.tracks.particle
