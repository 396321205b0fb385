"""Events in Parquet files: one row per event, written in row groups, read lazily (docs/file-format.md)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import tee
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from cmlflow.event import Deposits, Event, IntArray, Particles, Tracks
from cmlflow.io.blocks import BlockEvents
from cmlflow.io.candidates import (
    CANDIDATES,
    SHARES,
    StoredCandidates,
    candidate_columns,
    share_labels,
    stored_candidates,
)
from cmlflow.io.files import FormatError, PathLike, atomically, existing, one_line, paired

SCHEMA_KEY = b"cmlflow_schema"
SCHEMA_VERSION = 1
EVENTS_PER_GROUP = 512
HITS_PER_GROUP = 1_000_000

_HITS = {"hit_x_cm": "f4", "hit_y_cm": "f4", "hit_z_cm": "f4", "hit_energy": "f4"}
_LABELS = {"hit_layer": "i4", "hit_particle": "i4", "hit_purity": "f4"}
_CLUSTER = {"hit_cluster": "i4"}
_DEPOSITS = {"deposit_hit": "i4", "deposit_particle": "i4", "deposit_energy": "f4"}
_PARTICLES = {"particle_pdg_id": "i8", "particle_energy_gev": "f4"} | {f"particle_direction_{a}": "f4" for a in "xyz"}
_TRACKS = (
    {"track_momentum_gev": "f4"}
    | {f"track_direction_{a}": "f4" for a in "xyz"}
    | {f"track_{a}_cm": "f4" for a in "xyz"}
    | {"track_particle": "i4"}
)
_CROSSINGS = {f"crossing_{a}_cm": "f4" for a in "xyz"}
_FAMILIES = (_HITS | _LABELS | _CLUSTER, _DEPOSITS, _PARTICLES, _TRACKS, _CROSSINGS, CANDIDATES, SHARES)
_KIND = {name: kind for family in _FAMILIES for name, kind in family.items()}
_FOUND = CANDIDATES | SHARES


@dataclass(frozen=True)
class _Lists:
    """A jagged column: event i has values[offsets[i]:offsets[i + 1]], or none where `valid` is False."""

    offsets: NDArray[Any]
    values: NDArray[Any]
    valid: NDArray[np.bool_]

    def __getitem__(self, i: Any) -> Any:
        return self.values[self.offsets[i] : self.offsets[i + 1]] if self.valid[i] else None


class ParquetEvents(BlockEvents):
    """Events of a Parquet file; opening reads its footer alone, events are read by row group when asked for.

    Parameters
    ----------
    path : path-like
    cache : int, default 8
        Row groups kept in memory; one of a million hits with their deposits takes about 40 MB.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    FormatError
        Where it is no Parquet file, is cut short, comes from a newer version, or lacks columns; when an event is
        asked for: where its columns do not fit each other or hold values that no event may have.
    """

    def __init__(self, path: PathLike, cache: int = 8) -> None:
        super().__init__(path, cache)
        footer = self._handle.metadata
        _check_schema(self.path, self._handle.schema_arrow)
        rows = [footer.row_group(g).num_rows for g in range(footer.num_row_groups)]
        self._edges = np.cumsum([0, *rows])

    def _open(self) -> Any:
        return _open(self.path)

    def _load(self, block: int) -> dict[str, Any]:
        names = set(self._handle.schema_arrow.names)
        wanted = [name for name in ("number", "detector", *_KIND) if name in names and name not in _CLUSTER | _FOUND]
        table = _read_group(self.path, self._handle, block, wanted)
        first = int(self._edges[block])
        columns: dict[str, Any] = {n: _lists(self.path, table, n, first) for n in wanted if n in _KIND}
        for family in _FAMILIES:
            _check_lengths(self.path, first, {n: columns[n] for n in family if n in columns})
        for name in ("number", "detector"):
            columns[name] = table.column(name).to_pylist() if name in names else [None] * table.num_rows
        return columns

    def _event(self, arrays: dict[str, Any], i: int, entry: int) -> Event:
        def column(name: str, dtype: Any) -> NDArray[Any] | None:
            values = arrays[name][i] if name in arrays else None
            return None if values is None else np.array(values, dtype)  # copied: the event owns its arrays

        def family(columns: dict[str, str]) -> list[NDArray[Any]] | None:
            got = [column(n, np.int64 if kind[0] == "i" else np.float32) for n, kind in columns.items()]
            present = [a for a in got if a is not None]
            if present and len(present) < len(got):
                missing = [n for n, a in zip(columns, got, strict=True) if a is None]
                raise ValueError(f"{', '.join(missing)} missing, but the columns that belong to it are there")
            return present or None

        d, p, t, c = (family(columns) for columns in (_DEPOSITS, _PARTICLES, _TRACKS, _CROSSINGS))
        return Event(
            np.stack([arrays[f"hit_{a}_cm"][i] for a in "xyz"], axis=1),
            np.array(arrays["hit_energy"][i]),
            column("hit_layer", np.int64),
            column("hit_particle", np.int64),
            deposits=None if d is None else Deposits(*d),
            particles=None if p is None else Particles(p[0], p[1], np.stack(p[2:], axis=1)),
            tracks=None if t is None else _tracks(t, c),
            purity=column("hit_purity", np.float32),
            detector=arrays["detector"][i],
            number=arrays["number"][i],
        )


def write_parquet(
    events: Iterable[Event],
    path: PathLike,
    labels: Iterable[ArrayLike] | None = None,
    events_per_group: int = EVENTS_PER_GROUP,
    hits_per_group: int = HITS_PER_GROUP,
    *,
    candidates: Iterable[Any] | None = None,
) -> None:
    """Write events, and cluster labels where given, to a Parquet file; nothing is left behind where it fails.

    Parameters
    ----------
    events : iterable of Event
        Taken one by one; no more than one row group is held in memory.
    path : path-like
        Takes its place when all is written.
    labels : iterable of array_like of shape (n_hits,), int, optional
        Cluster labels 0..C-1 of each event, -1 noise.
    events_per_group, hits_per_group : int
        A row group ends as soon as it has so many events, or so many hits.
    candidates : iterable, optional
        Particle-flow candidates of each event, objects with ``share``, ``pdg_id``, ``momentum`` and ``track`` as
        `cmlflow.association.Candidates`. The label of a hit is then the candidate with the largest share.

    Raises
    ------
    OSError
        Names the file; for example on a full disk.
    ValueError, TypeError
        Where labels and candidates are both given, where they do not fit the events, or something is not an
        `Event`.
    """
    found: Iterator[Any] | None = None
    if candidates is not None:
        if labels is not None:
            raise ValueError("labels and candidates are both given, but labels follow from the candidates")
        shares, found = tee(candidates)
        labels = (share_labels(c) for c in shares)
    absent = ({} if labels is not None else _CLUSTER) | ({} if found is not None else _FOUND)
    kinds = {n: k for n, k in _KIND.items() if n not in absent}
    types = {k: pa.field("element", pa.from_numpy_dtype(np.dtype(k)), nullable=False) for k in set(kinds.values())}
    fields = [pa.field(n, pa.list_(types[k])) for n, k in kinds.items()]
    scalars = [pa.field("number", pa.int64()), pa.field("detector", pa.string())]
    schema = pa.schema(scalars + fields, metadata={SCHEMA_KEY: str(SCHEMA_VERSION)})
    with atomically(path) as temporary, open(temporary, "wb") as sink:
        writer = pq.ParquetWriter(sink, schema, compression="zstd")
        try:
            rows: list[dict[str, Any]] = []
            hits = 0
            for i, event, row in paired(events, labels):
                rows.append(_row(event, row, i, None if found is None else next(found)))
                hits += event.n_hits
                if len(rows) >= events_per_group or hits >= hits_per_group:
                    writer.write_table(_table(rows, schema))
                    rows, hits = [], 0
            if rows:
                writer.write_table(_table(rows, schema))
            writer.close()
        finally:
            writer.is_open = False  # a writer that failed must not try again when it is collected


def read_parquet_labels(path: PathLike) -> list[IntArray]:
    """Cluster labels stored with the events of a Parquet file.

    Returns
    -------
    list of ndarray of shape (n_hits,), int64
        Clusters 0..C-1, -1 noise.

    Raises
    ------
    FormatError
        Where the file holds no labels, or is no Parquet file.
    """
    file = existing(path)
    handle = _open(file)
    _check_schema(file, handle.schema_arrow)
    if "hit_cluster" not in handle.schema_arrow.names:
        raise FormatError(f"{file} holds no cluster labels (column hit_cluster)")
    return list(_stored_labels(file, handle))


def read_parquet_candidates(path: PathLike) -> list[StoredCandidates]:
    """Particle-flow candidates stored with the events of a Parquet file.

    Raises
    ------
    FormatError
        Where the file holds no candidates, or they do not fit its events.
    """
    file = existing(path)
    handle = _open(file)
    _check_schema(file, handle.schema_arrow)
    if absent := [name for name in _FOUND if name not in handle.schema_arrow.names]:
        raise FormatError(f"{file} holds no candidates (column {absent[0]})")
    out: list[StoredCandidates] = []
    for group in range(handle.metadata.num_row_groups):
        table = _read_group(file, handle, group, ["hit_energy", *_FOUND])
        first = len(out)
        columns = {name: _lists(file, table, name, first) for name in ("hit_energy", *_FOUND)}
        for family in (CANDIDATES, SHARES):
            _check_lengths(file, first, {name: columns[name] for name in family})
        for i in range(table.num_rows):
            try:
                out.append(stored_candidates({n: columns[n][i] for n in _FOUND}, len(columns["hit_energy"][i])))
            except ValueError as err:
                raise FormatError(f"{file}, entry {first + i}: {err}") from err
    return out


def _stored_labels(file: Any, handle: Any) -> Iterator[IntArray]:
    first = 0
    for group in range(handle.metadata.num_row_groups):
        table = _read_group(file, handle, group, ["hit_cluster"])
        column = _lists(file, table, "hit_cluster", first)
        first += table.num_rows
        for i in range(table.num_rows):
            values = column[i]
            yield np.zeros(0, np.int64) if values is None else values.astype(np.int64)


def _row(event: Event, labels: IntArray | None, i: int, candidates: Any = None) -> dict[str, Any]:
    p, t = event.particles, event.tracks
    row: dict[str, Any] = dict(zip(_HITS, [*event.position.T, event.energy], strict=True))
    row |= {"hit_layer": event.layer, "hit_particle": event.particle_id, "hit_cluster": labels}
    row["hit_purity"] = event.purity if event.has_purity else None
    d = event.deposits if event.has_deposits else None
    row |= dict(zip(_DEPOSITS, [None] * 3 if d is None else [d.hit, d.particle, d.energy], strict=True))
    row |= dict(zip(_PARTICLES, [p.pdg_id, p.energy, *p.direction.T], strict=True))
    track = [None] * 8 if t is None else [t.momentum, *t.direction.T, *t.entry.T, t.particle]
    row |= dict(zip(_TRACKS, track, strict=True))
    crossing = None if t is None or t.crossing is None else t.crossing.reshape(-1, 3).T
    row |= dict(zip(_CROSSINGS, [None] * 3 if crossing is None else crossing, strict=True))
    row |= {} if candidates is None else candidate_columns(candidates, event, i)
    for name, values in row.items():
        if values is not None and _KIND[name] == "i4" and np.abs(values).max(initial=0) >= 2**31:
            raise ValueError(f"event {i}: {name} has a value of {np.abs(values).max()}, which does not fit 32 bits")
    return row | {"number": event.number, "detector": event.detector}


def _tracks(arrays: list[NDArray[Any]], crossing: list[NDArray[Any]] | None) -> Tracks:
    """Tracks from their columns; the crossings of a track, one per layer, follow each other."""
    n = len(arrays[0])
    points = None
    if crossing is not None:
        if len(crossing[0]) % max(n, 1) or (n == 0 and len(crossing[0])):
            raise ValueError(f"crossing_x_cm has {len(crossing[0])} values, not the same number for each of {n} tracks")
        points = np.stack(crossing, axis=1).reshape(n, len(crossing[0]) // max(n, 1), 3)
    return Tracks(arrays[0], np.stack(arrays[1:4], axis=1), np.stack(arrays[4:7], axis=1), arrays[7], points)


def _table(rows: list[dict[str, Any]], schema: Any) -> Any:
    arrays = []
    for field in schema:
        values = [row[field.name] for row in rows]
        if field.name not in _KIND:
            arrays.append(pa.array(values, field.type))
            continue
        missing = np.array([v is None for v in values])
        offsets = np.cumsum([0, *(0 if v is None else len(v) for v in values)], dtype=np.int32)
        kept = [v for v in values if v is not None]
        flat = np.concatenate(kept).astype(_KIND[field.name]) if kept else np.zeros(0, _KIND[field.name])
        lists = pa.ListArray.from_arrays(
            pa.array(offsets), pa.array(flat), type=field.type, mask=pa.array(missing) if missing.any() else None
        )
        arrays.append(lists)
    return pa.Table.from_arrays(arrays, schema=schema)


def _open(path: Any) -> Any:
    try:
        return pq.ParquetFile(path)
    except (PermissionError, FileNotFoundError):
        raise
    except (pa.ArrowException, OSError, ValueError) as err:
        raise FormatError(f"{path} is no Parquet file, or is cut short: {one_line(err)}") from err


def _check_schema(path: Any, schema: Any) -> None:
    missing = [n for n in _HITS if n not in schema.names]
    stamp = (schema.metadata or {}).get(SCHEMA_KEY)
    if stamp is None:
        if missing:
            raise FormatError(
                f"{path} was not written by cmlflow and lacks the columns {', '.join(missing)}; "
                "docs/file-format.md lists them"
            )
    elif not stamp.isdigit() or not 1 <= int(stamp) <= SCHEMA_VERSION:
        raise FormatError(
            f"{path} has schema version {stamp.decode(errors='replace')}, this cmlflow reads up to {SCHEMA_VERSION}: "
            "a newer cmlflow is needed"
        )
    elif missing:
        raise FormatError(f"{path} lacks the columns {', '.join(missing)}")
    for name in _KIND.keys() & set(schema.names):
        kind = schema.field(name).type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            raise FormatError(f"{path}: column {name} has type {kind}, expected a list per event")


def _read_group(path: Any, handle: Any, group: int, columns: list[str]) -> Any:
    try:
        return handle.read_row_group(group, columns=columns)
    except (pa.ArrowException, OSError, ValueError) as err:
        raise FormatError(f"{path}: row group {group} cannot be read, the file is damaged: {one_line(err)}") from err


def _lists(path: Any, table: Any, name: str, first: int) -> _Lists:
    chunks = table.column(name).chunks
    column = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)
    offsets, values = np.asarray(column.offsets), column.values
    valid = np.ones(len(column), np.bool_)
    if column.null_count:
        valid = np.asarray(column.is_valid())
        if name in _HITS:
            raise FormatError(f"{path}, entry {first + int(np.flatnonzero(~valid)[0])}: {name} is missing")
    kind = np.dtype(_KIND[name])
    whole = pa.types.is_integer(values.type)
    if values.null_count or not (whole or (kind.kind == "f" and pa.types.is_floating(values.type))):
        raise FormatError(f"{path}: column {name} holds {values.type} or missing values, expected {kind.name}")
    array = values.to_numpy(zero_copy_only=False)
    return _Lists(offsets, array.astype(kind if kind.kind == "f" else array.dtype, copy=False), valid)


def _check_lengths(path: Any, first: int, family: dict[str, _Lists]) -> None:
    """Every column of a family has as many entries as the first one, event by event, or none at all."""
    names = list(family)
    for name in names[1:]:
        a, b = family[name], family[names[0]]
        have, want = np.diff(a.offsets), np.diff(b.offsets)
        differ = (have != want) & a.valid & b.valid
        if differ.any():
            i = int(np.flatnonzero(differ)[0])
            raise FormatError(f"{path}, entry {first + i}: {name} has {have[i]} values, but {names[0]} has {want[i]}")
