"""Events with several particles from events of single ones, for any detector."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from cmlflow.event.event import Event
from cmlflow.event.records import UNKNOWN, Deposits, FloatArray, IntArray, Particles, Tracks
from cmlflow.event.store import EventStore, as_events


def overlay(
    events: Sequence[Event] | Iterable[Event],
    n: int | tuple[int, int],
    n_events: int | None = None,
    *,
    seed: int = 0,
    rotate: bool = False,
    merge: bool = True,
) -> EventStore:
    """Events laid over each other: training events with several particles from files with one particle each.

    Parameters
    ----------
    events : sequence of Event
        Of one detector, with truth; usually of one particle each.
    n : int or (int, int)
        Events that are laid over each other, or the smallest and largest number of them, all equally often. They are
        different ones where there are enough.
    n_events : int, optional
        Events to make; as many as there are by default.
    seed : int, default=0
        Event i depends on the seed and on i alone.
    rotate : bool, default=False
        Turn each event by a random angle about the z axis first. Cells of a barrel then lie between each other: hits
        of different events are merged no more.
    merge : bool, default=True
        Hits of one layer at the same position are one hit: energies add up, and its deposits tell the particles'
        shares. Features are averaged, weighted with the energies.

    Returns
    -------
    EventStore
        Lazy; events are made when they are asked for.

    Raises
    ------
    ValueError
        No events, a number below 1, or events of different detectors or with different features.

    Examples
    --------
    >>> one, other = Event([[0, 0, 1]], [2.0], particle_id=[0]), Event([[0, 0, 1], [1, 0, 1]], [1.0, 1.0], None, [0, 0])
    >>> both = overlay([one, other], 2)[0]
    >>> both.energy.tolist(), both.n_particles
    ([3.0, 1.0], 2)
    """
    sample = as_events(events)
    low, high = (n, n) if isinstance(n, (int, np.integer)) else n
    if not len(sample):
        raise ValueError("there are no events to lay over each other")
    if not 1 <= low <= high:
        raise ValueError(f"n is {n!r}, expected a number of 1 or more, or the smallest and the largest one")
    count = len(sample) if n_events is None else n_events
    return EventStore(_Overlaid(sample, (int(low), int(high)), count, seed, rotate, merge))


class _Overlaid(Sequence[Event]):
    """Overlaid events, made on access."""

    def __init__(
        self, events: Sequence[Event], n: tuple[int, int], count: int, seed: int, rotate: bool, merge: bool
    ) -> None:
        self._events, self._n, self._count = events, n, count
        self._seed, self._rotate, self._merge = seed, rotate, merge

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, item: int) -> Event: ...
    @overload
    def __getitem__(self, item: slice) -> EventStore: ...

    def __getitem__(self, item: int | slice) -> Event | EventStore:
        if isinstance(item, slice):
            return EventStore(self)[item]
        if not -self._count <= item < self._count:
            raise IndexError(f"event {item} asked for, but there are {self._count}")
        i = item % self._count
        rng = np.random.default_rng([self._seed, i])
        wanted = int(rng.integers(self._n[0], self._n[1] + 1))
        chosen = rng.choice(len(self._events), wanted, replace=wanted > len(self._events))
        parts = [self._events[int(c)] for c in chosen]
        if self._rotate:
            parts = [rotated(part, float(rng.uniform(0, 2 * np.pi))) for part in parts]
        return together(parts, merge=self._merge, number=i)

    def __iter__(self) -> Iterator[Event]:
        for i in range(self._count):
            yield self[i]


def together(events: Sequence[Event], *, merge: bool = True, number: int | None = None) -> Event:
    """Some events as one: their particles and tracks one after the other, their hits merged where they coincide.

    Raises
    ------
    ValueError
        No events, or events of different detectors or with different features.
    """
    if not events:
        raise ValueError("there are no events to put together")
    first = events[0]
    for e in events:
        shapes = [{name: a.shape[1:] for name, a in x.features.items()} for x in (first, e)]
        if e.detector != first.detector or shapes[0] != shapes[1]:
            raise ValueError(
                f"{e.title} has detector {e.detector!r} and features {', '.join(e.features) or '(none)'}, but "
                f"{first.title} has {first.detector!r} and {', '.join(first.features) or '(none)'}"
            )
    position = np.concatenate([e.position for e in events])
    layer = np.concatenate([e.layer for e in events])
    energy = np.concatenate([e.energy for e in events]).astype(np.float64)
    cell = np.arange(len(layer))
    if merge and len(layer):
        keys = np.column_stack([layer.astype(np.float64), position.astype(np.float64)])
        _, opens, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        rank = np.empty(len(opens), np.int64)
        rank[np.argsort(opens)] = np.arange(len(opens))
        cell = rank[which.reshape(-1)]  # cells in the order of their first hits
    start = np.unique(cell, return_index=True)[1]
    total = np.bincount(cell, energy, len(start))
    return Event(
        position[start],
        total,
        layer[start],
        features={
            name: _mean(np.concatenate([e.features[name] for e in events]), energy, cell, len(start))
            for name in first.features
        },
        deposits=_deposits(events, cell),
        particles=_particles(events),
        tracks=_tracks(events),
        detector=first.detector,
        number=number,
    )


def rotated(event: Event, angle: float) -> Event:
    """The event turned about the z axis by an angle [rad]."""
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])

    def turned(vectors: NDArray[Any]) -> FloatArray:
        return np.asarray(vectors.astype(np.float64) @ turn, np.float32)

    p, t = event.particles, event.tracks
    tracks = None
    if t is not None:
        crossing = None if t.crossing is None else turned(t.crossing)
        tracks = Tracks(t.momentum, turned(t.direction), turned(t.entry), t.particle, crossing)
    particles = Particles(p.pdg_id, p.energy, turned(p.direction), p.number)
    return event.replace(position=turned(event.position), particles=particles, tracks=tracks)


def _offsets(events: Sequence[Event]) -> IntArray:
    return np.cumsum([0, *(e.n_particles for e in events)])[:-1]


def _deposits(events: Sequence[Event], cell: IntArray) -> Deposits:
    """Deposits of all events; hits of which nothing is known belong to no particle. One for each pair."""
    hits, particles, energies = [], [], []
    first = 0
    for e, offset in zip(events, _offsets(events), strict=True):
        d = e.deposits
        bare = np.setdiff1d(np.arange(e.n_hits), d.hit)
        hits += [d.hit + first, bare + first]
        particles += [np.where(d.particle < 0, UNKNOWN, d.particle + offset), np.full(len(bare), UNKNOWN)]
        energies += [d.energy, e.energy[bare]]
        first += e.n_hits
    hit, particle = cell[np.concatenate(hits)], np.concatenate(particles)
    width = int(particle.max(initial=UNKNOWN)) + 2
    pair, where = np.unique(hit * width + particle + 1, return_inverse=True)
    total = np.bincount(where.reshape(-1), np.concatenate(energies), len(pair))
    return Deposits(pair // width, pair % width - 1, total.astype(np.float32))


def _particles(events: Sequence[Event]) -> Particles:
    all_of = [e.particles for e in events]
    return Particles(
        np.concatenate([p.pdg_id for p in all_of]),
        np.concatenate([p.energy for p in all_of]),
        np.concatenate([p.direction for p in all_of]),
    )


def _tracks(events: Sequence[Event]) -> Tracks | None:
    """The tracks of all events; crossings where all of them know those of as many layers."""
    known = [(e.tracks, o) for e, o in zip(events, _offsets(events), strict=True) if e.tracks is not None]
    if not known:
        return None
    crossings = [t.crossing for t, _ in known if t.crossing is not None]
    fit = len(crossings) == len(known) and len({c.shape[1] for c in crossings}) == 1
    return Tracks(
        np.concatenate([t.momentum for t, _ in known]),
        np.concatenate([t.direction for t, _ in known]),
        np.concatenate([t.entry for t, _ in known]),
        np.concatenate([np.where(t.particle < 0, UNKNOWN, t.particle + o) for t, o in known]),
        np.concatenate(crossings) if fit else None,
    )


def _mean(values: FloatArray, energy: NDArray[np.float64], cell: IntArray, n: int) -> FloatArray:
    """Mean over the hits of each cell, weighted with their energies, of those that know the value."""
    columns = (values if values.ndim == 2 else values[:, None]).astype(np.float64)
    out = np.full((n, columns.shape[1]), np.nan)
    for column, found in zip(columns.T, out.T, strict=True):
        known = ~np.isnan(column)
        weight = np.where(energy > 0, energy, 1e-30)[known]
        total = np.bincount(cell[known], weight, n)
        np.divide(np.bincount(cell[known], weight * column[known], n), total, out=found, where=total > 0)
    return out.reshape(n, *values.shape[1:]).astype(np.float32)
