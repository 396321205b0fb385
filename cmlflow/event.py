"""One event's points, tracks and truth (`Event`), and many of them (`EventStore`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]

UNKNOWN = -1
MOST_PARTICLES = 1_000_000  # of one event; more is a damaged file


@dataclass(frozen=True, eq=False)
class Deposits:
    """Every particle's share of every hit, as parallel arrays.

    Attributes
    ----------
    hit : ndarray of shape (n_deposits,), int64
        Hit that received the energy, 0..n_hits-1.
    particle : ndarray of shape (n_deposits,), int64
        Particle that left it, 0..n_particles-1; -1 where the particle is not known.
    energy : ndarray of shape (n_deposits,), float32
        Deposited energy, in the unit of the hit energies.
    """

    hit: IntArray
    particle: IntArray
    energy: FloatArray

    def __len__(self) -> int:
        return len(self.hit)


@dataclass(frozen=True, eq=False)
class Particles:
    """The true particles of one event.

    Attributes
    ----------
    pdg_id : ndarray of shape (n_particles,), int64
        Particle Data Group code; 0 where unknown.
    energy : ndarray of shape (n_particles,), float32 [GeV]
        Energy of the particle; nan where unknown.
    direction : ndarray of shape (n_particles, 3), float32
        Unit vector of the momentum at the production point; nan where unknown.
    """

    pdg_id: IntArray
    energy: FloatArray
    direction: FloatArray

    def __len__(self) -> int:
        return len(self.pdg_id)

    @classmethod
    def unknown(cls, n_particles: int) -> Particles:
        """Particles of which nothing but their number is known."""
        return cls(
            np.zeros(n_particles, np.int64),
            np.full(n_particles, np.nan, np.float32),
            np.full((n_particles, 3), np.nan, np.float32),
        )


@dataclass(frozen=True, eq=False)
class Tracks:
    """The reconstructed tracks of one event.

    Attributes
    ----------
    momentum : ndarray of shape (n_tracks,), float32 [GeV]
        Absolute momentum.
    direction : ndarray of shape (n_tracks, 3), float32
        Unit vector at the entry point.
    entry : ndarray of shape (n_tracks, 3), float32 [cm]
        Point where the track enters the calorimeter.
    particle : ndarray of shape (n_tracks,), int64
        True particle of the track; -1 where unknown.
    crossing : ndarray of shape (n_tracks, n_layers, 3), float32 [cm], optional
        Point where the track enters each layer of the detector, in the order of the layers; nan where it does not
        cross one. None where it is not known.
    """

    momentum: FloatArray
    direction: FloatArray
    entry: FloatArray
    particle: IntArray
    crossing: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.momentum)


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
        self.energy = _floats(energy, (-1,), "energy", where)
        n_hits = len(self.energy)
        self.position = _floats(position, (n_hits, 3), "position", where)
        _require(self.energy >= 0, "energy", self.energy, where, "non-negative energies")
        self.layer = np.zeros(n_hits, np.int64) if layer is None else _ints(layer, n_hits, "layer", where)

        given = None
        if deposits is not None:
            given = _deposits(deposits, n_hits, where)
        if particle_id is not None:
            self.particle_id = _ints(particle_id, n_hits, "particle_id", where)
            _require(self.particle_id >= UNKNOWN, "particle_id", self.particle_id, where, "-1 or above")
        elif given is not None:
            self.particle_id = _dominant(given, n_hits)
        else:
            self.particle_id = np.full(n_hits, UNKNOWN, np.int64)

        named = int(self.particle_id.max(initial=-1)) + 1
        if given is not None:
            named = max(named, int(given.particle.max(initial=-1)) + 1)
        if named > MOST_PARTICLES:
            raise ValueError(f"{where}: particle_id or deposits name particle {named - 1}, expected numbers from 0 on")
        self.particles = _particles(particles, named, where)
        self.tracks = None if tracks is None else _tracks(tracks, len(self.particles), where)
        self._given_deposits = given
        self._given_purity = None if purity is None else _floats(purity, (n_hits,), "purity", where)
        if self._given_purity is not None:
            inside = (self._given_purity >= 0) & (self._given_purity <= 1)
            _require(inside, "purity", self._given_purity, where, "values between 0 and 1")

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


class EventStore(Sequence[Event]):
    """A sequence of events that may live on disk.

    Indexing with an integer gives an `Event`; with a slice, a boolean mask or an array of integers it gives an
    `EventStore` over the same events, nothing being read before it is asked for.

    Parameters
    ----------
    events : sequence of Event
        A list, or any lazy sequence such as those behind `cmlflow.read`.
    """

    def __init__(self, events: Sequence[Event] | Iterable[Event], index: IntArray | None = None):
        self._events = events if isinstance(events, Sequence) else list(events)
        self._index = index

    def __len__(self) -> int:
        return len(self._events) if self._index is None else len(self._index)

    @overload
    def __getitem__(self, item: int) -> Event: ...
    @overload
    def __getitem__(self, item: slice | ArrayLike) -> EventStore: ...

    def __getitem__(self, item: Any) -> Event | EventStore:
        if isinstance(item, (int, np.integer)):
            i = int(item)
            if not -len(self) <= i < len(self):
                raise IndexError(f"event {i} asked for, but there are {len(self)}")
            i %= len(self)
            return self._events[i if self._index is None else int(self._index[i])]
        index = np.arange(len(self)) if self._index is None else self._index
        return EventStore(self._events, np.asarray(index[item], np.int64))

    def __iter__(self) -> Iterator[Event]:
        if self._index is None:
            yield from self._events
        else:
            for i in self._index:
                yield self._events[int(i)]

    def __repr__(self) -> str:
        return f"<EventStore: {len(self)} events>"


def as_events(events: Event | Sequence[Event] | Iterable[Event]) -> Sequence[Event]:
    """Whatever a caller may pass as events, as a sequence; the one place that decides what is allowed.

    Raises
    ------
    TypeError
        Where something else than an `Event` is found.
    """
    if isinstance(events, Event):
        raise TypeError("one Event given where several are taken: pass [event]")
    if isinstance(events, (str, bytes, PathLike)):
        raise TypeError(f"{events!r} given where events are taken: read the file with cmlflow.read")
    sequence: Sequence[Event] = events if isinstance(events, Sequence) else list(events)
    if isinstance(sequence, (list, tuple)):
        for i, e in enumerate(sequence):
            if not isinstance(e, Event):
                raise TypeError(f"entry {i} of the events is {type(e).__name__}, not an Event")
    return sequence


def _floats(value: ArrayLike, shape: tuple[int, ...], name: str, where: str) -> FloatArray:
    try:
        with np.errstate(over="ignore"):  # too large for float32: infinite, and refused below
            array = np.array(_plain(value), dtype=np.float32)  # a copy: what is checked here stays as it is
    except (TypeError, ValueError) as err:
        raise ValueError(f"{where}: {name} is {_short(value)}, expected numbers of one shape") from err
    if array.size == 0 and -1 not in shape and 0 in shape:
        array = array.reshape(shape)
    fits = array.ndim == len(shape) and all(want in (-1, have) for want, have in zip(shape, array.shape, strict=False))
    if not fits:
        wanted = ", ".join("n_hits" if s == -1 else str(s) for s in shape)
        raise ValueError(f"{where}: {name} has shape {array.shape}, expected ({wanted})")
    finite = np.isfinite(array)
    if not finite.all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{where}: {name} of {_entry(name)} {first[0]} is {array[first]}, expected finite values")
    return np.ascontiguousarray(array)


def _plain(value: Any) -> Any:
    """A torch tensor, of any device and precision, as an array; anything else as it is."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        return (value.double() if value.is_floating_point() else value).numpy()
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _ints(value: ArrayLike, length: int, name: str, where: str) -> IntArray:
    try:
        array = np.array(_plain(value))
    except ValueError as err:
        raise ValueError(f"{where}: {name} is {_short(value)}, expected integers") from err
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        if array.dtype.kind != "f":
            raise ValueError(f"{where}: {name} has type {array.dtype}, expected integers")
        whole = np.isfinite(array) & (array == np.floor(array))
        if not whole.all():
            first = tuple(int(i) for i in np.argwhere(~whole)[0])
            raise ValueError(f"{where}: {name} of {_entry(name)} {first[0]} is {array[first]}, expected integers")
    if array.shape != (length,):
        raise ValueError(f"{where}: {name} has shape {array.shape}, expected ({length},)")
    return np.ascontiguousarray(array, dtype=np.int64)


