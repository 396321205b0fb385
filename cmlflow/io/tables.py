"""Events of tables of your own, described by `Columns`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmlflow.event import Event, IntArray
from cmlflow.io.blocks import BlockEvents
from cmlflow.io.columns import Columns, feature_name
from cmlflow.io.files import FormatError, PathLike
from cmlflow.io.nesting import Column, as_column, edges_of
from cmlflow.io.sources import Source, open_source
from cmlflow.io.table_truth import table_tracks, table_truth

EVENTS_PER_BLOCK = 256


class TableEvents(BlockEvents):
    """Events of a TTree, RNTuple, Parquet, HDF5 or CSV table, whose columns are named by `Columns`.

    Parameters
    ----------
    path : path-like
    columns : Columns or path-like
        Meaning of the columns, or a TOML file with it.
    tree : str, optional
        Tree, RNTuple or group, where the file has several.
    step_size : int, default 256
        Events per block.
    cache : int, default 2
        Blocks kept in memory.

    Raises
    ------
    FileNotFoundError
        No such file.
    FormatError
        Names the file, and the column or event at fault.

    Notes
    -----
    Tables with one row per event are read block by block. In those with one row per hit, the numbers of the events are
    read when the file is opened; where the rows of an event do not follow each other, all rows are one block.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        columns: Columns | PathLike,
        tree: str | None = None,
        step_size: int = EVENTS_PER_BLOCK,
        cache: int = 2,
    ) -> None:
        super().__init__(path, cache)
        if not isinstance(step_size, int) or step_size < 1:
            raise ValueError(f"step_size is {step_size!r}, expected a number of events")
        self.columns = columns if isinstance(columns, Columns) else Columns.from_toml(columns)
        self._tree = tree or self.columns.tree
        source: Source = self._handle
        self._table = f"{self.path}{', ' if source.tree else ''}{source.tree}"
        self.columns.check_names(self._table, source.columns)
        self._features: dict[str, str] = dict(self.columns.features)  # type: ignore[arg-type]
        self._by_hit = self._column(self.columns.energy, 0, min(1, source.length(self.columns.energy))).depth == 0
        self._order: IntArray | None = None
        self._number: IntArray | None = None
        events = source.length(self.columns.energy)
        if self._by_hit:
            self._hits, self._number = self._grouped(source)
            events = len(self._hits) - 1
        self._edges = np.append(np.arange(0, events, events if self._order is not None else step_size), events)
        self._edges = np.unique(self._edges).astype(np.int64) if events else np.zeros(1, np.int64)
        if self.columns.keep:
            self._features |= self._others(source)

    def _open(self) -> Any:
        return open_source(Path(self.path), self._tree)

    def _column(self, name: str, start: int, stop: int) -> Column:
        return as_column(self._handle.read(name, start, stop), f"{self._table}: column {name}")

    def _grouped(self, source: Source) -> tuple[IntArray, IntArray | None]:
        """Where the hits of each event begin in a table with one row per hit, and the numbers of the events."""
        c = self.columns
        rows = source.length(c.energy)
        if c.count is not None:
            counts = self._column(c.count, 0, source.length(c.count)).values
            if (counts < 0).any() or counts.sum() != rows:
                raise FormatError(f"{self._table}: {c.count} adds up to {counts.sum()} hits, but there are {rows}")
            return edges_of(counts), None
        if c.event is None:
            return np.array([0, rows]), None
        keys = np.stack([self._column(name, 0, rows).values for name in c.event], axis=1)
        if np.isnan(keys).any() if keys.dtype.kind == "f" else False:
            raise FormatError(f"{self._table}: {c.event[0]} of row {int(np.argwhere(np.isnan(keys))[0, 0])} is missing")
        opens = np.flatnonzero(np.concatenate(([True], (keys[1:] != keys[:-1]).any(axis=1))))[: len(keys)]
        if len(np.unique(keys[opens], axis=0)) < len(opens):
            _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
            self._order = np.lexsort((np.arange(rows), first[which.reshape(-1)]))
            opens = np.flatnonzero(np.diff(first[which.reshape(-1)][self._order], prepend=-1))
            keys = keys[self._order]
        number = keys[opens, -1] if len(c.event) == 1 else np.zeros(0)
        whole = len(number) > 0 and (number == np.floor(number)).all()
        return np.append(opens, rows).astype(np.int64), number.astype(np.int64) if whole else None

    def _others(self, source: Source) -> dict[str, str]:
        """Columns that are not named and have as many numbers as there are hits."""
        used, out = set(self.columns.names()), {}
        stop = min(int(self._edges[-1]), 8)
        rows = int(self._hits[stop]) if self._by_hit else stop
        energy = self._column(self.columns.energy, 0, rows)
        for name in source.columns:
            feature = feature_name(name)
            if name in used or not feature.isidentifier() or source.length(name) != source.length(self.columns.energy):
                continue
            try:
                column = self._column(name, 0, rows)
                Columns(position="x", energy="e", features={feature: name})
            except ValueError:  # no numbers, or no name for a feature
                continue
            if column.depth == energy.depth and all(map(np.array_equal, column.edges, energy.edges)):
                out[feature] = name
        return out

    def _load(self, block: int) -> dict[str, Column]:
        a, b = int(self._edges[block]), int(self._edges[block + 1])
        out: dict[str, Column] = {}
        for name in [*self.columns.names(), *self._features.values()]:
            if name in out or (self._by_hit and name == self.columns.count):
                continue
            if not self._by_hit or self._handle.length(name) != self._handle.length(self.columns.energy):
                out[name] = self._column(name, a, b)
                continue
            rows = int(self._hits[a]), int(self._hits[b])
            column = self._column(name, *rows)
            if self._order is not None:
                column = column.taken(self._order)
            out[name] = Column([self._hits[a : b + 1] - rows[0], *column.edges], column.values)
        return out

    def _event(self, arrays: dict[str, Column], i: int, entry: int) -> Event:
        c = self.columns
        got = {name: column.row(i) for name, column in arrays.items()}
        n = self._cut_to_hits(got)
        energy = got[c.energy].matrix(c.energy).astype(np.float64)
        keep = np.ones(n, np.bool_) if c.threshold is None else ~(energy < c.threshold)
        energy = np.where(keep, energy, 0) * c.energy_factor
        truth = table_truth(c, got, energy, self._by_hit)
        event = Event(
            self._positions(got, n),
            energy,
            None if c.layer is None else got[c.layer].whole(c.layer) - c.first_layer + 1,
            truth.particle_id,
            features={name: got[column].matrix(column) for name, column in self._features.items()},
            deposits=truth.deposits,
            particles=truth.particles,
            tracks=None if c.track_momentum is None else table_tracks(c, got, truth),
            detector=c.detector,
            number=self._event_number(got, entry),
        )
        return event if keep.all() else event[keep]

    def _cut_to_hits(self, got: dict[str, Column]) -> int:
        """Number of hits; columns of hits have as many rows, those that are padded are cut."""
        c = self.columns
        rows = n = len(got[c.energy])
        if c.count is not None and not self._by_hit:
            n = int(got[c.count].whole(c.count)[0])
            if not 0 <= n <= rows:
                raise ValueError(f"{c.count} is {n}, but {c.energy} has {rows} values")
        for name in (*c.position, c.energy, c.layer, c.particle, c.share, c.deposit, *self._features.values()):
            if name is None:
                continue
            if len(got[name]) not in (rows, n):
                raise ValueError(f"{name} has {len(got[name])} values, but {c.energy} has {rows}")
            got[name] = got[name].rows(0, n)
        return n

    def _event_number(self, got: dict[str, Column], entry: int) -> int:
        c = self.columns
        if self._by_hit or c.event is None or len(c.event) > 1:
            return entry if self._number is None else int(self._number[entry])
        value = got[c.event[0]].values
        return int(value[0]) if len(value) and value[0] == np.floor(value[0]) else entry

    def _positions(self, got: dict[str, Column], n: int) -> NDArray[np.float64]:
        names = self.columns.position
        parts = [got[name].matrix(name).astype(np.float64) for name in names]
        out: NDArray[np.float64] = np.concatenate([p if p.ndim == 2 else p[:, None] for p in parts], axis=1)
        if out.shape[0] == 0:
            out = np.zeros((0, 3 if self.columns.origin is None else len(self.columns.origin)))
        if out.shape[1] not in (2, 3):
            raise ValueError(f"{names[0]} has {out.shape[1]} numbers per hit, expected two or three")
        if self.columns.origin is not None:
            if len(self.columns.origin) != out.shape[1]:
                raise ValueError(f"origin has {len(self.columns.origin)} numbers, but positions {out.shape[1]}")
            out = out - np.array(self.columns.origin)
        return out * self.columns.cm
