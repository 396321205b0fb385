"""Events of Parquet files: one row per event, read lazily by row group (docs/reference/files.md)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cmlflow.event import Deposits, Event, IntArray, Particles, Tracks
from cmlflow.io.blocks import BlockEvents
from cmlflow.io.candidates import CANDIDATES, SHARES, StoredCandidates, stored_candidates
from cmlflow.io.checksums import SealedFile
from cmlflow.io.files import FormatError, PathLike, existing, one_line, stored_labels
from cmlflow.io.parquet_columns import (
    CLUSTER,
    CROSSINGS,
    DEPOSITS,
    FAMILIES,
    FOUND,
    KIND,
    PARTICLES,
    TRACKS,
    check_lengths,
    check_schema,
    feature_columns,
    lists,
)
from cmlflow.io.parquet_writer import write_parquet

__all__ = ["ParquetEvents", "read_parquet_candidates", "read_parquet_labels", "write_parquet"]


MAX_HITS = 20_000_000
"""Hits that an event may have by default; a small file can say that it has more than the memory holds."""


def check_sizes(path: Path, footer: Any, max_hits: int) -> None:
    """Refuse row groups whose events have on average more hits, or ten times more of anything else, than allowed."""
    for g in range(footer.num_row_groups):
        group = footer.row_group(g)
        for c in range(footer.num_columns):
            chunk = group.column(c)
            name = chunk.path_in_schema.partition(".")[0]
            limit = max_hits if name.startswith("hit_") else 10 * max_hits
            if chunk.num_values > limit * max(group.num_rows, 1):
                raise FormatError(
                    f"{path}: row group {g} has {chunk.num_values} values of {name} in {group.num_rows} events, "
                    f"expected at most {limit} in each; max_hits= allows more"
                )


class ParquetEvents(BlockEvents):
    """Events of a Parquet file; opening reads only its footer, events are read by row group on access.

    Parameters
    ----------
    path : path-like
    cache : int, default 8
        Row groups kept in memory; one of a million hits with their deposits takes about 40 MB.
    max_hits : int, default 20,000,000
        Largest number of hits that an event may have by what the file's footer says, before anything is read.

    Raises
    ------
    FileNotFoundError
        No such file.
    FormatError
        It is no Parquet file, is cut short, comes from a newer version, or lacks columns; on access to an event: its
        columns do not fit each other or hold invalid values.
    """

    def __init__(self, path: PathLike, cache: int = 8, *, max_hits: int = MAX_HITS) -> None:
        super().__init__(path, cache)
        if max_hits < 1:
            raise ValueError(f"max_hits is {max_hits}, expected at least one")
        footer = self._handle.metadata
        check_sizes(self.path, footer, max_hits)
        check_schema(self.path, self._handle.schema_arrow)
        self._features = feature_columns(self.path, self._handle.schema_arrow)
        rows = [footer.row_group(g).num_rows for g in range(footer.num_row_groups)]
        self._edges = np.cumsum([0, *rows])

    def _open(self) -> Any:
        return _open(self.path)

    def _load(self, block: int) -> dict[str, Any]:
        names = set(self._handle.schema_arrow.names)
        wanted = [name for name in ("number", "detector", *KIND) if name in names and name not in CLUSTER | FOUND]
        wanted += self._features
        table = _read_group(self.path, self._handle, block, wanted)
        first = int(self._edges[block])
        columns: dict[str, Any] = {
            n: lists(self.path, table, n, first) for n in wanted if n not in ("number", "detector")
        }
        for family in (FAMILIES[0] | self._features, *FAMILIES[1:]):
            check_lengths(self.path, first, {n: columns[n] for n in family if n in columns})
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

        d, p, t, c = (family(columns) for columns in (DEPOSITS, PARTICLES, TRACKS, CROSSINGS))
        features = {name: column(stored, np.float32) for stored, name in self._features.items()}
        particle_number = column("particle_number", np.int64)
        return Event(
            np.stack([arrays[f"hit_{a}_cm"][i] for a in "xyz"], axis=1),
            np.array(arrays["hit_energy"][i]),
            column("hit_layer", np.int64),
            column("hit_particle", np.int64),
            features={name: values for name, values in features.items() if values is not None},
            deposits=None if d is None else Deposits(*d),
            particles=None if p is None else Particles(p[0], p[1], np.stack(p[2:], axis=1), particle_number),
            tracks=None if t is None else _tracks(t, c),
            purity=column("hit_purity", np.float32),
            detector=arrays["detector"][i],
            number=arrays["number"][i],
        )


def lost_columns(path: PathLike) -> str:
    """What a file has beside the columns of events of cmlflow; empty where there is nothing else."""
    with open(path, "rb") as file:
        if file.read(4) != b"PAR1":
            return "everything that is not in the events, as it is no Parquet file,"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schema = _open(path).schema_arrow
        known = {"number", "detector", *KIND, *feature_columns(path, schema)}
    return ", ".join(name for name in schema.names if name not in known)


def read_parquet_labels(path: PathLike) -> list[IntArray]:
    """Cluster labels stored with the events of a Parquet file.

    Returns
    -------
    list of ndarray of shape (n_hits,), int64
        Clusters 0..C-1, -1 noise.

    Raises
    ------
    FormatError
        The file holds no labels, or is no Parquet file.
    """
    file = existing(path)
    handle = _open(file)
    check_schema(file, handle.schema_arrow)
    if "hit_cluster" not in handle.schema_arrow.names:
        raise FormatError(f"{file} holds no cluster labels (column hit_cluster)")
    return list(_stored_labels(file, handle))


def read_parquet_candidates(path: PathLike) -> list[StoredCandidates]:
    """Particle-flow candidates stored with the events of a Parquet file.

    Raises
    ------
    FormatError
        The file holds no candidates, or they do not fit its events.
    """
    file = existing(path)
    handle = _open(file)
    check_schema(file, handle.schema_arrow)
    if absent := [name for name in FOUND if name not in handle.schema_arrow.names]:
        raise FormatError(f"{file} holds no candidates (column {absent[0]})")
    out: list[StoredCandidates] = []
    for group in range(handle.metadata.num_row_groups):
        table = _read_group(file, handle, group, ["hit_energy", *FOUND])
        first = len(out)
        columns = {name: lists(file, table, name, first) for name in ("hit_energy", *FOUND)}
        for family in (CANDIDATES, SHARES):
            check_lengths(file, first, {name: columns[name] for name in family})
        for i in range(table.num_rows):
            try:
                out.append(stored_candidates({n: columns[n][i] for n in FOUND}, len(columns["hit_energy"][i])))
            except ValueError as err:
                raise FormatError(f"{file}, entry {first + i}: {err}") from err
    return out


def _stored_labels(file: Any, handle: Any) -> Iterator[IntArray]:
    first = 0
    for group in range(handle.metadata.num_row_groups):
        table = _read_group(file, handle, group, ["hit_energy", "hit_cluster"])
        column, energy = (lists(file, table, name, first) for name in ("hit_cluster", "hit_energy"))
        for i, n in enumerate(np.diff(energy.offsets).tolist()):
            values = column[i]
            yield stored_labels(file, first + i, np.zeros(0, np.int64) if values is None else values, n)
        first += table.num_rows


def _tracks(arrays: list[NDArray[Any]], crossing: list[NDArray[Any]] | None) -> Tracks:
    """Tracks from their columns; the crossings of a track, one per layer, follow each other."""
    n = len(arrays[0])
    points = None
    if crossing is not None:
        if len(crossing[0]) % max(n, 1) or (n == 0 and len(crossing[0])):
            raise ValueError(f"crossing_x_cm has {len(crossing[0])} values, not the same number for each of {n} tracks")
        points = np.stack(crossing, axis=1).reshape(n, len(crossing[0]) // max(n, 1), 3)
    return Tracks(arrays[0], np.stack(arrays[1:4], axis=1), np.stack(arrays[4:7], axis=1), arrays[7], points)


def _open(path: Any) -> Any:
    try:
        return SealedFile(path)
    except (PermissionError, FileNotFoundError):
        raise
    except (pa.ArrowException, OSError, ValueError) as err:
        raise FormatError(f"{path} is no Parquet file, or is cut short: {one_line(err)}") from err


def _read_group(path: Any, handle: Any, group: int, columns: list[str]) -> Any:
    try:
        return handle.read_row_group(group, columns=columns)
    except (pa.ArrowException, OSError, ValueError) as err:
        raise FormatError(f"{path}: row group {group} cannot be read, the file is damaged: {one_line(err)}") from err
