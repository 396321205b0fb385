"""Particles, shares and tracks of one event from the columns of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import UNKNOWN, Deposits, IntArray, Particles, Tracks
from cmlflow.event.numbering import compacted, numbers_of
from cmlflow.io.columns import Columns
from cmlflow.io.nesting import Column

REST = 1e-6  # part of a hit below which what its shares lack to 1 is rounding


@dataclass(frozen=True)
class Truth:
    """Particles of one event; `numbers` are the table's numbers of particle 0, 1, ... ..."""

    particle_id: IntArray | None = None
    deposits: Deposits | None = None
    particles: Particles | None = None
    numbers: IntArray | None = None

    def place(self, particle: IntArray) -> IntArray:
        """Particles of the event for the table's numbers; -1 for unknown ones."""
        if self.numbers is None:
            return np.full(len(particle), UNKNOWN, np.int64)
        order = np.argsort(self.numbers, kind="stable")
        place = compacted(particle, self.numbers[order])
        return np.where(place < 0, UNKNOWN, np.append(order, UNKNOWN)[place])


def table_truth(c: Columns, got: dict[str, Column], energy: NDArray[np.float64], by_hit: bool) -> Truth:
    """Labels or deposits, and particles.

    Parameters
    ----------
    c : Columns
    got : dict
        The columns of the event, those of hits with a row for each hit.
    energy : ndarray of shape (n_hits,), float64
    by_hit : bool
        Whether the table has one row per hit, and therefore what it says of particles for each hit.

    Raises
    ------
    ValueError
        Names the column whose length or values do not fit.
    """
    if c.particle is None:
        return Truth() if c.particle_number is None else _with_particles(c, got, np.zeros(0, np.int64), by_hit)
    entries = got[c.particle]
    named = entries.whole(c.particle)
    named = np.where((named < 0) | np.isin(named, c.unknown), UNKNOWN, named)
    truth = _with_particles(c, got, named, by_hit or entries.depth > 0)
    particle = truth.place(named)
    if entries.depth == 0:
        return Truth(particle, None, truth.particles, truth.numbers)
    name = c.share or c.deposit
    if entries.depth > 1 or name is None:
        raise ValueError(f"{c.particle} has a list for each hit: name its shares of the energy with share or deposit")
    if not np.array_equal(got[name].edges[0] if got[name].depth else (), entries.edges[0]):
        raise ValueError(f"{name} has other lists than {c.particle}")
    hit = np.repeat(np.arange(len(energy)), entries.counts)
    amount = got[name].values.astype(np.float64)
    if c.share is None:
        return Truth(None, Deposits(hit, particle, _float32(amount * c.energy_factor)), truth.particles, truth.numbers)
    rest = 1 - np.bincount(hit, amount, len(energy))
    left = np.flatnonzero(rest > REST)
    deposits = Deposits(
        np.concatenate((hit, left)),
        np.concatenate((particle, np.full(len(left), UNKNOWN))),
        _float32(np.concatenate((amount * energy[hit], rest[left] * energy[left]))),
    )
    return Truth(None, deposits, truth.particles, truth.numbers)


def _with_particles(c: Columns, got: dict[str, Column], named: IntArray, aligned: bool) -> Truth:
    """The particles that are named or listed; `aligned` where their columns go along with `named`."""
    used = numbers_of(named)
    columns: dict[str, NDArray[Any]] = {}
    for field in ("pdg_id", "particle_energy"):
        name = getattr(c, field)
        if name is not None:
            values = got[name].whole(name) if field == "pdg_id" else got[name].values
            columns[field] = values
    if c.particle_direction is not None:
        columns["direction"] = np.stack([got[name].values for name in c.particle_direction], axis=-1)
    sizes = {_column_of(c, field): len(values) for field, values in columns.items()}
    if aligned and c.particle_number is None:
        for name, size in sizes.items():
            if size != len(named):
                raise ValueError(f"{name} has {size} values, but {c.particle} has {len(named)}")
        at, first = np.unique(named, return_index=True)
        rows, numbers = first[at > UNKNOWN], used
    else:
        if c.particle_number is not None:
            listed = got[c.particle_number].whole(c.particle_number)
        elif columns:
            listed = np.arange(next(iter(sizes.values())))
            if len(used) and used[-1] >= len(listed):
                raise ValueError(
                    f"{c.particle} names particle {used[-1]}, but there are {len(listed)}; where it holds numbers and "
                    "not places, name the column of the particles' numbers with particle_number"
                )
        else:
            listed = used
        for name, size in sizes.items():
            if size != len(listed):
                raise ValueError(f"{name} has {size} values, but there are {len(listed)} particles")
        if len(np.unique(listed)) < len(listed):
            raise ValueError(f"{c.particle_number} has a number twice, expected a number for each particle")
        numbers = np.concatenate((listed, np.setdiff1d(used, listed)))
        rows = np.arange(len(listed))
    return Truth(None, None, _particles(c, columns, rows, numbers), numbers)


def _column_of(c: Columns, field: str) -> str:
    return c.particle_direction[0] if field == "direction" and c.particle_direction else str(getattr(c, field))


def _particles(c: Columns, columns: dict[str, NDArray[Any]], rows: IntArray, numbers: IntArray) -> Particles:
    out = Particles.unknown(len(numbers), None if np.array_equal(numbers, np.arange(len(numbers))) else numbers)
    n = len(rows)
    if "pdg_id" in columns:
        out.pdg_id[:n] = columns["pdg_id"][rows]
    if "particle_energy" in columns:
        out.energy[:n] = columns["particle_energy"][rows].astype(np.float64) * c.particle_gev
    if "direction" in columns:
        out.direction[:n] = _unit(columns["direction"][rows])
    return out


def table_tracks(c: Columns, got: dict[str, Column], truth: Truth) -> Tracks:
    """The tracks of one event; the particle of each by the table's number."""
    assert c.track_momentum is not None
    assert c.track_entry is not None
    momentum = np.stack([got[name].values for name in c.track_momentum], axis=-1).astype(np.float64)
    size = np.linalg.norm(momentum, axis=1) if momentum.shape[1] == 3 else momentum[:, 0]
    heading = momentum
    if c.track_direction is not None:
        heading = np.stack([got[name].values for name in c.track_direction], axis=-1).astype(np.float64)
    entry = np.stack([got[name].values for name in c.track_entry], axis=-1).astype(np.float64)
    if c.origin is not None:
        entry -= np.pad(np.array(c.origin, np.float64), (0, 3 - len(c.origin)))
    particle = np.full(len(size), UNKNOWN, np.int64)
    if c.track_particle is not None:
        particle = truth.place(got[c.track_particle].whole(c.track_particle))
    return Tracks(_float32(size * c.particle_gev), _unit(heading), _float32(entry * c.cm), particle)


def _unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Unit vectors; nan for vectors of length 0."""
    wide = vectors.astype(np.float64)
    size = np.linalg.norm(wide, axis=-1, keepdims=True)
    return _float32(np.divide(wide, size, out=np.full_like(wide, np.nan), where=size > 0))


def _float32(array: NDArray[Any]) -> NDArray[np.float32]:
    return array.astype(np.float32)