def _entry(name: str) -> str:
    return "entry" if "." in name else "hit"


def _require(ok: NDArray[np.bool_], name: str, value: Any, where: str, wanted: str) -> None:
    if not ok.all():
        first = int(np.flatnonzero(~ok)[0])
        raise ValueError(f"{where}: {name} of hit {first} is {value[first]}, expected {wanted}")


def _deposits(value: Deposits | Sequence[ArrayLike], n_hits: int, where: str) -> Deposits:
    given = (value.hit, value.particle, value.energy) if isinstance(value, Deposits) else value
    hit, particle, energy = _arrays(given, "deposits", ("hit", "particle", "energy"), where)
    e = _floats(energy, (-1,), "deposits.energy", where)
    h = _ints(hit, len(e), "deposits.hit", where)
    p = _ints(particle, len(e), "deposits.particle", where)
    bad = (h < 0) | (h >= n_hits) | (p < UNKNOWN) | (e < 0)
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"{where}: deposit {i} has hit {h[i]}, particle {p[i]}, energy {e[i]}; expected a hit in "
            f"0..{n_hits - 1}, a particle of -1 or above and a non-negative energy"
        )
    return Deposits(h, p, e)


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


def _arrays(value: Any, name: str, fields: tuple[str, ...], where: str) -> tuple[Any, ...]:
    """The arrays of a group, from a sequence of them or a dict with their names."""
    if isinstance(value, Mapping):
        value = [value[field] for field in fields if field in value]
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != len(fields):
        raise ValueError(f"{where}: {name} is {_short(value)}, expected the arrays {', '.join(fields)}")
    return tuple(value)


