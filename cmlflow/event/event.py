"""One event: its hits, tracks and truth, checked once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmlflow.event.arrays import whole_number
from cmlflow.event.checks import (
    as_deposits,
    as_features,
    as_floats,
    as_ints,
    as_particles,
    as_positions,
    as_tracks,
    require,
)
from cmlflow.event.numbering import compacted, dominant, is_sparse, numbers_of
from cmlflow.event.records import UNKNOWN, Deposits, FloatArray, Particles, Tracks

INPUTS = ("position", "energy", "layer")
"""What a network sees of each hit unless it is given features."""


class Event:
    """One event: calorimeter hits with positions and energies, tracks, and truth where it is known.

    All arrays are checked once, here; everything downstream relies on them. Lengths are in cm, particle
    energies in GeV. The unit of the hit energies belongs to the detector (HGCAL-like: MIP, one silicon MIP being
    0.08925 MeV; slab: GeV) and is kept by everything that adds or compares them.

    Parameters
    ----------
    position : array_like of shape (n_hits, 3) or (n_hits, 2), float [cm]
        z is 0 where there are two columns.
    energy : array_like of shape (n_hits,), float
        Non-negative and finite.
    layer : array_like of shape (n_hits,), int, optional
        Detector layer; zero where not given.
    particle_id : array_like of shape (n_hits,), int, optional
        Dominant particle of each hit, 0..P-1 in this event, -1 unknown. Taken from `deposits` if not given;
        all -1 where there are none either. Numbers of a simulation, most of which are not in the event, are
        replaced by 0..P-1 where `particles` is not given; `particles.number` keeps them.
    features : mapping of str to array_like of shape (n_hits,) or (n_hits, m), float, optional
        Further numbers of each hit by name, such as ``{"time": [ns]}``; nan where one is not known.
    deposits : Deposits or (hit, particle, energy), optional
        Every particle's share of every hit. Where it is missing, each labelled hit belongs wholly to its particle.
    particles : Particles or (pdg_id, energy, direction), optional
        Unknown entries for as many particles as the labels name, by default. A fourth array has their numbers.
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
    >>> e[e.energy > 1.5].energy.tolist()
    [2.0]
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        position: ArrayLike,
        energy: ArrayLike,
        layer: ArrayLike | None = None,
        particle_id: ArrayLike | None = None,
        *,
        features: Mapping[str, ArrayLike] | None = None,
        deposits: Deposits | Sequence[ArrayLike] | None = None,
        particles: Particles | Sequence[ArrayLike] | None = None,
        tracks: Tracks | Sequence[ArrayLike] | None = None,
        purity: ArrayLike | None = None,
        detector: str | None = None,
        number: int | None = None,
    ) -> None:
        self.number = None if number is None else whole_number(number, "number", where="event: ")
        where = "event" if number is None else f"event {self.number}"
        if not isinstance(detector, str | None):
            raise ValueError(f"{where}: detector is {detector!r}, expected a name")
        self.detector = detector
        self.energy = as_floats(energy, (-1,), "energy", where)
        n_hits = len(self.energy)
        self.position = as_positions(position, n_hits, where)
        require(self.energy >= 0, "energy", self.energy, where, "non-negative energies")
        self.layer = np.zeros(n_hits, np.int64) if layer is None else as_ints(layer, n_hits, "layer", where)

        self.features: dict[str, FloatArray] = as_features(features, n_hits, where)

        given = None
        if deposits is not None:
            given = as_deposits(deposits, n_hits, where)
        if particle_id is not None:
            self.particle_id = as_ints(particle_id, n_hits, "particle_id", where)
            require(self.particle_id >= UNKNOWN, "particle_id", self.particle_id, where, "-1 or above")
        elif given is not None:
            self.particle_id = dominant(given, n_hits)
        else:
            self.particle_id = np.full(n_hits, UNKNOWN, np.int64)

        numbers = numbers_of(self.particle_id, *(() if given is None else (given.particle,)))
        named = int(numbers[-1]) + 1 if len(numbers) else 0
        if particles is None and is_sparse(numbers):
            named = len(numbers)
            particles = Particles.unknown(named, numbers)
            self.particle_id = compacted(self.particle_id, numbers)
            given = None if given is None else replace(given, particle=compacted(given.particle, numbers))
            if tracks is not None:
                tracks = as_tracks(tracks, None, where)
                tracks = replace(tracks, particle=compacted(tracks.particle, numbers))
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

    def inputs(self, names: Sequence[str] = INPUTS) -> FloatArray:
        """What a network sees of each hit, shape (n_hits, F), float32.

        Parameters
        ----------
        names : sequence of str
            ``"position"`` (x, y, z [cm]), ``"energy"``, ``"layer"`` and names of features; these three by default.

        Raises
        ------
        ValueError
            Names the feature that the event does not have, and those that it has.
        """
        own = {"position": self.position, "energy": self.energy, "layer": self.layer, **self.features}
        if not names:
            raise ValueError(f"no features asked for, expected some of {', '.join(own)}")
        names = [name if name in own else name.removeprefix("hit_") for name in names]
        for name in names:
            if name not in own:
                raise ValueError(f"{self.title} has no feature {name!r}; it has {', '.join(own)}")
        columns = [np.asarray(own[name], np.float32) for name in names]
        return np.concatenate([c if c.ndim == 2 else c[:, None] for c in columns], axis=1)

    def replace(self, **changes: Any) -> Event:
        """A copy with other values of some of the constructor's arguments."""
        return Event(**self._arguments() | changes)

    @classmethod
    def from_awkward(cls, record: Any) -> Event:
        """One event from a record with the columns of Parquet files, see `EventStore.to_awkward`.

        Raises
        ------
        ValueError
            Names a column that is missing or does not fit.
        """
        from cmlflow.event.bridges import from_awkward

        return from_awkward(record)

    def to_pyg(self) -> Any:
        """The event as ``torch_geometric.data.Data``: x (position, energy, layer, features), pos, y (particle_id).

        Everything else is in it by the names of the columns of Parquet files.
        """
        from cmlflow.event.bridges import to_pyg

        return to_pyg(self)

    @classmethod
    def from_pyg(cls, data: Any) -> Event:
        """The event of such data; of others, those with ``pos`` and ``hit_energy``, and ``y`` for the particles."""
        from cmlflow.event.bridges import from_pyg

        return from_pyg(data)

    def _arguments(self) -> dict[str, Any]:
        names = ("position", "energy", "layer", "particle_id", "features", "particles", "tracks", "detector", "number")
        given = {"deposits": self._given_deposits, "purity": self._given_purity}
        return {name: getattr(self, name) for name in names} | given

    def __getitem__(self, hits: Any) -> Event:
        """The event with some of its hits, by a slice, mask or array of places; particles and tracks stay."""
        if isinstance(hits, (int, np.integer)):
            raise TypeError(f"{self.title}: hit {hits} alone asked for, expected a slice, a mask or an array of places")
        place = np.arange(self.n_hits)[hits]
        if place.ndim != 1:
            raise IndexError(f"{self.title}: hits are asked for by an array of shape {place.shape}, expected (n,)")
        changes: dict[str, Any] = {n: getattr(self, n)[place] for n in ("position", "energy", "layer", "particle_id")}
        changes["features"] = {name: values[place] for name, values in self.features.items()}
        if self._given_purity is not None:
            changes["purity"] = self._given_purity[place]
        if self._given_deposits is not None:
            d = self._given_deposits
            order = np.argsort(d.hit, kind="stable")
            edges = np.searchsorted(d.hit[order], np.arange(self.n_hits + 1))
            counts = np.diff(edges)[place]
            begin = np.repeat(edges[place] - np.cumsum(counts) + counts, counts)
            rows = order[begin + np.arange(counts.sum())]
            again = np.argsort(rows, kind="stable")  # in the order of the deposits
            hit, rows = np.repeat(np.arange(len(place)), counts)[again], rows[again]
            changes["deposits"] = Deposits(hit, d.particle[rows], d.energy[rows])
        return self.replace(**changes)

    def __eq__(self, other: object) -> bool:
        """Whether all that was given of both is the same; nan is equal to nan."""
        if not isinstance(other, Event):
            return NotImplemented
        return _same(self._arguments(), other._arguments())

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


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    if isinstance(a, (str, int)):
        return bool(a == b)
    if isinstance(a, np.ndarray):
        return a.shape == np.shape(b) and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    if not isinstance(a, dict):
        a, b = vars(a), vars(b)
    return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)
