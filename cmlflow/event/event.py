"""One event: its hits, tracks and truth, checked once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event.checks import as_deposits, as_floats, as_ints, as_particles, as_tracks, require
from cmlflow.event.records import UNKNOWN, Deposits, FloatArray, IntArray, Particles, Tracks

MOST_PARTICLES = 1_000_000  # of one event; more is a damaged file


class Event:
    """One event: calorimeter hits with positions and energies, tracks, and truth where it is known.

    All arrays are checked once, here; everything downstream relies on them. Lengths are in cm, particle
    energies in GeV. The unit of the hit energies belongs to the detector (HGCAL-like: MIP, one silicon MIP being
    0.08925 MeV; slab: GeV) and is kept by everything that adds or compares them.

    Parameters
    ----------
    position : array_like of shape (n_hits, 3), float [cm]
    energy : array_like of shape (n_hits,), float
        Non-negative and finite.
    layer : array_like of shape (n_hits,), int, optional
        Detector layer; zero where not given.
    particle_id : array_like of shape (n_hits,), int, optional
        Dominant particle of each hit, 0..P-1 in this event, -1 unknown. Taken from `deposits` if not given;
        all -1 where there are none either.
    deposits : Deposits or (hit, particle, energy), optional
        Every particle's share of every hit. Where it is missing, each labelled hit belongs wholly to its particle.
    particles : Particles or (pdg_id, energy, direction), optional
        Unknown entries for as many particles as the labels name, by default.
    tracks : Tracks or (momentum, direction, entry, particle[, crossing]), optional
    purity : array_like of shape (n_hits,), float, optional
        Share of the dominant particle in each hit, in [0, 1]. Follows from the deposits by default.
    detector : str, optional
        Name of the detector geometry, for example ``"hgcal"``.
    number : int, optional
        Event number, used in messages and kept in files.

    Raises
    ------
    ValueError
        Names the event, the argument, the first offending entry and what would be right.

    Examples
    --------
    >>> e = Event(position=[[0, 0, 320], [1, 0, 320]], energy=[2.0, 1.0], layer=[1, 1], particle_id=[0, 0])
    >>> e.n_hits, e.n_particles
    (2, 1)
    """

    def __init__(
        self,
        position: ArrayLike,
        energy: ArrayLike,
        layer: ArrayLike | None = None,
        particle_id: ArrayLike | None = None,
        *,
        deposits: Deposits | Sequence[ArrayLike] | None = None,
        particles: Particles | Sequence[ArrayLike] | None = None,
        tracks: Tracks | Sequence[ArrayLike] | None = None,
        purity: ArrayLike | None = None,
        detector: str | None = None,
        number: int | None = None,
    ) -> None:
        where = "event" if number is None else f"event {number}"
        if number is not None and int(number) != number:
            raise ValueError(f"{where}: number is {number}, expected an integer")
        if not isinstance(detector, str | None):
            raise ValueError(f"{where}: detector is {detector!r}, expected a name")
        self.number = None if number is None else int(number)
        self.detector = detector
        self.energy = as_floats(energy, (-1,), "energy", where)
        n_hits = len(self.energy)
        self.position = as_floats(position, (n_hits, 3), "position", where)
        require(self.energy >= 0, "energy", self.energy, where, "non-negative energies")
        self.layer = np.zeros(n_hits, np.int64) if layer is None else as_ints(layer, n_hits, "layer", where)

        given = None
        if deposits is not None:
            given = as_deposits(deposits, n_hits, where)
        if particle_id is not None:
            self.particle_id = as_ints(particle_id, n_hits, "particle_id", where)
            require(self.particle_id >= UNKNOWN, "particle_id", self.particle_id, where, "-1 or above")
        elif given is not None:
            self.particle_id = _dominant(given, n_hits)
        else:
            self.particle_id = np.full(n_hits, UNKNOWN, np.int64)

        named = int(self.particle_id.max(initial=-1)) + 1
        if given is not None:
            named = max(named, int(given.particle.max(initial=-1)) + 1)
        if named > MOST_PARTICLES:
            raise ValueError(f"{where}: particle_id or deposits name particle {named - 1}, expected numbers from 0 on")
        self.particles = as_particles(particles, named, where)
        self.tracks = None if tracks is None else as_tracks(tracks, len(self.particles), where)
        self._given_deposits = given
        self._given_purity = None if purity is None else as_floats(purity, (n_hits,), "purity", where)
        if self._given_purity is not None:
            inside = (self._given_purity >= 0) & (self._given_purity <= 1)
            require(inside, "purity", self._given_purity, where, "values between 0 and 1")

    @property
    def n_hits(self) -> int:
        """Number of hits."""
        return len(self.energy)

    @property
    def n_particles(self) -> int:
        """Number of true particles."""
        return len(self.particles)

    @property
    def has_deposits(self) -> bool:
        """Whether the shares of the hits were given, or follow from the labels alone."""
        return self._given_deposits is not None

    @property
    def has_purity(self) -> bool:
        """Whether the purity was given, or follows from the deposits."""
        return self._given_purity is not None

    @cached_property
    def deposits(self) -> Deposits:
        """Every particle's share of every hit; one whole deposit per labelled hit where none were given."""
        if self._given_deposits is not None:
            return self._given_deposits
        hit = np.flatnonzero(self.particle_id >= 0)
        return Deposits(hit, self.particle_id[hit], self.energy[hit])

    @cached_property
    def purity(self) -> FloatArray:
        """Share of the dominant particle in each hit, shape (n_hits,), float32; 0 where no particle is known."""
        if self._given_purity is not None:
            return self._given_purity
        if self._given_deposits is None:
            return (self.particle_id >= 0).astype(np.float32)
        d = self._given_deposits
        total = np.bincount(d.hit, d.energy, self.n_hits)
        own = d.particle == self.particle_id[d.hit]
        own &= d.particle >= 0
        largest = np.bincount(d.hit[own], d.energy[own], self.n_hits)
        share = np.divide(largest, total, out=np.zeros(self.n_hits), where=total > 0)
        return share.astype(np.float32)

    @cached_property
    def fractions(self) -> NDArray[np.float64]:
        """Share of each deposit in its hit's deposited energy, parallel to `deposits`, float64."""
        d = self.deposits
        energy = d.energy.astype(np.float64)
        total = np.bincount(d.hit, energy, self.n_hits)[d.hit]
        return np.divide(energy, total, out=np.zeros(len(d)), where=total > 0)

    def features(self) -> FloatArray:
        """The network's input: x, y, z [cm], energy, layer; shape (n_hits, 5), float32."""
        columns = (self.position, self.energy[:, None], self.layer[:, None].astype(np.float32))
        return np.concatenate(columns, axis=1)

    @property
    def title(self) -> str:
        """What messages call it: ``event 7``, or ``event`` without a number."""
        return "event" if self.number is None else f"event {self.number}"

    def __len__(self) -> int:
        return self.n_hits

    def __repr__(self) -> str:
        name = "" if self.number is None else f" {self.number}"
        tracks = "" if self.tracks is None else f", {len(self.tracks)} tracks"
        return f"<Event{name}: {self.n_hits} hits, {self.n_particles} particles{tracks}>"


def _dominant(deposits: Deposits, n_hits: int) -> IntArray:
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