def _known(value: ArrayLike, shape: tuple[int, ...], name: str, where: str) -> FloatArray:
    """As `_floats`, with nan for what is not known."""
    array = np.array(_plain(value), dtype=np.float32)
    if array.size == 0 and 0 in shape:
        array = array.reshape(shape)
    if array.shape != shape:
        raise ValueError(f"{where}: {name} has shape {array.shape}, expected {shape}")
    if np.isinf(array).any():
        raise ValueError(f"{where}: {name} holds an infinite value, expected finite ones, or nan")
    return array


def _particles(value: Particles | Sequence[ArrayLike] | None, named: int, where: str) -> Particles:
    if value is None:
        return Particles.unknown(named)
    given = (value.pdg_id, value.energy, value.direction) if isinstance(value, Particles) else value
    pdg_id, energy, direction = _arrays(given, "particles", ("pdg_id", "energy", "direction"), where)
    n = np.size(_plain(pdg_id))
    out = Particles(
        _ints(pdg_id, n, "particles.pdg_id", where),
        _known(energy, (n,), "particles.energy", where),
        _known(direction, (n, 3), "particles.direction", where),
    )
    if (out.energy < 0).any():
        i = int(np.flatnonzero(out.energy < 0)[0])
        raise ValueError(f"{where}: particles.energy of entry {i} is {out.energy[i]}, expected 0 or above, or nan")
    if len(out) < named:
        raise ValueError(
            f"{where}: particle_id or deposits name particle {named - 1}, but there are {len(out)} particles"
        )
    return out


def _tracks(value: Tracks | Sequence[ArrayLike], n_particles: int, where: str) -> Tracks:
    given: Any = value
    if isinstance(given, Tracks):
        given = (given.momentum, given.direction, given.entry, given.particle, *_present(given.crossing))
    elif isinstance(given, Mapping):
        given = [given[f] for f in ("momentum", "direction", "entry", "particle", "crossing") if f in given]
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise ValueError(
            f"{where}: tracks are {_short(value)}, expected the arrays momentum, direction, entry, particle"
        )
    if len(given) not in (4, 5):
        raise ValueError(
            f"{where}: tracks have {len(given)} arrays, expected momentum, direction, entry, particle and, where it is "
            "known, crossing"
        )
    momentum, direction, entry, particle = given[:4]
    p = _floats(momentum, (-1,), "tracks.momentum", where)
    out = Tracks(
        p,
        _floats(direction, (len(p), 3), "tracks.direction", where),
        _floats(entry, (len(p), 3), "tracks.entry", where),
        _ints(particle, len(p), "tracks.particle", where),
        _crossing(given[4], len(p), where) if len(given) == 5 else None,
    )
    if ((out.particle < UNKNOWN) | (out.particle >= n_particles)).any():
        raise ValueError(f"{where}: tracks.particle names a particle outside -1..{n_particles - 1}")
    return out


def _present(value: FloatArray | None) -> tuple[FloatArray, ...]:
    return () if value is None else (value,)


def _crossing(value: ArrayLike, n_tracks: int, where: str) -> FloatArray:
    array = np.asarray(value, dtype=np.float32)
    if n_tracks == 0 and array.size == 0:
        array = array.reshape(0, array.shape[1] if array.ndim == 3 else 0, 3)
    if array.ndim != 3 or array.shape[0] != n_tracks or array.shape[2] != 3:
        raise ValueError(f"{where}: tracks.crossing has shape {array.shape}, expected ({n_tracks}, n_layers, 3)")
    wrong = np.isinf(array).any(axis=2) | (np.isnan(array).any(axis=2) != np.isnan(array).all(axis=2))
    if wrong.any():
        track, layer = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{where}: tracks.crossing of track {track} in layer entry {layer} is {array[track, layer]}, expected "
            "three finite numbers, or three nan where the track does not cross the layer"
        )
    return np.ascontiguousarray(array)
